import csv
import os
import re
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
import yaml

from scn_tf import cli, config, study
from scn_tf.environment import cores, processors
from scn_tf.errors import DatasetError, DataWarning
from scn_tf.runs.folder import RunFolder
from scn_tf.storage import files
from scn_tf.study import cluster, execute, plan, report, statistics
from tests.conftest import REPOSITORY, Here, errors_table, small_config


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


@pytest.mark.parametrize("name", ["hand_xray", "hand_xray_official", "hand_xray_tuning"])
def test_the_bundled_studies_can_be_read(name):
    runs = study.read_study(name).runs("FOLDER")
    networks = [run.config.train for run in runs if run.config.model.name not in ("forest", "forest_shape")]
    assert all(train.validate_every < train.epochs for train in networks)  # what is interrupted can go on
    assert all(str(run.config.data.root) == "FOLDER" for run in runs)
    if name == "hand_xray_official":
        assert runs[0].config.data.train_split == "official/cv_rand/10/1/set1/train"
        assert runs[-1].config.data.val_split == "official/cv/set3/test"
        assert runs[-1].size == "597"  # the figure of all systems is drawn for the last size
    if name != "hand_xray_tuning":
        assert {run.config.resolved(2).model.spatial_pooling for run in runs if run.system == "Payer 2016"} == {8}  # the published one


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sistems": {}}, r"study\.yaml: sistems: .*did you mean systems"),
        ({"systems": {"SCN": {"model.nam": "scn"}}}, r"run SCN_4_split_seed0: model\.nam: unknown field; did you mean model\.name\?$"),
        ({"systems": ["SCN"]}, "systems: expected names with settings"),
        ({"sizes": [4, "al"]}, "sizes: expected numbers of training images or all"),
        ({"sizes": 4}, "sizes: expected names with settings, received 4"),
        ({"folds": ["one", "two"]}, "one and two have equal settings"),
        ({"seeds": [0, 0]}, "every seed once"),
        ({"systems": {"SCN": {"model.name": "scm"}}}, "run SCN_4_split_seed0: model.name"),
        ({"folds": {"one": {"data.val_split": "{flod}"}}}, "only {size}, {fold} and {seed}"),
        ({"folds": {"one": {"data.val_split": "{fold.x}"}}}, "only {size}, {fold} and {seed}"),
        ({"systems": {"a b": {}, "a-b": {}}}, "same name"),
        ({"systems": {}}, "at least 1 item"),
        ({"seeds": []}, "at least 1 item"),
        ({"sizes_figure": ["SNC"]}, r"study\.yaml: sizes_figure: 'SNC' is not among the systems SCN, forest"),
        ({"systems": {"labels": {"model.name": "segmentation"}}}, "segmentation finds no landmarks"),
    ],
)
def test_mistakes_in_a_study_are_named(changes, message, hands_2d, tmp_path):
    with pytest.raises(config.ConfigError, match=message):
        study.read_study(write_study(tmp_path, hands_2d, **changes)).runs()


def test_a_study_runs_goes_on_after_a_failure_and_reports(hands_2d, tmp_path, capsys, monkeypatch, in_this_process):
    file, out = write_study(tmp_path, hands_2d, seeds=[0], sizes_figure=["forest"]), tmp_path / "out"
    arguments = ["study", str(file), "--out", str(out)]
    shown, original = [], report.pictures.image_error_curves
    monkeypatch.setattr(
        report.pictures, "image_error_curves", lambda errors, **more: (shown.append(list(errors)), original(errors, **more))[1]
    )
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
    assert shown[-2:] == [[("SCN", "all"), ("forest", "all")], [("forest", "4"), ("forest", "all")]]
    # The same folder with other settings would mix two studies.
    write_study(tmp_path, hands_2d, seeds=[0], settings={"train.keep": "last", "train.epochs": 3})
    for more in ([], ["--report"], ["--list"], ["--run", "0"]):
        assert cli.main([*arguments, *more]) == 1
        assert "holds this run with other settings" in capsys.readouterr().err


def test_systems_are_compared_with_all_before_them_and_the_text_shows_the_first(hands_2d, tmp_path):
    systems = {"A": {"model.filters": 4}, "B": {"model.filters": 5}, "C": {"model.filters": 6}}
    runs = study.read_study(write_study(tmp_path, hands_2d, systems=systems, sizes=["all"], seeds=[0])).runs()
    for run, error in zip(runs, (1.0, 3.0, 2.5), strict=True):
        file = execute.errors_file(tmp_path, run)
        file.parent.mkdir(parents=True)
        file.write_text(f"image_id,landmark,error_mm\na,0,{error}\nb,0,{error}\n")
    text = report.write_report(tmp_path, runs)
    rows = csv.DictReader((tmp_path / "differences.csv").read_text().splitlines())
    found = [(row["system"], row["minus"], float(row["mean"])) for row in rows]
    assert found == [("B", "A", 2.0), ("C", "A", 1.5), ("C", "B", -0.5)]
    assert "| B | all | A |" in text
    assert "| C | all | B |" not in text
    assert "seeds |" not in text.replace("| seeds |", "")  # one seed has no spread


@pytest.mark.parametrize("seeds", [[0], [0, 1]])
def test_tables_have_as_many_cells_in_every_row(seeds, hands_2d, tmp_path):
    systems = {"A": {"model.filters": 4}, "B": {"model.filters": 5}}
    runs = study.read_study(write_study(tmp_path, hands_2d, systems=systems, sizes=["all"], seeds=seeds)).runs()
    for run in runs:
        file = execute.errors_file(tmp_path, run)
        file.parent.mkdir(parents=True)
        file.write_text("image_id,landmark,error_mm\na,0,1\nb,0,2\n")
    tables = report.write_report(tmp_path, runs).split("\n\n")
    widths = [{line.count("|") for line in table.splitlines()} for table in tables if table.startswith("|")]
    assert widths == ([{13}, {6}] if len(seeds) == 1 else [{14}, {7}])


def test_sizes_and_folds_may_be_lists_and_splits_may_be_numbers(hands_2d, tmp_path):
    file = write_study(tmp_path, hands_2d, sizes=[4, "all"], folds=[1, 2], settings={"data.val_split": "{fold}"}, seeds=[0])
    runs = study.read_study(file).runs("/data/{x}")
    assert [(r.system, r.size, r.fold, r.config.data.val_split, r.config.data.train_count) for r in runs[:4]] == [
        ("SCN", "4", "1", "1", 4),
        ("SCN", "4", "2", "2", 4),
        ("forest", "4", "1", "1", 4),
        ("forest", "4", "2", "2", 4),
    ]
    assert runs[-1].config.data.train_count is None
    assert str(runs[0].config.data.root) == "/data/{x}"


def test_missing_images_are_counted_once_before_anything_runs(hands_2d, tmp_path, capsys):
    root = shutil.copytree(hands_2d, tmp_path / "set")
    for name in ("hand_001", "hand_002"):
        (root / "images" / f"{name}.png").unlink()
    file, out = write_study(tmp_path, root), tmp_path / "out"
    for more in ([], ["--run", "0"]):
        assert cli.main(["study", str(file), "--out", str(out), *more]) == 1
        assert "2 of the 7 images of split train are missing" in capsys.readouterr().err
    assert not (out / "logs").exists()
    skipping = study.read_study(write_study(tmp_path, root, settings={"data.missing": "skip"})).runs()
    with pytest.warns(DataWarning, match="continuing with 5"):
        study.check_data(out, skipping)
    systems = {"A": {"data.missing": "skip"}, "B": None}  # what one may leave out another may not
    with pytest.warns(DataWarning), pytest.raises(DatasetError, match="2 of the 7 images"):
        study.check_data(out, study.read_study(write_study(tmp_path, root, systems=systems)).runs())
    with pytest.warns(DataWarning), pytest.raises(DatasetError, match="has 5"):
        study.check_data(out, study.read_study(write_study(tmp_path, root, sizes=[6], settings={"data.missing": "skip"})).runs())


def test_a_run_all_of_whose_images_are_missing_is_left_out_and_the_others_go_on(hands_2d, tmp_path, capsys, in_this_process):
    root = shutil.copytree(hands_2d, tmp_path / "set")
    (root / "images" / "hand_001.png").unlink()
    (root / "splits" / "gone.txt").write_text("hand_001\n")
    sizes = {"gone": {"data.train_split": "gone"}, "all": None}
    settings = {"train.keep": "last", "train.epochs": 1, "data.missing": "skip"}
    systems, out = {"forest": {"model.name": "forest"}}, tmp_path / "out"
    file = write_study(tmp_path, root, systems=systems, sizes=sizes, seeds=[0], settings=settings)
    with warnings.catch_warnings(action="default"):
        assert cli.main(["study", str(file), "--out", str(out)]) == 0
        shown = capsys.readouterr()
        assert "1 of 2 runs" in shown.out
        assert "warning: without any image, left out: forest_gone_split_seed0." in shown.err
        assert cli.main(["study", str(file), "--out", str(out), "--run", "1"]) == 0
        assert "forest_gone_split_seed0: left out" in capsys.readouterr().out


def test_a_fold_all_of_whose_images_are_missing_leaves_a_report_of_the_others(hands_2d, tmp_path, capsys, in_this_process):
    root = shutil.copytree(hands_2d, tmp_path / "set")
    (root / "images" / "hand_001.png").unlink()
    (root / "splits" / "gone.txt").write_text("hand_001\n")
    settings = {"train.keep": "last", "train.epochs": 1, "data.missing": "skip"}
    folds = {"a": {"data.val_split": "val"}, "b": {"data.val_split": "gone"}}
    systems, out = {"forest": {"model.name": "forest"}}, tmp_path / "out"
    file = write_study(tmp_path, root, systems=systems, sizes=["all"], folds=folds, seeds=[0], settings=settings)
    with warnings.catch_warnings(action="default"):
        assert cli.main(["study", str(file), "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "1 of 2 runs" in shown
    assert "Left out, without any image: forest_all_b_seed0." in shown
    assert cli.main(["study", str(file), "--out", str(out), "--list"]) == 0
    assert "   1  left out  forest_all_b_seed0" in capsys.readouterr().out
    shutil.copy(hands_2d / "images" / "hand_001.png", root / "images")  # found again
    study.check_data(out, study.read_study(file).runs())
    assert study.left_out(out) == set()


def test_all_means_all_whatever_the_settings_draw(hands_2d, tmp_path):
    file = write_study(tmp_path, hands_2d, sizes=[2, "all"], settings={"train.keep": "last", "data.train_count": 3})
    assert {(run.size, run.config.data.train_count) for run in study.read_study(file).runs()} == {("2", 2), ("all", None)}


def test_a_folder_whose_configs_are_gone_is_compared_with_its_runs(hands_2d, tmp_path):
    runs, out = study.read_study(write_study(tmp_path, hands_2d)).runs(), tmp_path / "out"
    files.write_text(execute.folder(out, runs[0]) / "config.yaml", runs[0].config.resolved(2).to_yaml())
    study.check_settings(out, runs)
    files.write_text(execute.folder(out, runs[0]) / "config.yaml", runs[1].config.resolved(2).to_yaml())
    with pytest.raises(config.ConfigError, match="other settings"):
        study.check_settings(out, runs)
    # What the run was trained with counts, not what it was started with.
    files.write_text(execute.settings_file(out, runs[0]), runs[0].config.to_yaml())
    with pytest.raises(config.ConfigError, match="other settings"):
        study.check_settings(out, runs)
    files.write_text(execute.folder(out, runs[0]) / "config.yaml", small_config(hands_2d, 3).to_yaml())
    with pytest.raises(config.ConfigError, match="other settings"):
        study.check_settings(out, runs)


def test_settings_are_the_same_run_where_they_mean_the_same_in_2d_and_3d():
    def of(**model):
        return config.from_dict({"model": {"preset": "tiny", **model}})

    changed = ["model.filters", "model.finest_filters", "model.spatial_filters"]
    assert config.differences(of(), of(filters=32)) == changed  # in 2D alone it would be the same
    deep = config.from_dict({"model": {"preset": "paper", "spatial_pooling": 6}})  # in 3D alone
    assert config.differences(deep, deep) == []
    assert config.differences(of(image_size=[32, 32]), of(image_size=[32, 32], filters=32)) == []
    assert config.differences(of(image_size=[32, 32]), of(image_size=[32, 32, 32])) == ["model.image_size"]
    impossible = config.from_dict({"model": {"name": "unet", "image_size": [40, 40]}})
    possible = config.from_dict({"model": {"name": "unet", "image_size": [40, 40], "levels": 4}}).resolved(2)
    assert config.differences(impossible, possible) == ["model"]


def test_a_trained_run_is_evaluated_where_the_data_lie_now(hands_2d, tmp_path, in_this_process):
    before = shutil.copytree(hands_2d, tmp_path / "before")
    file, out = write_study(tmp_path, before), tmp_path / "out"
    run = study.read_study(file).runs()[2]
    assert run.system == "forest"
    assert study.run_one(out, run) == 0, execute.log_file(out, run).read_text()
    shutil.rmtree(execute.folder(out, run) / "evaluation")  # killed before it was evaluated
    before.rename(tmp_path / "after")
    moved = study.read_study(file).runs(tmp_path / "after")[2]
    assert study.run_one(out, moved) == 0, execute.log_file(out, run).read_text()
    assert not study.unfinished(out, [moved])


def test_an_interrupted_run_goes_on_where_the_data_lie_now(hands_2d, tmp_path, in_this_process):
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

    def interrupted(out, run, **options):
        begun.append(run.name)
        raise stop

    monkeypatch.setattr(execute, "run_one", interrupted)
    runs = study.read_study(write_study(tmp_path, hands_2d)).runs()
    with pytest.raises(stop):
        study.run_all(tmp_path / "out", runs, jobs=1, progress=False)
    assert len(begun) < 4  # of eight: the pool may have begun another before it heard


def test_an_interrupted_study_says_how_it_goes_on(hands_2d, tmp_path, monkeypatch, capsys):
    def interrupted(out, run, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(execute, "run_one", interrupted)
    assert cli.main(["study", str(write_study(tmp_path, hands_2d)), "--out", str(tmp_path / "out")]) == 130
    assert "interrupted; the same command resumes it." in capsys.readouterr().err


def test_runs_at_a_time_share_the_cores_unless_the_user_says_otherwise(hands_2d, tmp_path, monkeypatch):
    environments, process = [], subprocess.Popen

    def recorded(command, **settings):
        environments.append(settings["env"])
        return process(command, **settings)

    (tmp_path / "scn_tf").mkdir()  # another version in the working folder is not the one that was called
    (tmp_path / "scn_tf" / "__init__.py").write_text("raise ImportError('the wrong one')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(execute.subprocess, "Popen", recorded)
    monkeypatch.setattr(processors, "count_cores", lambda: 8)
    for name in cores.THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    runs = study.read_study(write_study(tmp_path, hands_2d, systems={"forest": {"model.name": "forest"}}, seeds=[0])).runs()
    assert not study.run_all(tmp_path / "out", runs, jobs=2, progress=False)
    assert [(e["TF_NUM_INTRAOP_THREADS"], e["LOKY_MAX_CPU_COUNT"], e["OMP_NUM_THREADS"]) for e in environments] == [("4", "4", "3")] * 2
    assert cores.threads_of_each(1) is None
    assert cores.threads_of_each(16) == 1
    environments.clear()  # the last run has all cores: there is no other to share them with
    process = Here
    shutil.rmtree(execute.errors_file(tmp_path / "out", runs[0]).parent)
    assert not study.run_all(tmp_path / "out", runs, jobs=2, progress=False)
    assert [environment.get("TF_NUM_INTRAOP_THREADS") for environment in environments] == [None]


def test_a_cluster_gets_one_job_a_run(hands_2d, tmp_path, capsys):
    file = write_study(tmp_path, hands_2d).rename(tmp_path / "Fewer Images.yaml")
    assert cli.main(["study", str(file), "--write", "slurm"]) == 0
    script = capsys.readouterr().out
    assert "--array=0-7" in script
    assert "--job-name=scn-tf-fewer-images\n" in script
    assert cli.main(["study", str(file), "--write", "kubernetes"]) == 0
    manifest = capsys.readouterr().out
    assert manifest.startswith("# kubectl apply")
    job = yaml.safe_load(manifest)
    assert (job["spec"]["completionMode"], job["spec"]["completions"]) == ("Indexed", 8)
    assert job["metadata"]["name"] == "scn-tf-fewer-images"
    # One run that always fails ends no other.
    assert (job["spec"]["backoffLimitPerIndex"], job["spec"]["maxFailedIndexes"]) == (2, 8)
    assert "backoffLimit" not in job["spec"]
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    assert cli.main(["study", str(file), "--run", "8"]) == 1
    assert "--run: expected 0 to 7" in capsys.readouterr().err
    assert cli.main(["study", str(file), "--jobs", "0"]) == 1
    assert "--jobs: expected at least 1" in capsys.readouterr().err


def test_a_task_of_the_job_array_carries_out_its_run(hands_2d, tmp_path, capsys):
    file, out = write_study(tmp_path, hands_2d), tmp_path / "out folder"
    assert cli.main(["study", str(file), "--out", str(out), "--write", "slurm"]) == 0
    (tmp_path / "job.sh").write_text(capsys.readouterr().out)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "scn-tf").write_text(f'#!/bin/sh\nexec {sys.executable} -m scn_tf "$@"\n')
    (tmp_path / "bin" / "scn-tf").chmod(0o755)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY), "SLURM_ARRAY_TASK_ID": "2"}
    subprocess.run(["bash", str(tmp_path / "job.sh")], env=environment, check=True, timeout=300)
    runs = study.read_study(file).runs()
    assert [run.name for run in runs if run not in study.unfinished(out, runs)] == ["forest_4_split_seed0"]


def test_names_of_jobs_are_what_clusters_allow():
    assert cluster.job_name("Hand X-ray_2") == "scn-tf-hand-x-ray-2"
    assert cluster.job_name("__") == "scn-tf-study"
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", cluster.job_name("a" * 47 + "_" * 30))
    assert len(f"{cluster.job_name('a' * 99)}-{99_999}") <= 63  # a pod's name


def test_an_image_of_two_folds_would_count_twice(hands_2d, tmp_path):
    folds = {"a": {"augment.rotation": 0.1}, "b": {"augment.rotation": 0.2}}
    runs = study.read_study(write_study(tmp_path, hands_2d, folds=folds)).runs()
    with pytest.raises(config.ConfigError, match="validated in folds a and b"):
        study.check_data(tmp_path / "out", runs)
    other = shutil.copytree(hands_2d, tmp_path / "other")  # another set may use the same IDs
    folds["b"] = {"data.root": str(other)}
    runs = study.read_study(write_study(tmp_path, hands_2d, folds=folds)).runs()
    study.check_data(tmp_path / "out", runs)
    tables = {("a", 0): errors_table(tmp_path / "a", np.ones((2, 1))), ("b", 0): errors_table(tmp_path / "b", np.ones((1, 1)))}
    assert statistics.collect(tables).ids == ("a/image0", "a/image1", "b/image0")


def test_a_network_that_cannot_be_is_named_before_anything_runs(hands_2d, tmp_path, capsys):
    file, out = write_study(tmp_path, hands_2d, systems={"U-Net": {"model.name": "unet", "model.image_size": [65, 66]}}), tmp_path / "out"
    assert cli.main(["study", str(file), "--out", str(out)]) == 1
    assert "error: run U-Net_4_split_seed0: model.image_size" in capsys.readouterr().err
    assert not (out / "logs").exists()
    runs = study.read_study(file).runs()
    files.write_text(execute.folder(out, runs[0]) / "config.yaml", runs[0].config.to_yaml())  # and without the folder of settings
    assert cli.main(["study", str(file), "--out", str(out), "--list"]) == 1
    assert "error: run U-Net_4_split_seed0: model.image_size" in capsys.readouterr().err


def test_a_unet_that_loses_landmarks_is_warned_of_before_it_runs(hands_2d, tmp_path):
    narrow = {"U-Net": {"model.name": "unet", "model.filters": 20}}
    with pytest.warns(config.ConfigWarning, match="20 channels for 21 landmarks"):
        study.check_data(tmp_path, study.read_study(write_study(tmp_path, hands_2d, systems=narrow)).runs())


def test_a_seed_draws_nested_training_sets(hands_2d, tmp_path):
    from scn_tf import train_run

    drawn = {}
    for count, seed in ((2, 0), (5, 0), (5, 1), (5, 2)):
        settings = small_config(hands_2d, data__train_count=count, train__seed=seed, train__batch_size=2)
        job = train_run.prepare(settings, RunFolder(tmp_path / "run"), resume=False)
        drawn[count, seed] = frozenset(tuple(example["landmarks"].numpy().ravel()) for example in job.examples.training)
        assert len(drawn[count, seed]) == count
    assert drawn[2, 0] < drawn[5, 0]
    assert len({drawn[5, seed] for seed in range(3)}) > 1
    with pytest.raises(DatasetError, match=r"data\.train_count: 8 images, but split train .* has 7"):
        train_run.prepare(small_config(hands_2d, data__train_count=8), RunFolder(tmp_path / "8"), resume=False)


def test_names_of_runs_are_safe_file_names():
    study_ = plan.Study(base="hand_xray_quick", systems={"../a b": {}})
    assert study_.runs()[0].name == "..-a-b_all_split_seed0"
