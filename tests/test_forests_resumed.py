"""Forests that were interrupted while they grew are grown anew, and remember the data that they are grown on."""

import shutil

from scn_tf import train_run
from scn_tf.data import fingerprint
from tests.conftest import small_config

SMALL = dict(model__name="forest", forest__trees=2, forest__features=10, forest__samples=20, forest__leaf=3)


def test_data_that_were_accepted_for_new_forests_are_accepted_the_next_time_too(hands_2d, tmp_path):
    changed = tmp_path / "set"
    shutil.copytree(hands_2d, changed)
    settings, run = small_config(changed, **SMALL), tmp_path / "run"
    train_run.train(settings, run)
    (run / "model.npz").unlink()  # as after a kill while they grew
    lines = (changed / "splits" / "train.txt").read_text().splitlines()
    (changed / "splits" / "train.txt").write_text("\n".join(lines[:-1]) + "\n")
    train_run.train(settings, run, resume=True, accept_changed_data=True)
    train_run.train(settings, run, resume=True)


def test_names_may_be_given_to_landmarks_that_were_counted_but_not_taken_away():
    same = {"coordinates": "pixel", "spacing_mm": None, "normalization": None, "unit": "px", "training": {}, "validation": {}}
    named, counted = {**same, "landmarks": ["a", "b"]}, {**same, "landmarks": ["0", "1"]}
    assert fingerprint.changes(counted, named) == []
    assert fingerprint.changes(named, counted) == ["landmarks had names (a, b), have none"]
