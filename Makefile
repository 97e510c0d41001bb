# The two commands: `make figures` and `make test`. Each does only what is missing.

BIN := .venv/bin
SNAKEFILES := Snakefile workflow/rules

.PHONY: figures test lint lock docs

figures: .venv/ready
	@$(BIN)/snakemake --cores all

test: .venv/ready
	@$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder

lint: .venv/ready
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/snakefmt --check $(SNAKEFILES)
	@$(BIN)/snakemake --lint

# The schema and the tables of config/README.md, from the configuration models.
docs: .venv/ready
	@$(BIN)/deadtokens config --schema workflow/schemas/config.schema.json --readme config/README.md

.venv/ready: envs/requirements.txt envs/torch.txt pyproject.toml
	@echo "Installing the locked requirements into .venv (once; a few minutes)"
	@python3 -I -m venv .venv
	@$(BIN)/pip install --quiet --require-hashes --requirement envs/requirements.txt
	@$(BIN)/pip install --quiet --requirement envs/torch.txt
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# Resolve envs/requirements.in anew, for every platform and every Python from 3.11 on, with the
# hashes of all files. The conda environment lists the same versions: Snakemake copies it alone.
lock:
	@python3 -I -m venv .venv-lock
	@.venv-lock/bin/pip install --quiet uv==0.13.9
	@.venv-lock/bin/uv pip compile --quiet --no-config --universal --python-version 3.11 \
		--fork-strategy fewest --upgrade --generate-hashes --no-annotate --no-emit-index-url \
		--custom-compile-command "make lock" --output-file envs/requirements.txt envs/requirements.in
	@cat envs/torch.txt envs/requirements.txt | sed -n 's/^\([a-z].*==[^\\]*[^\\ ]\).*/      - \1/p' > envs/pins
	@sed -e '/^      - /d' -e '/^  - pip:$$/r envs/pins' envs/environment.yaml > envs/environment.new
	@mv envs/environment.new envs/environment.yaml
	@rm -r envs/pins .venv-lock
