# Joulepath's everyday commands. PYTHON chooses the interpreter: make test PYTHON=python3.12
PYTHON ?= python3
BOARD_ENV := .venv-board
HOST_ENV := .venv-host
SECONDS ?= 45
DATA ?= $(or $(JOULEPATH_DATA),../shared/data)
PRECISION ?= float16,int8

DIST ?= bookworm
ARCH ?= all
OUT ?= dist

.PHONY: help demo test test-board test-host test-slow check lab lab-first lab-second lab-image deb image jetson-overlay bench bench-controller bundle clean

help:           ## list the targets
	@grep -E '^[a-z-]+: .*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# An environment is made once for each pyproject.toml; its stamp says that it is whole.
$(BOARD_ENV)/.stamp: pyproject.toml
	$(PYTHON) -m venv $(BOARD_ENV)
	$(BOARD_ENV)/bin/python -m pip install -q --upgrade pip
	$(BOARD_ENV)/bin/python -m pip install -q -e '.[video,report]'
	@touch $@

$(HOST_ENV)/.stamp: pyproject.toml
	$(PYTHON) -m venv $(HOST_ENV)
	$(HOST_ENV)/bin/python -m pip install -q --upgrade pip
	$(HOST_ENV)/bin/python -m pip install -q -e '.[convert,video,report,parquet,simulate,search,metrics,dev]'
	@# The oracle (PyTorch, CPU build) where there is one for this Python; never the CUDA build, which is gigabytes.
	@$(HOST_ENV)/bin/python -m pip install -q 'torch==2.13.0+cpu' 'transformers>=5' 2>/dev/null \
	  || echo "no CPU build of PyTorch for this Python: the oracle tests will be skipped and say so"
	@touch $@

demo: $(BOARD_ENV)/.stamp  ## the whole idea in a minute, with what a board needs and nothing more
	$(BOARD_ENV)/bin/joulepath demo --seconds $(SECONDS) --out demo

test: test-board test-host  ## every quick test, in a board's environment and in a host's

test-board: $(BOARD_ENV)/.stamp
	$(BOARD_ENV)/bin/python -m pip install -q 'hypothesis>=6.100' 'pytest>=8.2' 'pytest-timeout>=2.3' 'scipy>=1.11'
	$(BOARD_ENV)/bin/python -m pytest tests/boards tests/edge tests/systemd -m 'not slow'

test-host: $(HOST_ENV)/.stamp
	$(HOST_ENV)/bin/python -m pytest tests/converters -m 'not slow'

test-slow: $(HOST_ENV)/.stamp  ## big models and long runs
	$(HOST_ENV)/bin/python -m pytest tests -m slow

check: $(HOST_ENV)/.stamp  ## format, lint, types
	$(HOST_ENV)/bin/ruff format --check .
	$(HOST_ENV)/bin/ruff check .
	$(HOST_ENV)/bin/mypy

# Two boards side by side, their files chosen so that both end at about the same time: the day waits for most of its
# minutes and leaves the processor to the other board. What is not named for the first one runs on the second.
LAB_FIRST := tests/lab/test_day.py tests/lab/test_servicecuts.py tests/lab/test_watchdog.py tests/lab/test_faults.py
LAB := $(HOST_ENV)/bin/python -m pytest -m 'lab and not image' -v --timeout 3600 -rP --durations 8

lab:            ## emulated boards with real kernel drivers and a real systemd; see tests/lab/README.md
	$(MAKE) --jobs 2 lab-first lab-second

lab-first: $(HOST_ENV)/.stamp
	$(LAB) $(LAB_FIRST)

lab-second: $(HOST_ENV)/.stamp
	$(LAB) tests/lab $(LAB_FIRST:%=--ignore=%)

lab-image: $(HOST_ENV)/.stamp  ## the flashable image, booted
	$(HOST_ENV)/bin/python -m pytest tests/lab/test_image.py -m lab -v --timeout 7200

deb:            ## Debian packages: DIST=bookworm|trixie|jammy|noble|all ARCH=arm64|amd64|all
	$(PYTHON) systemd/deb/build.py --dist $(DIST) --arch $(ARCH) --out $(OUT)

image:          ## a flashable image for Raspberry Pi 3, 4 and Zero 2 (root)
	$(PYTHON) systemd/image/build.py --out $(OUT)

jetson-overlay: ## what is applied to NVIDIA's root file system before flash.sh
	$(PYTHON) systemd/jetson/build.py --out $(OUT)

bench: $(HOST_ENV)/.stamp  ## what docs/bench holds, measured here
	$(HOST_ENV)/bin/joulepath bench all --out docs/bench

bench-controller: $(HOST_ENV)/.stamp  ## controllers against each other and the oracle, in simulated worlds
	$(HOST_ENV)/bin/joulepath bench controller --record docs/bench

bundle: $(HOST_ENV)/.stamp  ## the demo bundle again from the checkpoint in the repository
	$(HOST_ENV)/bin/joulepath convert segformer --weights converters/checkpoints/segformer-b0-streets --size 288x384 \
	  --out edge/demo/bundle --paths converters/checkpoints/demo-paths.json --precision $(PRECISION) --name streets --replace \
	  --licence "research and non-commercial (CamVid, PASCAL VOC)" --notes "see edge/demo/MODEL_CARD.md" \
	  --data "CamVid train, the synthetic street, PASCAL VOC 2012 (auxiliary)" \
	  --calibration camvid:$(DATA)/camvid/train --dataset camvid:$(DATA)/camvid/val

clean:          ## environments and results
	rm -rf $(BOARD_ENV) $(HOST_ENV) demo
