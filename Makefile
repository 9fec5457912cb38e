# The commands of the README. Everything they need is installed on first use: Python packages into .venv by
# local/requirements.txt, Azurite into local/azurite/node_modules by its lock file.

VENV := .venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.installed
CODE := function_app.py functions shared runtime local admin tests bench

.PHONY: demo up test chaos check bench lock clean

demo: $(STAMP)
	@$(PYTHON) -m local.demo

up: $(STAMP)
	@exec $(PYTHON) -m local.up

# Two at a time, files as a whole: most tests wait for processes of their own.
test: check
	@$(PYTHON) -m pytest -n 2 --dist loadfile

# The long form of tests/chaos, 20,000 histories, 500 killed workers, 1,000 operations, and of tests/schema, 300 requests each.
chaos: $(STAMP)
	@SLIPWAY_CHAOS=long $(PYTHON) -m pytest -s tests/chaos tests/schema

check: $(STAMP)
	@$(PYTHON) -m ruff check $(CODE)
	@$(PYTHON) -m ruff format --check $(CODE)
	@$(PYTHON) -m mypy
	@$(VENV)/bin/lint-imports

bench: $(STAMP)
	@for program in $(if $(NAME),bench/$(NAME).py,$(sort $(wildcard bench/*.py))); do \
		PYTHONPATH=. $(PYTHON) $$program || echo "$$program | did not finish | | MISS"; done

# Pin anew what pyproject.toml names.
lock: $(STAMP)
	@$(VENV)/bin/uv pip compile -q -U pyproject.toml --generate-hashes --no-header --no-annotate -o requirements.txt
	@$(VENV)/bin/uv pip compile -q pyproject.toml --group dev -c requirements.txt --generate-hashes --no-header --no-annotate \
		-o local/requirements.txt
	@$(VENV)/bin/uv pip compile -q -U runtime/requirements.in --universal --python-version 3.12 --generate-hashes --no-header \
		--no-annotate --no-emit-package msrest --no-emit-package requests-oauthlib --no-emit-package oauthlib \
		-o runtime/requirements.txt

$(STAMP): local/requirements.txt local/azurite/package-lock.json .python-version
	@sh local/install.sh $(VENV)
	@touch $@

clean:
	rm -rf $(VENV) local/azurite/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
