# `make` builds the environment and runs the embedded simulated default; `make test` runs the tests.
# In the environment everything is plain `snakemake`.
PYTHON ?= python3.11
CORES ?= 2
CONFIG ?= config/config.yaml
BIN := .venv/bin

.PHONY: all env run test test-slurm lint docs nano clean

all: run

env: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "opbench needs Python 3.11; set PYTHON to its path."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,baselines]"
	@touch $@

run: env
	$(BIN)/snakemake --cores $(CORES) --configfile $(CONFIG)

test: env
	$(BIN)/python -m pytest

# On a real scheduler: installs Debian's Slurm (as root) and starts a cluster of one node for some minutes.
test-slurm: env
	tests/slurm/install.sh
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt snakemake-executor-plugin-slurm
	OPBENCH_SLURM=1 $(BIN)/python -m pytest tests/slurm

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

# The JSON schema and config/README.md, from the configuration models.
docs: env
	$(BIN)/python -m opbench.config.document

# Train the shipped marrow checkpoint again, see config/nano.yaml. OPBENCH_DATA must also hold its gene tables.
nano: env
	$(BIN)/snakemake nano --cores $(CORES) --configfile config/nano.yaml
	cp results/nano/pretrain_nano/* resources/nano_marrow/

clean:
	rm -rf results .snakemake
