"""Runs that were stopped, go on, or share a folder with another."""

import csv
import shutil
import subprocess
import sys

import numpy as np
import pytest

from scn_tf import cli, config, train_run
from scn_tf.errors import DatasetError
from scn_tf.runs.folder import RunFolder
from scn_tf.storage import files
from scn_tf.training import callbacks
from scn_tf.training import trainer as trainers
from scn_tf.training.landmarks import landmark_objective
from tests.conftest import interrupted_after, small_config, state, weights, without_training


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(hands_2d, tmp_path, monkeypatch):
    settings = small_config(hands_2d, train__epochs=4)
    train_run.train(settings, tmp_path / "whole")
    with interrupted_after(2):
        train_run.train(settings, tmp_path / "parts")
    train_run.train(config.Config(), tmp_path / "parts", resume=True)
    for first, second in zip(state(tmp_path / "whole"), state(tmp_path / "parts"), strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)
    assert len(list(csv.DictReader((tmp_path / "parts" / "history.csv").read_text().splitlines()))) == 4


def test_a_command_may_be_repeated_with_resume_and_no_other(hands_2d, run_2d, tmp_path, capsys):
    run = shutil.copytree(run_2d, tmp_path / "run")
    (tmp_path / "hands.yaml").write_text(small_config(hands_2d).to_yaml())
    command = ["train", "--config", str(tmp_path / "hands.yaml"), "--run-dir", str(run), "--resume"]
    assert cli.main(command) == 0
    assert "already complete" in capsys.readouterr().out
    for others in (["--train.epochs", "3"], ["--model.levels", "7"], ["--model.image_size", "8,16,12"]):
        assert cli.main([*command, *others]) == 1
        message = f"which has others for {others[0][2:]}."
        assert capsys.readouterr().err == f"error: --resume: keeps the settings in {run / 'config.yaml'}, {message}\n"
    alone = ["train", "--run-dir", str(run), "--resume"]
    assert cli.main([*alone, "--train.epochs", "2", "--data.root", str(hands_2d)]) == 0
    # Of a file everything counts, what it leaves to a preset too; but where the data lie and what is missing there may change.
    (tmp_path / "other.yaml").write_text("data: {root: moved, missing: skip}\n")
    assert cli.main([*alone, "--config", str(tmp_path / "other.yaml")]) == 1
    assert "which has others for model.image_size, model.filters, " in capsys.readouterr().err
    moved = config.from_dict({**small_config(hands_2d).model_dump(), "data": {"root": str(tmp_path / "moved"), "missing": "skip"}})
    (tmp_path / "other.yaml").write_text(moved.to_yaml())
    assert cli.main([*alone, "--config", str(tmp_path / "other.yaml")]) == 1
    assert f"{tmp_path / 'moved'}" in capsys.readouterr().err
    resumed = train_run.prepare(config.from_dict({"data": {"missing": "skip", "root": None}}), RunFolder(run), resume=True).config.data
    assert (resumed.missing, resumed.root) == ("skip", hands_2d.resolve())


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_anew(hands_2d, run_2d, tmp_path):
    files.write_text(tmp_path / "run" / "config.yaml", small_config("moved").to_yaml())
    with pytest.raises(DatasetError, match="moved"):
        train_run.train(config.Config(), tmp_path / "run", resume=True)
    # The data may lie elsewhere by now; everything else is the run's own.
    train_run.train(config.from_dict({"data": {"root": str(hands_2d)}}), tmp_path / "run", resume=True)
    for first, second in zip(weights(run_2d), weights(tmp_path / "run"), strict=True):
        np.testing.assert_allclose(first, second, atol=1e-6)


def test_a_new_run_never_goes_on_with_what_is_left_of_an_older_one(hands_2d, run_2d, tmp_path, monkeypatch):
    run = shutil.copytree(run_2d, tmp_path / "run")
    (run / "model.keras").unlink()
    without_training(monkeypatch)  # killed before its first checkpoint
    train_run.train(small_config(hands_2d, train__learning_rate=0.1), run)
    assert not (run / "checkpoints" / "last.npz").exists()


def test_a_finished_run_is_not_trained_further(run_2d, capsys):
    before = state(run_2d)
    train_run.train(config.Config(), run_2d, resume=True)
    assert "This run is already complete" in capsys.readouterr().out
    for first, second in zip(before, state(run_2d), strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_second_run_does_not_overwrite_the_first(hands_2d, run_2d):
    with pytest.raises(config.ConfigError, match="already holds a run; pass `resume`"):
        train_run.train(small_config(hands_2d), run_2d)


def test_a_data_set_is_no_run_folder(hands_2d, tmp_path):
    root = shutil.copytree(hands_2d, tmp_path / "set")
    with pytest.raises(config.ConfigError, match="holds a data set; choose another `run_dir`"):
        train_run.train(small_config(root), root)
    assert not (root / "config.yaml").exists()


def test_a_collapse_right_after_a_resume_is_taken_back_too(hands_2d):
    trainer = trainers.build_trainer(small_config(hands_2d).resolved(2), landmark_objective, num_maps=2, channels=1)
    guard = callbacks.GoBackAfterCollapse(trainer, [{"heatmap_loss": 0.5}, {"heatmap_loss": 0.2}])
    guard.on_train_begin()
    good = trainer.network.get_weights()
    for weight in trainer.network.trainable_variables:
        weight.assign(weight * 0)
    guard.on_epoch_end(0, {"heatmap_loss": 1.0})
    for before, after in zip(good, trainer.network.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_a_run_is_trained_by_one_process_at_a_time(hands_2d, tmp_path):
    lock = RunFolder(tmp_path / "run").lock
    lock.parent.mkdir(parents=True)
    program = f"import filelock, sys; lock = filelock.FileLock({str(lock)!r}); lock.acquire(); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(config.ConfigError, match="another process is training this run"):
            train_run.train(small_config(hands_2d), tmp_path / "run")
        other.kill()  # a lock ends with its process
        other.wait()
    train_run.train(small_config(hands_2d), tmp_path / "run")


def test_a_run_that_another_process_finished_meanwhile_is_kept(hands_2d, tmp_path, monkeypatch):
    original, model = train_run.prepare, tmp_path / "run" / "model.keras"

    def slow(*arguments, **options):
        job = original(*arguments, **options)
        files.write_text(model, "the other's")
        return job

    monkeypatch.setattr(train_run, "prepare", slow)
    with pytest.raises(config.ConfigError, match="already holds a run"):
        train_run.train(small_config(hands_2d), tmp_path / "run")
    assert model.read_text() == "the other's"


@pytest.mark.parametrize("error", [OSError(37, "No locks available"), NotImplementedError("flock")])
def test_a_folder_that_cannot_be_locked_is_one_clear_error(error, hands_2d, tmp_path, monkeypatch):
    def refuse(self):
        raise error

    monkeypatch.setattr(train_run.filelock.FileLock, "acquire", refuse)
    with pytest.raises(files.WriteError, match=r"lock: cannot be locked .*(locks|flock).*`run_dir`"):
        train_run.train(small_config(hands_2d), tmp_path / "run")
