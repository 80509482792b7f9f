"""Names of models that no file can have, and lists of checksums that we did not write."""

import os
import shutil

import pytest

import scn_tf
from scn_tf import export
from scn_tf.errors import CheckpointError
from scn_tf.serving import servable
from scn_tf.storage import checksums, files


@pytest.fixture(scope="module")
def version(saved_2d):
    return saved_2d


@pytest.mark.parametrize("name", ["a" * 5000, "a" * 5000 + ".keras", "a\0b", "a\0b.onnx"])
def test_a_name_that_no_file_can_have_is_refused_in_one_line(name):
    with pytest.raises(CheckpointError, match="cannot be read") as caught:
        scn_tf.load(name)
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "lines",
    [
        b"hello\n",
        b"\n",
        b"0" * 64 + b"  \xff\n",
        b"0" * 64 + b"  a\0b\n",
        b"0" * 64 + b"  " + b"a" * 5000 + b"\n",
        b"0" * 64 + b"  assets\n",
        b"\xff" * 64 + b"  saved_model.pb\n",
    ],
    ids=["text", "nothing", "no text", "null", "long", "folder", "no digest"],
)
def test_a_list_of_checksums_that_is_none_of_ours_is_refused_by_name(lines, version, tmp_path):
    folder = tmp_path / "1"
    shutil.copytree(version, folder)
    (folder / checksums.LIST).write_bytes(checksums.filled(lines + checksums.PLACEHOLDER))
    for opener in (scn_tf.load, servable.load):
        with pytest.raises(CheckpointError, match="1: is damaged: ") as caught:
            opener(folder)
        assert len(str(caught.value)) < len(str(folder)) + 500
        assert str(caught.value).isprintable()


def test_files_of_editors_and_other_folder_names_do_not_matter(version, tmp_path):
    folder = tmp_path / "my mödel 手"
    shutil.copytree(version, folder)
    for name in (".DS_Store", "variables/._variables.index", "assets/Thumbs.db"):
        (folder / name).write_bytes(b"x")
    assert scn_tf.load(folder).names == scn_tf.load(version).names


def test_a_folder_whose_name_is_no_utf8_is_refused_for_that(version, run_2d, tmp_path):
    folder = tmp_path / os.fsdecode(b"m\xff")
    try:
        shutil.copytree(version, folder)
    except OSError:
        pytest.skip("names: this file system takes UTF-8 alone")
    for opener in (scn_tf.load, servable.load):
        with pytest.raises(CheckpointError, match=r"m\\xff: is no UTF-8 name"):
            opener(folder)
    with pytest.raises(files.WriteError, match=r"m\\xff.new: is no UTF-8 name"):
        export.export_saved_model(run_2d, tmp_path / os.fsdecode(b"m\xff.new"))
