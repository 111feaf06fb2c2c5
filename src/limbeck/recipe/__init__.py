"""Recipes: reading, checking, resolving to a graph of runs."""
