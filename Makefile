# Targets: demo (the platform, the stack `dev` on it, and an answer; MODEL=NAME deploys another one of
# models/), install (into .venv), check (no platform, two minutes), platform (the embedded platform, up),
# test (everything, on the platform too), benchmark-convert, benchmark-generate, benchmark-openai,
# benchmark-platform, benchmark-coldstart (docs say what each compares), images, lock (refresh the pins).
PYTHON ?= python3
PYTHON310 ?= python3.10
DOCKER ?= docker
VENV := .venv
BIN := $(VENV)/bin
# What is slow to make is kept here, by its pins, for the next checkout.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ft-serving
STAMP := $(VENV)/.installed

.PHONY: demo install check platform test test-gpu lint format lock images clean
.PHONY: benchmark-convert benchmark-generate benchmark-openai benchmark-platform benchmark-coldstart

install: $(STAMP)

check: lint
	$(BIN)/pytest --numprocesses 2 -m "not slow and not platform and not gpu"

platform: $(STAMP)
	$(BIN)/python -m local_platform up

# The tests of the platform are in these folders: each process that collects all tests takes ten seconds for it.
ON_PLATFORM := tests/deployment tests/platform

# First the tests on the platform, in five processes: with more, pods of their stacks would not all fit two
# cores. Last those that take parts of the platform away, which wait most of the time, beside all else.
test: platform
	$(BIN)/pytest --numprocesses 5 --dist loadfile --no-loadscope-reorder \
		-m "platform and not exclusive" $(ON_PLATFORM)
	$(MAKE) --no-print-directory --jobs 3 --output-sync test-exclusive test-without-platform lint

.PHONY: test-exclusive test-without-platform
test-exclusive: $(STAMP)
	$(BIN)/pytest -m exclusive $(ON_PLATFORM)

test-without-platform: $(STAMP)
	nice -n 5 $(BIN)/pytest --numprocesses 2 --dist loadfile -m "not platform and not gpu"

# On a machine with NVIDIA GPUs, vLLM and Triton: in the image server-vllm, or as docs/engines.md says.
# FT_SERVING_TENSOR_PARALLEL says how many GPUs to use.
test-gpu:
	$(PYTHON) -m pytest -m gpu tests/gpu

# Pulumi writes a stack's salt into the stack file of the folder it is called in: into a copy, because a salt fits
# one machine's passphrase, and this checkout's file is everyone's.
DEMO := /var/lib/ft-serving/demo
MODEL := tiny-gptj
demo: platform
	@. /var/lib/ft-serving/env && export PATH="$(CURDIR)/$(BIN):$$PATH" && \
	mkdir -p $(DEMO) && cp Pulumi.yaml $(DEMO) && \
	sed '/^encryptionsalt:/d' Pulumi.dev.yaml >$(DEMO)/Pulumi.dev.yaml && \
	{ pulumi stack --stack dev >/dev/null 2>&1 || pulumi --cwd $(DEMO) stack init --no-select dev; } && \
	pulumi config set --stack dev --config-file $(DEMO)/Pulumi.dev.yaml --path model.repository $(MODEL) && \
	pulumi up --stack dev --config-file $(DEMO)/Pulumi.dev.yaml --yes --skip-preview && \
	call="$$(pulumi stack output --stack dev call)" && printf '\n$$ %s\n' "$$call" && sh -c "$$call" && \
	printf '%s\n' '' 'Next:' "  . /var/lib/ft-serving/env; . .venv/bin/activate" \
		"  ft-serving diagnose                         # what runs, on one screen" \
		"  pulumi stack output --stack dev             # the URL, and how to call it" \
		"  pulumi --cwd $(DEMO) destroy --stack dev    # everything but the weights"

# Most of mypy's time goes into other packages, which are the same in each checkout.
MYPY_CACHE = $(CACHE)/mypy-$(shell sha256sum requirements/dev.lock | cut -c1-12)
lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --cache-dir $(MYPY_CACHE)
	$(BIN)/lint-imports --no-logo

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# What `venv --clear` and `clean` may empty: an environment that this Makefile made, finished or not.
OWN_VENV := test ! -e $(VENV) -o -e $(STAMP) -o -e $(VENV)/.made-by-make || { \
	echo "Error: $(VENV) is there, and this Makefile did not make it. Move it away, then run this again." >&2; exit 1; }

# pip compiles modules by one process, which takes it as long as all else.
PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile

$(STAMP): requirements/dev.lock requirements/policy.lock requirements/triton.lock pyproject.toml
	@$(OWN_VENV)
	$(PYTHON) -m venv --clear $(VENV)
	touch $(VENV)/.made-by-make
	$(PIP_INSTALL) --require-hashes -r requirements/dev.lock
	$(PIP_INSTALL) --require-hashes --no-deps -r requirements/policy.lock -r requirements/triton.lock
	$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	$(BIN)/python -W ignore -m compileall -q -j 0 $(VENV)/lib
	touch $@

# go.lock is written by hand: it pins Go itself, for machines that have none. So is triton.lock: only the
# tritonserver inside that wheel is used, not its Python package, whose requirements would hold numpy below
# 2. So is policy.lock, whose package asks for protobuf below 6 and works with it.
# So is vllm.lock: of what vLLM asks for, gpu.in has what serving imports.
# Locks carry hashes and no index address, so that they serve behind any mirror.
PIP_COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options --no-annotate --no-header
lock: $(STAMP)
	$(PIP_COMPILE) --all-extras --output-file requirements/dev.lock pyproject.toml
	for extras in client,cluster openai server weights; do $(PIP_COMPILE) --extra $$extras \
		--constraint requirements/dev.lock --output-file requirements/$${extras%%,*}.lock pyproject.toml || exit 1; done
	$(PIP_COMPILE) --constraint requirements/server.lock --output-file requirements/gpu.lock requirements/gpu.in

benchmark-convert: $(STAMP)
	$(BIN)/python -m benchmarks.convert

# MODEL=tiny-neox compares GPT-NeoX. torch and transformers are for this comparison alone; the versions that
# do without CUDA packages want Python 3.10; they take 2 GB.
TRANSFORMERS_LOCK := models/tiny-gptj/requirements.txt
TRANSFORMERS = $(CACHE)/transformers-$(shell sha256sum $(TRANSFORMERS_LOCK) | cut -c1-12)

benchmark-generate: $(STAMP)
	test -e $(TRANSFORMERS)/.installed || { $(PYTHON310) -m venv --clear $(TRANSFORMERS) \
		&& $(TRANSFORMERS)/bin/pip install --quiet --require-hashes -r $(TRANSFORMERS_LOCK) \
		&& touch $(TRANSFORMERS)/.installed; }
	$(BIN)/python -m benchmarks.generate --model $(MODEL) --against transformers --python $(TRANSFORMERS)/bin/python

benchmark-openai: $(STAMP)
	$(BIN)/python -m benchmarks.openai

benchmark-platform: $(STAMP)
	$(BIN)/python -m benchmarks.platform

benchmark-coldstart: platform
	$(BIN)/python -m benchmarks.coldstart

# Needs Docker with BuildKit. BUILD_FLAGS passes a base image, wheels or secrets: docs/images.md. Not
# among them: `server-vllm`, which downloads 3 GB (make images IMAGES=server-vllm), and `server`, which
# takes two images that only its user can name.
IMAGES := client openai server-cpu weights
images:
	for image in $(IMAGES); do DOCKER_BUILDKIT=1 $(DOCKER) build $(BUILD_FLAGS) \
		--file images/$$image/Dockerfile --tag ft-serving-$$image:dev . || exit 1; done

clean:
	@$(OWN_VENV)
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
