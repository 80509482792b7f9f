"""A resumed run loses nothing: no model, no state, no row of the history."""

import csv
import json
import shutil

import numpy as np
import pytest

from scn_tf import cli, config, train_run
from scn_tf.config import Config
from scn_tf.errors import CheckpointError, ConfigError, ConfigWarning
from scn_tf.runs import checkpoints
from scn_tf.runs.folder import RunFolder
from tests.conftest import small_config, state, with_errors, with_settings, without_training


def contents(run):
    """Bytes of every file that training cannot bring back, by name."""
    paths = [run / name for name in ("model.keras", "history.csv", "config.yaml", "checkpoints/last.npz")]
    return {path.name: path.read_bytes() for path in paths if path.exists()}


def resume(run, **options):
    return train_run.train(Config(), run, resume=True, **options)


@pytest.fixture
def run(run_2d, tmp_path):
    return shutil.copytree(run_2d, tmp_path / "run")


def test_a_finished_run_without_its_state_says_that_it_is_finished(run, capsys):
    (run / "checkpoints" / "last.npz").unlink()
    before = contents(run)
    best = resume(run)
    assert "This run is already complete" in capsys.readouterr().out
    assert best == checkpoints.read_info(run / "model.keras").validation
    assert contents(run) == before


def shorten(run):
    """A history that does not show the last epoch."""
    lines = (run / "history.csv").read_text().splitlines()
    (run / "history.csv").write_text("\n".join(lines[:-1]) + "\n")


UNFINISHED = {
    "history cut short": shorten,
    "no history": lambda run: (run / "history.csv").unlink(),
    "empty history": lambda run: (run / "history.csv").write_text(""),
    "damaged model": lambda run: (run / "model.keras").write_bytes((run / "model.keras").read_bytes()[:-100]),
    "another run's settings": lambda run: (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("seed: 0", "seed: 1")),
}


@pytest.mark.parametrize("kind", UNFINISHED)
def test_a_model_without_a_state_is_never_begun_anew(kind, run):
    (run / "checkpoints" / "last.npz").unlink()
    UNFINISHED[kind](run)
    before = contents(run)
    with pytest.raises(
        (ConfigError, CheckpointError), match=r"holds model\.keras, but not the state .*start a new run with another `run_dir`"
    ):
        resume(run)
    assert contents(run) == before


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def other_seed(path):
    with np.load(path, allow_pickle=False) as archive:
        arrays = dict(archive)
    progress = json.loads(str(arrays["progress"]))
    progress["config"]["train"]["seed"] = 7
    with open(path, "wb") as file:
        np.savez(file, **{**arrays, "progress": np.array(json.dumps(progress))})


def other_network(path):
    with open(path, "wb") as file:
        np.savez(file, progress=np.array("{}"), **{"0000": np.zeros((3, 5))})


FOREIGN = {cut: "cannot be loaded", other_seed: r"another train\.seed", other_network: "belongs to another network"}


@pytest.mark.parametrize(("spoil", "message"), FOREIGN.items())
def test_a_damaged_or_foreign_state_is_refused_and_nothing_is_overwritten(spoil, message, run):
    spoil(run / "checkpoints" / "last.npz")
    before = contents(run)
    with pytest.raises(CheckpointError, match=message):
        resume(run)
    assert contents(run) == before


def test_a_foreign_model_beside_a_state_is_refused(run, hands_2d, tmp_path):
    network, info = checkpoints.load_model(run / "model.keras")
    checkpoints.save_model(network, run / "model.keras", with_settings(info, train__seed=3))
    before = contents(run)
    with pytest.raises(CheckpointError, match=r"model\.keras: belongs to another run, with another train\.seed; move it elsewhere"):
        resume(run)
    assert contents(run) == before


def test_a_row_of_the_history_that_a_kill_took_is_written_from_the_state(run):
    whole = (run / "history.csv").read_text()
    for spoil in (shorten, lambda run: (run / "history.csv").unlink()):
        spoil(run)
        resume(run)
        assert (run / "history.csv").read_text() == whole


def interrupted(settings, run, monkeypatch, *, epoch, errors, before_state=False):
    """Train until an epoch's end with these validation errors; then a kill, before its state was written or after."""
    original_save = checkpoints.save_state

    def save(variables, path, progress):
        if before_state and progress["epoch"] == epoch:
            raise KeyboardInterrupt
        original_save(variables, path, progress)
        if progress["epoch"] == epoch:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        with_errors(patch, errors)
        patch.setattr(checkpoints, "save_state", save)
        with pytest.raises(KeyboardInterrupt):
            train_run.train(settings, run)


@pytest.mark.parametrize("epoch", [1, 2])
def test_an_epoch_that_comes_again_replaces_no_better_model(epoch, hands_2d, tmp_path, monkeypatch):
    """Killed between the model and the state: the model on the disk, of 0.5 mm, is better than any that follows."""
    run = tmp_path / "run"
    errors = [0.5, 0.5] if epoch == 1 else [9.0, 0.5]
    interrupted(small_config(hands_2d, train__epochs=3), run, monkeypatch, epoch=epoch, errors=errors, before_state=True)
    network, _ = checkpoints.load_model(run / "model.keras")
    assert resume(run) == {"epoch": epoch, "error": 0.5, "unit": "mm"}
    kept, info = checkpoints.load_model(run / "model.keras")
    assert info.validation == {"epoch": epoch, "error": 0.5, "unit": "mm"}
    for one, other in zip(kept.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    rows = list(csv.DictReader((run / "history.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]


def test_a_run_whose_model_was_removed_gets_a_model_again_or_says_that_it_cannot(run, hands_2d, tmp_path, monkeypatch):
    (run / "model.keras").unlink()
    with pytest.raises(CheckpointError, match=r"is complete, but its model\.keras is missing"):
        resume(run)
    other = tmp_path / "other"
    interrupted(small_config(hands_2d, train__epochs=2), other, monkeypatch, epoch=1, errors=[0.5])
    (other / "model.keras").unlink()
    with pytest.warns(ConfigWarning, match=r"model\.keras: is missing; the best of the following epochs"):
        assert resume(other)["epoch"] == 2
    assert (other / "model.keras").is_file()


def test_the_state_of_a_removed_model_stays_when_a_new_run_begins(run, hands_2d, monkeypatch):
    (run / "model.keras").unlink()
    before = state(run)
    without_training(monkeypatch)
    train_run.train(small_config(hands_2d), run)
    with np.load(RunFolder(run).older_state, allow_pickle=False) as archive:
        for name, value in zip(sorted(n for n in archive.files if n != "progress"), before, strict=True):
            np.testing.assert_array_equal(archive[name], value)


def test_settings_changed_by_hand_are_not_rewritten(run, hands_2d, tmp_path):
    path = run / "config.yaml"
    path.write_text("# for my thesis\n" + path.read_text())
    text = path.read_text()
    resume(run)
    assert path.read_text() == text
    moved = shutil.copytree(hands_2d, tmp_path / "moved")
    with pytest.raises(
        ConfigError, match=r"config\.yaml: was changed by hand, so it is not rewritten; set data\.root to .*moved there and"
    ):
        train_run.train(config.from_dict({"data": {"root": str(moved)}}), run, resume=True)
    with pytest.raises(ConfigError, match=r"set data\.cache to disk there and resume again"):
        train_run.train(config.from_dict({"data": {"cache": "disk"}}), run, resume=True)
    assert path.read_text() == text


def test_leftovers_of_a_killed_training_are_removed_by_the_next(run):
    left = [run / name for name in (".model.0123abcd.keras", ".history.0123abcd.csv", "checkpoints/.last.0123abcd.npz")]
    users = [run / ".notes.0123abcd.csv", run / ".model.keras"]
    for path in (*left, *users):
        path.write_text("half")
    resume(run)
    assert not [path for path in left if path.exists()]
    assert all(path.exists() for path in users)


def test_the_command_says_it_in_one_line(run, capsys):
    (run / "checkpoints" / "last.npz").unlink()
    shorten(run)
    assert cli.main(["train", "--resume", "--run-dir", str(run)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert cli.main(["train", "--accept-changed-data", "--run-dir", str(run / "new")]) == 1
    assert capsys.readouterr().err == "error: --accept-changed-data: is for --resume.\n"
