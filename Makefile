# make demo    a video of two glyph people with the tiny built-in model
# make test    the whole test suite; make test-fast leaves out what is slow and what starts ComfyUI
# make types   mypy alone
# make lint    what a review would complain about; make format fixes most of it
#
# The first call makes .venv and installs everything from the package registry; later calls reuse it.

PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
DEMO := demo.mp4

.DEFAULT_GOAL := help
.PHONY: help demo test test-long test-long test-fast lint types format clean

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

# torch goes in first and is then held where it is: the other packages ask for "some torch", and without the
# constraint pip may exchange a CPU build for a CUDA build of several gigabytes.
$(INSTALLED): pyproject.toml Makefile
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -c "from importlib.metadata import version; print('torch==' + version('torch'))" > $(VENV)/constraints.txt
	$(BIN)/python -m pip install --quiet --constraint $(VENV)/constraints.txt --editable '.[training,dev]'
	touch $@

demo: $(INSTALLED)
	$(BIN)/lumosx generate examples/glyph_people --model tiny --out $(DEMO)

# Few inputs for the fuzz and few kills; `make test-long` is for the evening.
test: export LUMOSX_FUZZ_INPUTS ?= 40
test: export LUMOSX_KILLS ?= 3
test: $(INSTALLED)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test-long: $(INSTALLED)
	$(BIN)/python -m pytest

test-fast: $(INSTALLED)
	$(BIN)/python -m pytest -m "not slow and not comfyui and not browser" --numprocesses 2 --dist loadfile

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(MAKE) --no-print-directory types

# The nodes import the core as a neighbour (`..lumosx_core`), and this folder may have any name. A link gives it one.
types: $(INSTALLED)
	@mkdir -p .mypy_cache/pack && ln -sfn ../.. .mypy_cache/pack/lumosx_pack
	@$(BIN)/mypy; core=$$?; MYPYPATH=.mypy_cache/pack $(BIN)/mypy -p lumosx_pack.nodes && exit $$core

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(DEMO) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
