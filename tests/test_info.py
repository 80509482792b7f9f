"""What a model file says of itself is checked whole before anything uses it: a stranger's file may say anything."""

import json
import zipfile

import pytest

from scn_tf import cli, combine_runs, config
from scn_tf.runs import checkpoints, pretrained
from scn_tf.runs.folder import RunFolder
from scn_tf.runs.info import ENTRY, ModelInfo

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


def stated(path):
    """The JSON in a model file."""
    with zipfile.ZipFile(path) as archive:
        return {key: value for key, value in json.loads(archive.read(ENTRY)).items() if key != "checksum"}


def mistake(values):
    try:
        ModelInfo.from_json(values)
    except ValueError as error:
        return str(error)
    pytest.fail("no mistake was found")


@pytest.fixture(scope="module")
def whole():
    return stated(pretrained.find("hand_xray"))


def test_facts_go_back_into_a_file_as_they_came(whole, run_2d, run_3d):
    for values in (whole, *(stated(RunFolder(run).model) for run in (run_2d, run_3d))):
        info = ModelInfo.from_json(values)
        assert info.to_json() == values
        assert list(info.to_json()) == list(values)  # in the same order
        assert ModelInfo.from_json(json.loads(json.dumps(info.to_json()))) == info


def test_the_facts_of_a_run_are_those_of_its_settings_and_data(run_2d):
    info = checkpoints.read_info(RunFolder(run_2d).model)
    assert info.config == config.load(RunFolder(run_2d).settings)
    assert (info.dims, info.channels, info.image_size, len(info.landmarks)) == (2, 1, (48, 32), 21)
    assert (info.maps, info.networks, info.members) == (info.landmarks, (info.config,), ())
    assert info.trained.tolist() == [True] * 21
    assert info.validation["epoch"] in (1, 2)
    assert len(info.peaks) in (1, 21)
    assert info.quantize is None


def test_keys_that_a_file_does_not_have_are_not_added(whole):
    later = {"untrained", "pixel_aspect", "data", "validation", "peaks", "members", "quantize", "calibration"}
    earlier = {key: value for key, value in whole.items() if key not in later}
    info = ModelInfo.from_json(earlier)
    assert (info.untrained, info.aspect, info.data, info.validation, info.peaks, info.members) == ((), "square", None, None, (), ())
    assert info.calibration is None
    assert info.model_copy(update={"validation": None, "members": ()}).to_json() == earlier


def test_settings_that_a_file_does_not_have_are_not_added(whole):
    train = {key: value for key, value in whole["config"]["train"].items() if key != "ema"}
    earlier = {**whole, "config": {**whole["config"], "train": train}}
    assert ModelInfo.from_json(earlier).config.train.ema == 0
    assert ModelInfo.from_json(earlier).to_json() == earlier


def test_settings_made_by_a_program_are_written_whole(whole):
    settings = config.from_dict({"model": {"preset": "tiny"}}).resolved(2)
    info = ModelInfo(**{**ModelInfo.from_json(whole).model_dump(exclude={"config"}), "config": settings})
    assert info.to_json()["config"] == settings.model_dump(mode="json")


def test_keys_of_a_later_version_stay(whole):
    later = {**whole, "colour": {"of": ["bones"]}}
    assert ModelInfo.from_json(later).to_json() == later


def test_facts_cannot_be_changed_in_place(whole):
    info = ModelInfo.from_json(whole)
    with pytest.raises(ValueError, match="frozen"):
        info.dims = 3
    with pytest.raises(ValueError, match="frozen"):
        info.config.train.seed = 3


def test_exports_name_no_service(run_2d):
    info = checkpoints.read_info(RunFolder(run_2d).model)
    data = info.config.data.model_copy(update={"service": "host:1"})
    served = info.model_copy(update={"config": info.config.model_copy(update={"data": data})})
    assert served.public().config.data.service is None


def test_exports_name_no_folder_of_images(run_2d, tmp_path):
    combine_runs.combine([run_2d, run_2d], tmp_path / "pair.keras")
    info = checkpoints.read_info(tmp_path / "pair.keras")
    assert info.config.data.root is not None
    public = info.public()
    assert [settings.data.root for settings in (public.config, *public.members)] == [None] * 3
    assert public.to_json().keys() == info.to_json().keys()
    assert "members" not in checkpoints.read_info(RunFolder(run_2d).model).public().to_json()


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG.items() for value in values])
def test_every_key_of_another_kind_is_a_mistake_that_names_it(whole, key, value):
    assert key in mistake({**whole, key: value}).replace("settings", "config").replace("data of the config", "members")


@pytest.mark.parametrize("key", ["name", "dims", "channels", "landmarks", "coordinates", "labels", "unit", "spacing_mm", "config"])
def test_a_key_that_is_missing_is_named(whole, key):
    assert key in mistake({name: value for name, value in whole.items() if name != key})


@pytest.mark.parametrize("name", ["image_size", "spacing_mm", "name"])
def test_a_setting_that_answers_depend_on_must_be_in_the_file(whole, name):
    model = {key: value for key, value in whole["config"]["model"].items() if key != name}
    assert mistake({**whole, "config": {**whole["config"], "model": model}}) == f"config.model.{name}: is missing"


@pytest.mark.parametrize("values", [5, None, [], "text"])
def test_what_is_no_mapping_is_refused(values):
    assert "dictionary" in mistake(values)


@pytest.mark.parametrize("changed", [{"untrained": 5}, {"channels": 3}, {"members": 5}])
def test_no_command_ends_in_a_traceback_over_such_a_file(run_2d, hands_2d, tmp_path, capsys, changed):
    with zipfile.ZipFile(run_2d / "model.keras") as source, zipfile.ZipFile(tmp_path / "other.keras", "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == ENTRY:
                said = {key: value for key, value in json.loads(content).items() if key != "checksum"}
                content = json.dumps({**said, **changed})
            target.writestr(name, content)
    image, out = hands_2d / "images" / "hand_008.png", tmp_path / "out"
    for rest in (["predict", image, "--out", out / "p.csv"], ["evaluate", "--out", out], ["export", out / "m.tflite"]):
        command = [rest[0], str(tmp_path / "other.keras"), *map(str, rest[1:])]
        assert cli.main(command) == 1
        assert "other.keras: is damaged" in capsys.readouterr().err
