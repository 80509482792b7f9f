"""``scn-tf calibrate --folds``: networks that were each trained without a part of the images, and what their errors say of the run."""

import dataclasses
import itertools
import json
import shutil

import numpy as np
import pytest

from scn_tf import calibrate_folds, cli, combine_runs, config, evaluate_run, systems
from scn_tf.data.dataset import open_dataset
from scn_tf.errors import ConfigError, DatasetError, DataWarning
from scn_tf.intake import splits
from scn_tf.runs import checkpoints
from scn_tf.runs.folder import RunFolder
from scn_tf.runs.training_images import calibrated_on, trained_on
from tests.conftest import with_settings

FOLDS = 2


def calibrate(run, *more):
    return cli.main(["calibrate", str(run), *map(str, more)])


def interrupted_after_one_training(monkeypatch):
    """In what follows, the second training ends at once, as by Ctrl-C."""
    of, started = systems.of, []

    def train(job, original):
        started.append(job)
        if len(started) > 1:
            raise KeyboardInterrupt
        return original(job)

    def changed(settings):
        system = of(settings)
        return dataclasses.replace(system, train=lambda job: train(job, system.train))

    monkeypatch.setattr(systems, "of", changed)


@pytest.fixture(scope="module")
def folded(run_2d, tmp_path_factory):
    """A copy of a run after ``scn-tf calibrate --folds`` that was interrupted and repeated."""
    run = shutil.copytree(run_2d, tmp_path_factory.mktemp("folded") / "run")
    before = (run / "model.keras").read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        interrupted_after_one_training(patch)
        assert calibrate(run, "--folds", FOLDS) == 130
    assert (run / "model.keras").read_bytes() == before
    first = times(run / "folds" / "1-of-2")
    assert calibrate(run, "--folds", FOLDS) == 0
    assert times(run / "folds" / "1-of-2") == first
    return run


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def fold_settings(run):
    return [config.load(RunFolder(run).fold(number, FOLDS).settings) for number in (1, 2)]


def test_each_network_is_trained_without_its_part_and_the_parts_are_all_images(folded, hands_2d):
    dataset = open_dataset(hands_2d)
    training = dataset.split("train")
    settings = fold_settings(folded)
    parts = [own.data.leave_out for own in settings]
    assert sorted(parts[0] + parts[1]) == sorted(training)
    assert {len(part) for part in parts} == {3, 4}
    for number, part in enumerate(parts, start=1):
        info = checkpoints.read_info(folded / "folds" / f"{number}-of-2" / "model.keras")
        assert sorted([*trained_on(info, dataset), *part]) == sorted(training)
        assert info.data["training"]["images"] == len(training) - len(part)
    own = checkpoints.read_info(folded / "model.keras").config
    assert config.differences(settings[0], own) == ["data.leave_out"]


def test_the_run_knows_the_errors_of_all_parts_and_keeps_its_weights(folded, run_2d, hands_2d):
    network, info = checkpoints.load_model(folded / "model.keras")
    before, known = checkpoints.load_model(run_2d / "model.keras")
    for one, other in zip(network.get_weights(), before.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert info.model_copy(update={"calibration": known.calibration}) == known
    stored = info.calibration
    assert (stored.split, stored.folds, stored.images, stored.points) == ("train", 2, 7, 7 * len(info.landmarks))
    assert stored.source == "train, 2 folds"
    assert stored.places is not None
    dataset = open_dataset(hands_2d)
    assert calibrated_on(info, dataset) == dataset.split("train")


def test_errors_are_those_of_the_networks_of_the_folds_and_finished_ones_are_not_trained_again(folded, tmp_path):
    run = shutil.copytree(folded, tmp_path / "run")
    before = checkpoints.read_info(run / "model.keras").calibration
    file = run / "folds" / "2-of-2" / "model.keras"
    network, info = checkpoints.load_model(file)
    network.set_weights([np.zeros_like(one) for one in network.get_weights()])
    checkpoints.save_model(network, file, info)
    calibration, _ = calibrate_folds.calibrate(run, FOLDS)
    # The logarithm of a peak's height, in the mean: three of the seven images have no peaks now.
    assert calibration.mean[0] < before.mean[0] - 3 / 7
    assert not checkpoints.load_model(file)[0].get_weights()[0].any()


def test_an_evaluation_says_which_images_calibrated_the_model(folded, tmp_path):
    with pytest.warns(DataWarning, match="trained on, too"):
        summary, out = evaluate_run.evaluate(folded, "train", out=tmp_path / "train")
    assert summary["trust"]["calibration"] == {"split": "train", "folds": 2, "images": 7, "points": 147, "among_these": 7}
    page = (out / "report.html").read_text()
    assert "calibrated on 7 images of split train, by 2 networks that were each trained without a part of them. All of the" in page
    summary, _ = evaluate_run.evaluate(folded, "val", out=tmp_path / "val")
    assert summary["trust"]["calibration"]["among_these"] == 0


def test_first_mistakes_are_told_before_any_training(folded, run_2d, hands_2d, bare_2d, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(systems, "of", lambda settings, of=systems.of: dataclasses.replace(of(settings), train=None))
    combine_runs.combine([run_2d, bare_2d], tmp_path / "pair.keras")
    changed = shutil.copytree(hands_2d, tmp_path / "changed")
    table = (changed / "landmarks.csv").read_text().splitlines()
    (changed / "landmarks.csv").write_text("\n".join([line.replace(".", ".1", 1) for line in table]) + "\n")
    said = {
        "--folds: expected at least 2, received 1": (run_2d, "--folds", 1),
        "--folds: 8 parts, but the 7 training images are all; name at most as many": (run_2d, "--folds", 8),
        "--minutes: needs --folds": (run_2d, "--minutes", 1),
        "train.minutes: input should be greater than 0": (run_2d, "--folds", 2, "--minutes", -1),
        "needs the folder of a run, which has one network": (tmp_path / "pair.keras", "--folds", 2),
        "bare_2d.keras: --folds needs the folder of a run": (bare_2d, "--folds", 2),
        "1-of-2: was trained with other settings (train.minutes)": (folded, "--folds", 2, "--minutes", 5),
        "are not those that trained the model": (run_2d, "--folds", 2, "--data.root", changed),
    }
    for message, options in said.items():
        assert calibrate(*options) == 1
        assert message in capsys.readouterr().err.replace("\n", " ")
    assert not (run_2d / "folds").exists()
    with pytest.raises(SystemExit):
        calibrate(run_2d, "--folds", 2, "--split", "val")


def test_too_few_images_are_refused_before_any_training(hands_2d, run_2d):
    settings = checkpoints.read_info(run_2d / "model.keras").config
    training = open_dataset(hands_2d).split("train")
    with pytest.raises(DatasetError, match=r"split train: cannot calibrate: it has 2 images with 42 points; needed are 3 and 19\."):
        calibrate_folds._parted(training[:2], FOLDS, open_dataset(hands_2d), settings)


def test_a_fold_of_other_data_is_refused(folded, hands_2d, tmp_path):
    run = shutil.copytree(folded, tmp_path / "run")
    data = run / "folds" / "2-of-2" / "data.json"
    known = json.loads(data.read_text())
    left_out = next(image_id for image_id in open_dataset(hands_2d).split("train") if image_id not in known["training"])
    known["training"][left_out] = known["training"].popitem()[1]  # of an earlier list
    data.write_text(json.dumps(known))
    with pytest.raises(DatasetError, match=r"2-of-2: was trained on other data \(.*\); remove the folder to train again"):
        calibrate_folds.calibrate(run, FOLDS)


def test_where_a_part_has_all_validation_images_its_network_is_validated_by_what_trains_it(run_2d, hands_2d):
    dataset, info = open_dataset(hands_2d), checkpoints.read_info(run_2d / "model.keras")
    val = dataset.split("val")
    own = with_settings(info, data__train_split="train+val").config
    for part, split in ((val, "train+val"), (val[:2], "val"), (dataset.split("train")[:3], "val")):
        without = calibrate_folds._without(part, dataset, own, 3.0)
        assert (without.data.leave_out, without.data.val_split, without.train.minutes) == (tuple(part), split, 3.0)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_parts_are_of_about_equal_size_and_keep_patients_together(count):
    patients = {f"image_{number:02d}": f"patient_{number % 13 if number < 26 else number}" for number in range(31)}
    parts = splits.folds(patients, count, seed=3)
    assert sorted(itertools.chain.from_iterable(parts)) == sorted(patients)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert all(part == sorted(part) for part in parts)
    where = [{patients[image_id] for image_id in part} for part in parts]
    assert sum(map(len, where)) == len(set.union(*where))
    assert splits.folds(patients, count, seed=3) == parts
    assert splits.folds(patients, count, seed=4) != parts


def test_images_are_left_out_of_the_splits(hands_2d, run_2d):
    dataset = open_dataset(hands_2d)
    training = dataset.split("train")
    values = config.override({"data": {"root": str(hands_2d)}}, {"data.leave_out": f"{training[1]}, {training[4]}"})
    settings = config.from_dict(values)
    assert settings.data.leave_out == (training[1], training[4])
    kept = [training[number] for number in (0, 2, 3, 5, 6)]
    assert dataset.drawn("train", None, seed=0, leave_out=settings.data.leave_out) == kept
    drawn = dataset.drawn("train", 5, seed=0)
    assert dataset.drawn("train", 5, seed=0, leave_out=drawn[:2]) == drawn[2:]
    with pytest.raises(DatasetError, match=r"data\.leave_out: typo: .* has no image of this ID"):
        dataset.drawn("train", None, seed=0, leave_out=["typo"])
    with pytest.raises(DatasetError, match=r"data\.leave_out: names every image of split val"):
        dataset.drawn("val", None, seed=0, leave_out=dataset.split("val"))
    with pytest.raises(ConfigError, match=r"data\.leave_out: expected IDs with commas between them"):
        config.from_dict({"data": {"leave_out": 5}})


def test_a_combined_model_is_calibrated_on_the_split_of_its_members(run_2d, tmp_path, capsys):
    file = tmp_path / "pair.keras"
    assert cli.main(["combine", str(run_2d), str(run_2d), "--out", str(file)]) == 0
    assert "calibrated on 3 images of val, 63 points" in capsys.readouterr().out
    stored = checkpoints.read_info(file).calibration
    assert (stored.split, stored.folds, stored.images, stored.points) == ("val", None, 3, 63)
    alone = checkpoints.read_info(run_2d / "model.keras").calibration
    np.testing.assert_allclose(np.exp(np.mean(stored.offsets)), np.exp(np.mean(alone.offsets)), rtol=0.1)  # of the same network


def test_a_combined_model_says_why_it_is_not_calibrated(run_2d, bare_2d, folded, tmp_path, capsys):
    moved = tmp_path / "moved.keras"
    shutil.copy(run_2d / "model.keras", moved)
    info = checkpoints.read_info(moved)
    gone = info.config.model_copy(update={"data": info.config.data.model_copy(update={"root": tmp_path / "gone"})})
    checkpoints.restate(moved, info.model_copy(update={"config": gone}))
    said = {
        "bare_2d.keras is not calibrated": (run_2d, bare_2d),
        "different images (val and train, 2 folds)": (run_2d, folded),
        "calibrated with folds (train, 2 folds)": (folded, folded),
        "gone": (moved, run_2d),
    }
    for number, (message, members) in enumerate(said.items()):
        file = tmp_path / f"{number}.keras"
        assert cli.main(["combine", *map(str, members), "--out", str(file)]) == 0
        out = capsys.readouterr().out
        assert message in out
        assert f"scn-tf calibrate {file} --split NAME" in out
        assert checkpoints.read_info(file).calibration is None
