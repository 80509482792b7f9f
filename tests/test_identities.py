"""IDs of images from their names in annotation files."""

from pathlib import Path

import pytest

import scn_tf
from scn_tf.data.annotations.identities import identities, identity

FILE = Path("points.csv")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.png", "a"),
        ("x/y/scan.nii.gz", "scan"),
        ("C:\\data\\left hand.TIF", "left hand"),
        ("/data/local-files/?d=x/b.jpg", "b"),
        ("../../etc/1.2.840.5", "1.2.840.5"),
        ("c\x07.png", "c\\x07"),
    ],
)
def test_an_id_is_the_stem_of_a_file_name(name, expected):
    assert identity(FILE, name) == expected
    assert identities(FILE, [name, name]) == {name: expected}


def test_equal_stems_are_told_apart_by_folder_then_by_ending():
    assert identities(FILE, ["p/x/a.png", "p/y/a.png", "y/b.png"]) == {"p/x/a.png": "x_a", "p/y/a.png": "y_a", "y/b.png": "b"}
    assert identities(FILE, ["p/x/a.png", "q/x/a.png", "x/b.png"]) == {"p/x/a.png": "p_x_a", "q/x/a.png": "q_x_a", "x/b.png": "b"}
    assert identities(FILE, ["a.png", "a.jpg"]) == {"a.png": "a_png", "a.jpg": "a_jpg"}
    assert identities(FILE, ["a.png", "x\\a.png"]) == {"a.png": "a", "x\\a.png": "x_a"}


@pytest.mark.parametrize("name", ["", " ", ".", "..", "/", "C:", "a" * 201 + ".png"])
def test_what_names_no_file_is_rejected(name):
    with pytest.raises(scn_tf.DatasetError, match=r"points\.csv: expected the name of an image file"):
        identity(FILE, name)


def test_images_that_cannot_be_told_apart_are_rejected():
    with pytest.raises(scn_tf.DatasetError, match=r"'x/a\.png' and '/x/a\.png' have the same name"):
        identities(FILE, ["x/a.png", "/x/a.png"])
