"""Libraries that take long to import wait until a file needs them."""

import subprocess
import sys

import numpy as np
from PIL import Image


def imported(code):
    program = f"import sys\n{code}\nprint(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split())


def test_a_prediction_of_a_jpeg_needs_no_library_of_another_format():
    heavy = {"pydicom", "gdcm", "nibabel", "nrrd", "tifffile", "SimpleITK"}
    assert not heavy & imported("import scn_tf.predict, scn_tf.evaluate_run, scn_tf.cli.commands.predict")


def test_commands_import_tensorflow_without_libraries_that_they_never_need():
    code = """
from scn_tf.environment.lean import import_tensorflow
import_tensorflow()
assert not {"jax", "matplotlib", "scipy", "sklearn"} & set(sys.modules), "imported"
import matplotlib  # later imports find it
"""
    assert {"tensorflow", "keras", "matplotlib"} <= imported(code)


def test_commands_import_tensorflow_without_garbage_collections():
    code = """
import gc
from scn_tf.environment.lean import import_tensorflow
before = gc.get_stats()
import_tensorflow()
assert gc.get_stats() == before, "collected"
assert gc.isenabled()
frozen = gc.get_freeze_count()
assert frozen > 100_000
gc.disable()  # whoever calls a command may have done so
import_tensorflow()
assert gc.get_freeze_count() == frozen and not gc.isenabled()
"""
    assert "tensorflow" in imported(code)


def test_the_command_predict_imports_no_library_that_one_png_does_not_need(tmp_path):
    path, out = tmp_path / "hand.png", tmp_path / "found.csv"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 70), np.uint8)).save(path)
    heavy = {"jax", "matplotlib", "scipy", "sklearn", "pydicom", "nibabel", "tifffile", "SimpleITK", "onnx", "pyarrow", "distributed"}
    code = f"from scn_tf.cli import main\nassert main(['predict', 'hand_xray', {str(path)!r}, '--out', {str(out)!r}]) == 0"
    assert not heavy & imported(code)
    assert out.stat().st_size > 1000


def test_help_needs_neither_tensorflow_nor_numpy():
    assert not {"tensorflow", "numpy", "tqdm", "matplotlib"} & imported(
        "from scn_tf.cli.parser import build_parser\nbuild_parser('scn-tf')"
    )


def test_importing_the_package_reads_next_to_nothing():
    assert not {"tempfile", "importlib.resources", "yaml", "pydantic", "numpy"} & imported("import scn_tf") - imported("")
