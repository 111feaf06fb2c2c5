"""The type checker that the import hook in `conftest.py` puts on every function of limbeck while tests run."""

from __future__ import annotations

from beartype import BeartypeConf, beartype

# As mypy does, take an int where a float is declared: `temperature=4` is a temperature.
check = beartype(conf=BeartypeConf(is_pep484_tower=True))
