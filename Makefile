# Everything a newcomer needs: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check format benchmarks clean

demo: .venv/ready
	$(BIN)/limbeck run digits/kd

# A process per core, up to four, with one thread each: on two cores in two thirds of the time of one process.
test: .venv/ready check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

check: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# On an idle machine, with LIMBECK_DATA set; two hours and a half on two cores. Not among them, because they only train:
# peer_accuracy.py, two hours, and teacher_mode.py, half an hour.
benchmarks: .venv/ready
	for name in import_time loader step_overhead cached_teacher cached_views stop_at_hint faster_steps peers; do \
		$(BIN)/python benchmarks/$$name.py || exit 1; \
	done

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "limbeck needs Python 3.11 or newer, this is " + sys.version)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[all,dev]'
	touch $@

clean:
	rm -rf .venv build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache
