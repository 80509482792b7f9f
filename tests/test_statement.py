"""What a model file says of itself is checked whole before anything uses it: a stranger's file may say anything."""

import json
import zipfile

import pytest

from scn_tf import cli
from scn_tf.runs import checkpoints, pretrained, statement

WRONG = {
    "untrained": (5, [1], "a", {"a": 1}, ["no landmark of it"]),
    "data": (5, {}, {"normalization": 5, "training": {}, "validation": {}}),
    "validation": (5,),
    "spacing_mm": ("x", [1], [1, float("nan")], [0, -1], [1, 1, 1]),
    "unit": (5, "cm"),
    "coordinates": ("voxel",),
    "peaks": ("x", 5),
    "members": (5, [{}], [5]),
    "labels": (5, [1]),
    "landmarks": ("abcd", [1, 2], [], ["a", "a"]),
    "dims": (5, "2"),
    "channels": (True, 2, "1"),
    "pixel_aspect": ("x", 5),
    "name": (None, 5),
    "config": ({}, [], 5, {"data": {}, "model": {}, "heatmap": {}}),
}


@pytest.fixture(scope="module")
def whole():
    return checkpoints.read_metadata(pretrained.find("hand_xray"))


def test_a_model_of_ours_has_no_mistake(whole, run_2d, run_3d):
    assert statement.mistake(whole) is None
    for run in (run_2d, run_3d):
        assert statement.mistake(checkpoints.read_metadata(run / "model.keras")) is None


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG.items() for value in values])
def test_every_key_of_another_kind_is_a_mistake_that_names_it(whole, key, value):
    assert key in statement.mistake({**whole, key: value}).replace("settings", "config").replace("data of the config", "members")


@pytest.mark.parametrize("key", ["name", "dims", "channels", "landmarks", "coordinates", "labels", "unit", "spacing_mm", "config"])
def test_a_key_that_is_missing_is_named(whole, key):
    assert key in statement.mistake({name: value for name, value in whole.items() if name != key})


@pytest.mark.parametrize("changed", [{"untrained": 5}, {"channels": 3}, {"members": 5}])
def test_no_command_ends_in_a_traceback_over_such_a_file(run_2d, hands_2d, tmp_path, capsys, changed):
    with zipfile.ZipFile(run_2d / "model.keras") as source, zipfile.ZipFile(tmp_path / "other.keras", "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == checkpoints.METADATA:
                said = {key: value for key, value in json.loads(content).items() if key != "checksum"}
                content = json.dumps({**said, **changed})
            target.writestr(name, content)
    image, out = hands_2d / "images" / "hand_008.png", tmp_path / "out"
    for rest in (["predict", image, "--out", out / "p.csv"], ["evaluate", "--out", out], ["export", out / "m.tflite"]):
        command = [rest[0], str(tmp_path / "other.keras"), *map(str, rest[1:])]
        assert cli.main(command) == 1
        assert "other.keras: is damaged" in capsys.readouterr().err
