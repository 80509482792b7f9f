"""The tools that pack a model and relabel a data set."""

import shutil

import numpy as np
import pytest

from scn_tf.data.dataset import open_dataset
from scn_tf.runs import checkpoints, pretrained
from tools import pack_model, relabel


@pytest.mark.parametrize(
    ("train_split", "said"), [("train", ""), ("train+val", "val: trained this model, so its error there is left out.\n")]
)
def test_a_run_is_packed_as_a_model_of_half_the_size(train_split, said, run_2d, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    source = tmp_path / "source.keras"
    shutil.copy(run_2d / "model.keras", source)
    before = checkpoints.read_info(source)
    data = before.config.data.model_copy(update={"train_split": train_split})
    checkpoints.restate(source, before.model_copy(update={"config": before.config.model_copy(update={"data": data})}))
    monkeypatch.setattr("sys.argv", ["pack_model.py", str(source), "hands"])
    pack_model.main()
    target = tmp_path / "hands.keras"
    assert capsys.readouterr().out.startswith(f"{said}{target}: ")
    assert target.stat().st_size < (run_2d / "model.keras").stat().st_size
    _, info = checkpoints.load_model(target)
    assert info.validation == (None if said else before.validation)
    assert info.calibration == before.calibration
    assert len(info.landmarks) == 21


def test_relabelled_training_points_are_those_that_the_teacher_finds(run_2d, hands_2d, tmp_path, monkeypatch):
    import scn_tf

    out = tmp_path / "new"
    shutil.copytree(hands_2d, tmp_path / "set")
    arguments = [str(run_2d), "--data.root", str(tmp_path / "set"), "--weight", "0.5", "--out", str(out)]
    monkeypatch.setattr("sys.argv", ["relabel.py", *arguments])
    out.mkdir()
    relabel.main()
    old, new = open_dataset(tmp_path / "set"), open_dataset(out)
    teacher = scn_tf.load(str(run_2d))
    for identity in old.split("val"):
        np.testing.assert_allclose(new.landmarks[identity], old.landmarks[identity], atol=6e-4)
    for identity in old.split("train")[:2]:
        found = teacher.predict(old.files[identity]).landmarks
        np.testing.assert_allclose(new.landmarks[identity], (old.landmarks[identity] + found) / 2, atol=6e-4)
