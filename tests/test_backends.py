import os
import re
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

# As on a machine without TensorFlow: whoever imports it fails.
WITHOUT = "import runpy, sys; sys.modules['tensorflow'] = None; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"


def timed(backend):
    """What the benchmark prints under a backend of Keras: (loss, milliseconds)."""
    script = [
        str(REPOSITORY / "benchmarks" / "backend_time.py"),
        "--size",
        "32",
        "32",
        "--filters",
        "4",
        "--landmarks",
        "3",
        "--repeats",
        "1",
    ]
    start = [sys.executable, "-c", WITHOUT] if backend == "jax" else [sys.executable]
    ended = subprocess.run(
        [*start, *script], env={**os.environ, "KERAS_BACKEND": backend}, capture_output=True, text=True, timeout=300, cwd=REPOSITORY
    )
    assert ended.returncode == 0, ended.stderr
    found = re.fullmatch(rf"{backend}: [\d,]+ weights, loss ([\d.]+), ([\d.]+) ms per step\n", ended.stdout)
    return float(found[1]), float(found[2])


def test_a_network_is_built_and_timed_under_jax_without_tensorflow():
    pytest.importorskip("jax")
    loss, milliseconds = timed("jax")
    assert milliseconds > 0
    # Untrained heads are nearly zero, so the loss is that of the targets, which both backends draw.
    assert loss == pytest.approx(timed("tensorflow")[0], rel=1e-4)
