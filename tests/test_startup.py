"""Libraries that take long to import wait until a file needs them."""

import subprocess
import sys


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
assert not {"jax", "matplotlib", "sklearn"} & set(sys.modules), "imported"
import matplotlib  # later imports find it
"""
    assert {"tensorflow", "keras", "matplotlib"} <= imported(code)


def test_help_needs_neither_tensorflow_nor_numpy():
    assert not {"tensorflow", "numpy", "tqdm", "matplotlib"} & imported(
        "from scn_tf.cli.parser import build_parser\nbuild_parser('scn-tf')"
    )


def test_importing_the_package_reads_next_to_nothing():
    assert not {"tempfile", "importlib.resources", "yaml", "pydantic", "numpy"} & imported("import scn_tf") - imported("")
