"""A disk that is full while a file is written: its name is in the message, what was there before stays, and --resume goes on."""

import contextlib
import csv

import pytest

from scn_tf import cli, config, predict, train_run
from scn_tf.prediction import run as predictions
from scn_tf.runs import checkpoints
from scn_tf.storage import files
from scn_tf.storage.journal import Journal
from scn_tf.training.board import Board
from tests.conftest import small_config, state

resource = pytest.importorskip("resource", reason="limits of files: this system has none")


@contextlib.contextmanager
def full_disk():
    """In the block, no file of this process grows beyond some bytes. As on a full disk, the system refuses to write more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def full_at(monkeypatch, owner, name, *, call, path=""):
    """The disk is full in one of the calls of a function: the one with this number of those whose arguments name ``path``."""
    original, calls = getattr(owner, name), []

    def limited(*arguments, **options):
        if path in str(arguments):
            calls.append(name)
        with full_disk() if len(calls) == call and path in str(arguments) else contextlib.nullcontext():
            return original(*arguments, **options)

    monkeypatch.setattr(owner, name, limited)


PLACES = {
    "state": (checkpoints, "save_state", 3, "last.npz"),  # the first is written before the first epoch
    "model": (checkpoints, "save_model", 2, "model.keras"),
    "history": (files, "write_text", 2, "history.csv"),
    "TensorBoard": (Board, "scalars", 2, "tensorboard"),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_training_names_the_file_keeps_the_epoch_before_and_resumes(place, hands_2d, tmp_path, monkeypatch):
    owner, name, call, file = PLACES[place]
    reason = r".*events\.out\.tfevents" if owner is Board else "File too large"
    run = tmp_path / "run"
    settings = small_config(hands_2d, train__epochs=3, train__keep="last")
    with monkeypatch.context() as patch:
        full_at(patch, owner, name, call=call, path="" if owner is Board else file)
        with pytest.raises(files.WriteError, match=rf"{file}: cannot be written \({reason}"):
            train_run.train(settings, run)
    assert checkpoints.read_info(run / "model.keras").validation["epoch"] in (1, 2)
    assert len(state(run)) > 10
    train_run.train(config.Config(), run, resume=True)
    rows = list(csv.DictReader((run / "history.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert predict.load(run)


@pytest.mark.parametrize(
    ("owner", "name", "call", "file"),
    [(Journal, "append", 1, ".found.csv.journal"), (predictions, "_write_tables", 1, "found.csv")],
    ids=["journal", "table"],
)
def test_a_prediction_names_the_file_and_resumes_to_its_table(owner, name, call, file, run_2d, hands_2d, tmp_path, monkeypatch, capsys):
    def command(table, *more):
        return cli.main(["predict", str(run_2d), str(hands_2d / "images"), "--out", str(table), *more])

    assert command(tmp_path / "whole.csv") == 0
    table = tmp_path / "found.csv"
    with monkeypatch.context() as patch:
        full_at(patch, owner, name, call=call)
        assert command(table) == 1
    assert f"{tmp_path / file}: cannot be written (File too large)" in capsys.readouterr().err
    assert not table.exists()
    assert command(table, "--resume") == 0
    assert table.read_bytes() == (tmp_path / "whole.csv").read_bytes()
