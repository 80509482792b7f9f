# make train   the main job on the embedded data
# make test    all tests
# make quick   the tests that find most per second, below a minute
# make lint    style, format and types
# make docs    the documentation site in build/docs; a broken link or a dead reference is an error
# make package  the wheel and the sdist are built, checked, and used in an empty folder
# Each sets up .venv first, with the tested versions of constraints.txt.

PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
DOCS_READY := $(VENV)/.docs-ready
# Tests of `make quick`, by what they find per second.
QUICK := architecture augment border_points config dataset deploy devices dicom documents geometry heatmaps image_files image_tags images \
	layers losses messages models onnx_weights preprocess server_messages settings_refused study_figures targets train_step \
	yaml_limits
# Extra arguments of the tests, such as ARGS="-k geometry".
ARGS ?=

.PHONY: train test quick lint docs package golden clean

train: $(READY)
	$(VENV)/bin/python train.py

test: $(READY)
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile $(ARGS)

quick: $(READY)
	$(VENV)/bin/python -m pytest -q -n 2 --dist loadfile $(patsubst %,tests/test_%.py,$(QUICK)) $(ARGS)

lint: $(READY)
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -m ruff format --check .
	$(VENV)/bin/python -m mypy

docs: $(DOCS_READY)
	$(VENV)/bin/python -m sphinx --fail-on-warning --keep-going --nitpicky --quiet -b html docs build/docs
	@echo "build/docs/index.html"

package: $(READY)
	PYTHON=$(VENV)/bin/python tools/check_wheel.sh

golden: tests/golden/make_golden.py
	bash tests/golden/make_golden.sh

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; ok = (3, 11) <= v <= (3, 13); ok or sys.exit("error: scn_tf needs Python 3.11, 3.12 or 3.13, this is %d.%d. Name another one: make PYTHON=python3.12 ..." % v)'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[all,batch,test]'
	@touch $(READY)

$(DOCS_READY): $(READY)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	@touch $(DOCS_READY)

clean:
	rm -rf $(VENV) build dist *.egg-info docs/modules
