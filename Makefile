# The two commands: `make figures` and `make test`. Each does only what is missing.

BIN := .venv/bin
# Its modules: the scripts that pip writes do not run in a folder with "$" in its name. With -P no
# file of the folder stands in for one.
PYTHON := $(BIN)/python -P
SNAKEFILES := Snakefile workflow/rules

.PHONY: figures test lint lock docs

figures: .venv/ready
	@$(PYTHON) -m snakemake --cores all

test: .venv/ready
	@$(PYTHON) -m pytest -n auto --dist loadfile --no-loadscope-reorder

lint: .venv/ready
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@PATH="$$PWD/$(BIN):$$PATH" $(PYTHON) -m snakefmt --check $(SNAKEFILES)
	@$(PYTHON) -m snakemake --lint

# The schema and the tables of config/README.md, from the configuration models.
docs: .venv/ready
	@$(PYTHON) -m deadtokens config --schema workflow/schemas/config.schema.json --readme config/README.md

.venv/ready: envs/requirements.txt envs/torch.txt pyproject.toml
	@echo "Installing the locked requirements into .venv (once; a few minutes)"
	@python3 -I -m venv .venv
	@$(PYTHON) -m pip install --quiet --no-deps --require-hashes --requirement envs/requirements.txt
	@$(PYTHON) -m pip install --quiet --requirement envs/torch.txt
	@$(PYTHON) -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# Resolve envs/requirements.in anew, for every platform and every Python from 3.11 on, with the
# hashes of all files: complete but for torch, so nothing else is looked for when they are installed.
# The conda environment lists the same versions: Snakemake copies it alone.
lock:
	@python3 -I -m venv .venv-lock
	@.venv-lock/bin/python -m pip install --quiet uv==0.13.9
	@.venv-lock/bin/python -m uv pip compile --quiet --no-config --universal --python-version 3.11 \
		--fork-strategy fewest --upgrade --generate-hashes --no-annotate --no-emit-index-url \
		--override envs/overrides.txt --no-emit-package torch \
		--custom-compile-command "make lock" --output-file envs/requirements.txt envs/requirements.in
	@cat envs/torch.txt envs/requirements.txt | sed -n 's/^\([a-z].*==[^\\]*[^\\ ]\).*/      - \1/p' > envs/pins
	@sed -e '/^      - /d' -e '/^  - pip:$$/r envs/pins' envs/environment.yaml > envs/environment.new
	@mv envs/environment.new envs/environment.yaml
	@rm -r envs/pins .venv-lock
