#!/usr/bin/env bash
# Builds the environment of the oracle and writes tests/golden/addons.npz with it.
# tensorflow-addons 0.23 is the last release; it needs TensorFlow 2.15 and Python 3.11 or older.
set -euo pipefail
cd "$(dirname "$0")"
python="${GOLDEN_PYTHON:-python3.11}"
venv=../../.golden-venv
"$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet "tensorflow==2.15.1" "tensorflow-addons==0.23.0" "numpy<2"
TF_CPP_MIN_LOG_LEVEL=3 "$venv/bin/python" make_golden.py addons.npz
echo "wrote tests/golden/addons.npz"
