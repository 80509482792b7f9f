import csv

import numpy as np
import pytest
import yaml

from scn_tf import cli, config, files, study
from scn_tf.study import execute, plan, statistics
from tests.conftest import REPOSITORY, small_config


def write_study(folder, root, **changes):
    """A study of forests, which train in a second, and of a small network."""
    base = yaml.safe_load(small_config(root).to_yaml())
    base["forest"] = {"trees": 2, "features": 20, "samples": 30, "leaf": 3}
    (folder / "base.yaml").write_text(yaml.safe_dump(base))
    values = {
        "base": "base.yaml",
        "settings": {"train.keep": "last"},
        "systems": {"SCN": None, "forest": {"model.name": "forest"}},
        "sizes": {4: {"data.train_count": 4}, "all": None},
        "seeds": [0, 1],
        **changes,
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(values))
    return folder / "study.yaml"


def test_every_combination_is_a_run_with_its_own_settings(hands_2d, tmp_path):
    file = write_study(tmp_path, hands_2d, folds={"one": {"data.val_split": "{fold}/{size}"}, "two": None})
    runs = study.read_study(file).runs()
    assert len(runs) == 2 * 2 * 2 * 2
    first = runs[0]
    assert (first.system, first.size, first.fold, first.seed) == ("SCN", "4", "one", 0)
    assert first.config.data.val_split == "one/4"
    assert (first.config.data.train_count, first.config.train.keep, runs[1].config.train.seed) == (4, "last", 1)
    assert {run.config.model.name for run in runs if run.system == "forest"} == {"forest"}


@pytest.mark.parametrize("name", ["hand_xray", "hand_xray_official"])
def test_the_studies_that_come_along_can_be_read(name):
    runs = study.read_study(REPOSITORY / "configs" / "studies" / f"{name}.yaml").runs("FOLDER")
    assert all(str(run.config.data.root) == "FOLDER" for run in runs)
    if name == "hand_xray_official":
        assert runs[0].config.data.train_split == "official/cv/set1/train"
        assert runs[-1].config.data.val_split == "official/cv/set3/test"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sistems": {}}, r"study\.yaml: sistems: .*did you mean systems"),
        ({"systems": {"SCN": {"model.nam": "scn"}}}, "unknown field; did you mean model.name"),
        ({"systems": {"SCN": {"model.name": "scm"}}}, "run SCN_4_split_seed0: model.name"),
        ({"folds": {"one": {"data.val_split": "{flod}"}}}, "only {size}, {fold} and {seed}"),
        ({"folds": {"one": {"data.val_split": "{fold.x}"}}}, "only {size}, {fold} and {seed}"),
        ({"systems": {"a b": {}, "a-b": {}}}, "same name"),
        ({"systems": {}}, "at least 1 item"),
        ({"seeds": []}, "at least 1 item"),
        ({"systems": {"labels": {"model.name": "segmentation"}}}, "segmentation finds no landmarks"),
    ],
)
def test_mistakes_in_a_study_are_named(changes, message, hands_2d, tmp_path):
    with pytest.raises(config.ConfigError, match=message):
        study.read_study(write_study(tmp_path, hands_2d, **changes)).runs()


def test_a_study_runs_goes_on_after_a_failure_and_reports(hands_2d, tmp_path, capsys):
    file, out = write_study(tmp_path, hands_2d, seeds=[0]), tmp_path / "out"
    arguments = ["study", str(file), "--out", str(out)]
    assert cli.main([*arguments, "--report"]) == 1  # nothing finished yet
    assert "no system has finished" in capsys.readouterr().err
    runs = study.read_study(file).runs()
    # One run cannot be: its folder is a file.
    blocked = execute.folder(out, runs[0])
    blocked.parent.mkdir(parents=True)
    blocked.write_text("in the way")
    assert cli.main([*arguments, "--jobs", "2"]) == 1
    assert f"{runs[0].name}: failed, see" in capsys.readouterr().err
    finished = execute.errors_file(out, runs[1])
    stamp = finished.stat().st_mtime_ns
    blocked.unlink()
    assert cli.main(arguments) == 0
    assert finished.stat().st_mtime_ns == stamp  # not done again
    text = (out / "results.md").read_text()
    assert text in capsys.readouterr().out
    assert "4 of 4 runs" in text
    rows = list(csv.DictReader((out / "results.csv").read_text().splitlines()))
    assert [(row["system"], row["size"]) for row in rows] == [("SCN", "4"), ("forest", "4"), ("SCN", "all"), ("forest", "all")]
    summary = yaml.safe_load((finished.parent / "summary.json").read_text())
    np.testing.assert_allclose(float(rows[1]["pe_mean"]), summary["pe_mean_mm"], rtol=1e-3)
    assert len(list(csv.DictReader((out / "differences.csv").read_text().splitlines()))) == 2
    for name in ("systems.png", "sizes.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    # The same folder with other settings would mix two studies.
    write_study(tmp_path, hands_2d, seeds=[0], settings={"train.keep": "last", "train.epochs": 3})
    for more in ([], ["--report"], ["--list"], ["--run", "0"]):
        assert cli.main([*arguments, *more]) == 1
        assert "holds this run with other settings" in capsys.readouterr().err


def test_an_interrupted_run_goes_on_where_the_data_lie_now(hands_2d, tmp_path):
    file, out = write_study(tmp_path, hands_2d), tmp_path / "out"
    run = study.read_study(file).runs(tmp_path / "gone")[2]
    # Begun where the data are no longer: settings are there, a checkpoint is not.
    files.write_text(execute.settings_file(out, run), run.config.to_yaml())
    files.write_text(execute.folder(out, run) / "config.yaml", run.config.to_yaml())
    moved = study.read_study(file).runs(hands_2d)[2]
    assert study.run_one(out, moved) == 0, execute.log_file(out, run).read_text()
    assert not study.unfinished(out, [moved])


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError])
def test_what_has_not_begun_when_a_study_is_stopped_does_not_begin(stop, hands_2d, tmp_path, monkeypatch):
    begun = []

    def interrupted(out, run):
        begun.append(run.name)
        raise stop

    monkeypatch.setattr(execute, "run_one", interrupted)
    runs = study.read_study(write_study(tmp_path, hands_2d)).runs()
    with pytest.raises(stop):
        study.run_all(tmp_path / "out", runs, jobs=1, progress=False)
    assert len(begun) < 4  # of eight: the pool may have begun another before it heard


def test_a_cluster_gets_one_job_a_run(hands_2d, tmp_path, capsys):
    file = write_study(tmp_path, hands_2d)
    assert cli.main(["study", str(file), "--write", "slurm"]) == 0
    script = capsys.readouterr().out
    assert "--array=0-7" in script
    assert '--run "$SLURM_ARRAY_TASK_ID"' in script
    assert cli.main(["study", str(file), "--write", "kubernetes"]) == 0
    job = yaml.safe_load(capsys.readouterr().out)
    assert (job["spec"]["completionMode"], job["spec"]["completions"]) == ("Indexed", 8)
    assert cli.main(["study", str(file), "--run", "8"]) == 1
    assert "--run: expected 0 to 7" in capsys.readouterr().err
    assert cli.main(["study", str(file), "--jobs", "0"]) == 1
    assert "--jobs: expected at least 1" in capsys.readouterr().err


def table(path, errors):
    lines = ["id,landmark,error_mm", *(f"image{i},{n},{'' if np.isnan(e) else e}" for (i, n), e in np.ndenumerate(errors))]
    path.write_text("\n".join(lines))
    return path


def test_figures_are_those_of_hand_made_errors(tmp_path):
    first = np.array([[1.0, 3.0], [np.nan, 2.0], [0.5, 12.0]])
    tables = {("a", 0): table(tmp_path / "a0", first), ("a", 1): table(tmp_path / "a1", first + 1), ("b", 0): table(tmp_path / "b0", first)}
    tables["b", 1] = tmp_path / "b1"  # does not exist: seed 1 lacks a fold
    assert statistics.collect(tables).points.shape == (1, 6, 2)
    errors = statistics.collect({key: path for key, path in tables.items() if key[0] == "a"})
    found = statistics.figures(errors)
    assert (found["seeds"], found["images"], found["points"]) == (2, 3, 5)
    np.testing.assert_allclose(found["pe_mean"], 3.7 + 0.5)
    np.testing.assert_allclose(found["ipe_mean"], (2 + 2 + 6.25) / 3 + 0.5)
    np.testing.assert_allclose(found["seed_std"], np.std([3.7, 4.7], ddof=1))
    assert found["outliers_10"] == 1.0
    np.testing.assert_allclose(found["sdr_2"], 100 * 3 / 10)


def test_an_image_without_landmarks_is_left_out_and_other_images_are_refused(tmp_path):
    errors = np.array([[1.0, 3.0], [np.nan, np.nan], [2.0, np.nan]])
    found = statistics.collect({("a", 0): table(tmp_path / "0", errors)})
    assert found.ids == ("a/image0", "a/image2")
    assert np.isfinite(list(statistics.figures(found)[name] for name in ("ipe_mean", "ipe_low", "ipe_high"))).all()
    with pytest.raises(config.ConfigError, match="not the same images"):
        statistics.collect({("a", 0): table(tmp_path / "0", errors), ("a", 1): table(tmp_path / "1", errors[:2])})


def test_a_paired_interval_is_narrower_than_the_difference_of_two_alone(rng):
    hard = rng.uniform(0, 10, (1, 40, 1))  # images differ a lot, systems by 0.5
    worse, better = (statistics.Errors(tuple(map(str, range(40))), hard + a, "mm") for a in (rng.normal(0.5, 0.1, hard.shape), 0.0))
    mean, low, high = statistics.difference(worse, better)
    assert low < mean < high
    assert low > 0.4
    assert high < 0.6
    alone = statistics.interval(better.images.mean(axis=0))
    assert alone[1] - alone[0] > 1
    np.testing.assert_allclose(alone[1] - alone[0], 2 * 1.96 * hard.std() / np.sqrt(40), rtol=0.1)  # the normal approximation
    assert statistics.difference(worse, better._replace(ids=tuple("x" * 40))) is None


def test_a_seed_draws_nested_training_sets(hands_2d, tmp_path):
    from scn_tf import training

    drawn = {}
    for count in (2, 5):
        job = training.prepare(small_config(hands_2d, data__train_count=count), tmp_path / str(count), resume=False)
        drawn[count] = {tuple(example["landmarks"].numpy().ravel()) for example in job.training}
        assert len(drawn[count]) == count
    assert drawn[2] < drawn[5]
    with pytest.raises(config.ConfigError, match=r"data\.train_count: 8 images, but split train .* has 7"):
        training.prepare(small_config(hands_2d, data__train_count=8), tmp_path / "8", resume=False)


def test_names_of_runs_are_safe_file_names():
    study_ = plan.Study(base=REPOSITORY / "configs" / "hand_xray_quick.yaml", systems={"../a b": {}})
    assert study_.runs()[0].name == "..-a-b_all_split_seed0"
