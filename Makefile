# The commands of the README. What one needs is installed when it is first called, pinned: Python packages into .venv by its
# file in local/requirements, Azurite into local/azurite/node_modules by its lock file.

VENV := .venv
PYTHON := $(VENV)/bin/python
STACK := $(VENV)/.installed-up
DEMO := $(VENV)/.installed-demo
TEST := $(VENV)/.installed-test
CODE := function_app.py functions shared runtime local admin tests bench
COMPILE := $(VENV)/bin/uv pip compile -q --generate-hashes --no-header --no-annotate

.PHONY: demo up test chaos check bench lock clean

demo: $(DEMO)
	@exec $(PYTHON) -m local.demo

up: $(STACK)
	@exec $(PYTHON) -m local.up

# Two at a time, files as a whole: most tests wait for processes of their own.
test: check
	@$(PYTHON) -m pytest -n 2 --dist loadfile

# The long form of tests/chaos, 20,000 histories, 500 killed workers, 1,000 operations, and of tests/schema, 300 requests each.
chaos: $(TEST)
	@SLIPWAY_CHAOS=long $(PYTHON) -m pytest -s tests/chaos tests/schema

check: $(TEST)
	@$(PYTHON) -m ruff check $(CODE)
	@$(PYTHON) -m ruff format --check $(CODE)
	@$(PYTHON) -m mypy
	@$(VENV)/bin/lint-imports

bench: $(TEST)
	@for program in $(if $(NAME),bench/$(NAME).py,$(sort $(wildcard bench/*.py))); do \
		PYTHONPATH=. $(PYTHON) $$program || echo "$$program | did not finish | | MISS"; done

# Pin anew what pyproject.toml and the package.json of Azurite name.
lock: $(STACK)
	@$(COMPILE) -U pyproject.toml -o requirements.txt
	@$(COMPILE) pyproject.toml --group test -c requirements.txt -o local/requirements/test.txt
	@for group in demo up; do \
		$(COMPILE) pyproject.toml --group $$group -c local/requirements/test.txt -o local/requirements/$$group.txt || exit; done
	@$(COMPILE) -U runtime/requirements.in --universal --python-version 3.12 --no-emit-package msrest \
		--no-emit-package requests-oauthlib --no-emit-package oauthlib -o runtime/requirements.txt
	@cd local/azurite && rm -rf package-lock.json node_modules && $(abspath $(VENV))/bin/npm install --package-lock-only --silent

$(STACK): local/requirements/up.txt local/azurite/package-lock.json .python-version
	@sh local/install.sh $(VENV) up
	@touch $@

$(VENV)/.installed-%: local/requirements/%.txt $(STACK)
	@sh local/install.sh $(VENV) $*
	@touch $@

clean:
	rm -rf $(VENV) local/azurite/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
