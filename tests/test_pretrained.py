import json
import zipfile

import numpy as np
import pytest

import scn_tf
from scn_tf import cli
from scn_tf.runs import checkpoints, pretrained


def test_a_halved_model_is_smaller_and_reads_back_rounded_weights(run_2d, tmp_path):
    source, target = run_2d / "model.keras", tmp_path / "half.keras"
    network, info = checkpoints.load_model(source)
    checkpoints.halve(source, target, info.model_copy(update={"name": "other"}))
    halved, about = checkpoints.load_model(target)
    assert about.name == "other"
    with zipfile.ZipFile(source) as before, zipfile.ZipFile(target) as after:
        saved = before.getinfo("model.weights.h5").file_size - after.getinfo("model.weights.h5").file_size
    assert saved > 1.9 * network.count_params()  # two bytes a weight
    for exact, near in zip(network.get_weights(), halved.get_weights(), strict=True):
        assert near.dtype == "float32"
        np.testing.assert_array_equal(near, exact.astype("float16").astype("float32"))


def test_every_model_that_comes_along_is_small_has_a_card_and_names_no_folder():
    assert pretrained.names()
    for name in pretrained.names():
        assert (pretrained.FOLDER / f"{name}.keras").stat().st_size <= 4_000_000
        about = pretrained.describe(name)
        assert about.config.data.root is None
        card = pretrained.card(name)
        for word in ("Data", "Limits", "not a medical device", *about.landmarks[:1]):
            assert word in card
    assert pretrained.find("none") is None


def test_a_model_is_used_by_its_name_but_a_folder_of_that_name_comes_first(run_2d, tmp_path, monkeypatch):
    name = pretrained.names()[0]
    monkeypatch.chdir(tmp_path)
    assert scn_tf.load(name).names == pretrained.describe(name).landmarks
    (tmp_path / name).symlink_to(run_2d)
    assert scn_tf.load(name).names[0] == "thumb_mcp"


def test_an_export_or_a_run_just_begun_of_that_name_is_not_hidden(tmp_path, monkeypatch):
    name = pretrained.names()[0]
    monkeypatch.chdir(tmp_path)
    (tmp_path / name / "1").mkdir(parents=True)
    (tmp_path / name / "1" / "saved_model.pb").write_bytes(b"no graph")
    with pytest.raises(checkpoints.CheckpointError, match="is damaged"):
        scn_tf.load(name)
    (tmp_path / name / "1" / "saved_model.pb").unlink()
    (tmp_path / name / "config.yaml").write_text("{}")
    with pytest.raises(checkpoints.CheckpointError, match="no model there"):
        scn_tf.load(name)


def test_an_evaluation_of_a_name_writes_nothing_into_the_data_set(real_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "hand_xray"
    root.mkdir()
    for part in ("dataset.yaml", "landmarks.csv", "images"):
        (root / part).symlink_to(real_data / "hand_xray" / part)
    (root / "splits").mkdir()
    (root / "splits" / "few.txt").write_text((real_data / "hand_xray" / "splits" / "val.txt").read_text().splitlines()[0])
    assert cli.main(["evaluate", "hand_xray", "--split", "few", "--data.root", "hand_xray"]) == 0
    assert (tmp_path / "hand_xray-evaluation" / "few" / "summary.json").is_file()
    assert not (root / "evaluation").exists()


def test_other_commands_say_what_a_name_lacks_and_never_hide_it(tmp_path, monkeypatch, capsys):
    name = pretrained.names()[0]
    monkeypatch.chdir(tmp_path)
    for arguments in (["evaluate", name], ["check_parity", name, "out"], ["export", name, "out.tflite", "--quantize", "int8"]):
        assert cli.main(arguments) == 1
        assert "--data.root" in capsys.readouterr().err
    (tmp_path / name).mkdir()  # a folder without a model
    assert scn_tf.load(name).names == pretrained.describe(name).landmarks


def test_models_are_listed_and_their_cards_shown(capsys):
    name = pretrained.names()[0]
    assert cli.main(["models"]) == 0
    assert capsys.readouterr().out.startswith(name)
    assert cli.main(["models", name]) == 0
    assert capsys.readouterr().out == pretrained.card(name)
    assert cli.main(["models", "hand_xrey"]) == 1
    assert "did you mean hand_xray?" in capsys.readouterr().err


def test_the_hand_model_finds_hands(real_data, tmp_path):
    """That it works, not how well (its card says that)."""
    images = sorted((real_data / "hand_xray" / "images").iterdir())[:2]
    table = tmp_path / "found.csv"
    assert cli.main(["predict", "hand_xray", *map(str, images), "--out", str(table)]) == 0
    found = np.genfromtxt(table, delimiter=",", skip_header=1, usecols=(2, 3)).reshape(2, 37, 2)
    rows = (line.split(",") for line in (real_data / "hand_xray" / "landmarks.csv").read_text().splitlines())
    truth = {row[0]: np.array(row[1:], float).reshape(37, 2) for row in rows}
    for image, landmarks in zip(images, found, strict=True):
        assert np.linalg.norm(landmarks - truth[image.stem], axis=1).mean() < 6  # pixels of the file, about 1.5 mm


@pytest.mark.parametrize("name", ["hand_xray"])
def test_a_card_tells_what_its_model_was_trained_with(name):
    with zipfile.ZipFile(pretrained.FOLDER / f"{name}.keras") as archive:
        about = json.loads(archive.read("scn_tf.json"))
    settings = about["config"]
    assert f"`data.train_split: {settings['data']['train_split']}`" in pretrained.card(name)
    assert f"{settings['train']['epochs']} epochs" in pretrained.card(name)
