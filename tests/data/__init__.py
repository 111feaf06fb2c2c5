"""Tests of limbeck.data; a package, because other rooms have test files of the same names."""
