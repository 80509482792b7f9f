"""The wheel, installed away from the checkout; ``make package`` also trains with it."""

import os
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
def test_the_wheel_holds_the_whole_package_and_works_in_an_empty_folder(tmp_path):
    for tool in ("build", "twine"):
        pytest.importorskip(tool)
    script = [str(REPOSITORY / "tools" / "check_wheel.sh"), "--quick"]
    done = subprocess.run(script, cwd=tmp_path, env={**os.environ, "PYTHON": sys.executable}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED") == 2  # wheel and sdist, by twine
    assert "studies/hand_xray_tuning" in done.stdout
