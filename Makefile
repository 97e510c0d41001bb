# The two commands: `make figures` and `make test`. Each does only what is missing.

BIN := .venv/bin
SNAKEFILES := Snakefile workflow/rules

.PHONY: figures test lint lock docs

figures: .venv/ready
	@$(BIN)/snakemake --cores all

test: .venv/ready
	@$(BIN)/pytest -n auto --dist loadfile

lint: .venv/ready
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/snakefmt --check $(SNAKEFILES)
	@$(BIN)/snakemake --lint

# The schema and the tables of config/README.md, from the configuration models.
docs: .venv/ready
	@$(BIN)/deadtokens config --schema workflow/schemas/config.schema.json --readme config/README.md

.venv/ready: envs/requirements.txt pyproject.toml
	@echo "Installing the locked requirements into .venv (once; a few minutes)"
	@python3 -m venv .venv
	@$(BIN)/pip install --quiet --requirement envs/requirements.txt
	@$(BIN)/pip install --quiet --no-deps --editable .
	@touch $@

# Resolve envs/requirements.in anew. torch is locked without its build: each machine has its own.
lock:
	@rm -rf .venv-lock
	@python3 -m venv .venv-lock
	@.venv-lock/bin/pip install --quiet --requirement envs/requirements.in
	@(head -n 1 envs/requirements.txt; .venv-lock/bin/pip freeze | sed 's/^\(torch==[0-9.]*\).*/\1/') > envs/requirements.new
	@mv envs/requirements.new envs/requirements.txt
	@rm -rf .venv-lock
