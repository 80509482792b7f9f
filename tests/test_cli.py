import argparse
import csv
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

import scn_tf
from scn_tf import cli
from scn_tf.cli import reporting, spelling
from scn_tf.cli.command import COMMANDS
from scn_tf.errors import DataWarning
from scn_tf.figures import canvas, pictures
from tests.conftest import REPOSITORY


def program(*arguments):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run([sys.executable, *map(str, arguments)], cwd=REPOSITORY, env=environment, capture_output=True, text=True)


def test_the_three_programs_work_together_and_training_on_what_is_measured_is_warned_of_once(hands_2d, tmp_path):
    run, out = tmp_path / "run", tmp_path / "served"
    options = ["--model.image_size", "48,32", "--model.levels", "2", "--model.filters", "4", "--train.epochs", "1"]
    trained = program("train.py", "--data.root", hands_2d, "--run-dir", run, "--data.train_split", "train+val", *options)
    assert trained.returncode == 0, trained.stderr
    assert "1 epoch, batches of 1, on the " in trained.stdout
    assert "point error" in trained.stdout
    assert str(run / "model.keras") in trained.stdout
    # The one warning, once; TensorFlow's own messages stay away.
    assert len(re.findall("warning: .* trained on, too", trained.stderr)) == len(trained.stderr.splitlines()) == 1
    evaluated = program("evaluate.py", run, "--split", "train")
    assert evaluated.returncode == 0, evaluated.stderr
    assert "7 images, 147 points" in evaluated.stdout
    exported = program("export/to_saved_model.py", run, out)
    assert exported.returncode == 0, exported.stderr
    assert (out / "1" / "saved_model.pb").exists()


def test_predict_writes_a_table_and_overlays_and_goes_on_after_a_bad_image(run_2d, hands_2d, tmp_path, capsys):
    shutil.copy(hands_2d / "images" / "hand_007.png", tmp_path / "good.png")
    (tmp_path / "bad.png").write_text("no image")
    table = tmp_path / "out" / "found.csv"
    status = cli.main(["predict", str(run_2d), str(tmp_path), "--out", str(table), "--overlay", str(tmp_path / "pictures")])
    captured = capsys.readouterr()
    assert status == 1
    assert "bad.png: cannot be read" in captured.err
    counted, doubtful = captured.out.splitlines()
    assert counted == f"1 image, 21 landmarks each, pixel coordinates: {table}"
    assert doubtful.startswith("expected errors are in mm; ")
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert {row["id"] for row in rows} == {"good"}
    assert len(rows) == 21
    assert np.isfinite([float(row["score"]) for row in rows]).all()
    assert (tmp_path / "pictures" / "good.png").read_bytes().startswith(b"\x89PNG")


def test_predict_in_3d_writes_z(run_3d, hands_3d, tmp_path):
    table = tmp_path / "found.csv"
    assert cli.main(["predict", str(run_3d), str(hands_3d / "images"), "--out", str(table), "--overlay", str(tmp_path)]) == 0
    assert table.read_text().splitlines()[0] == "id,landmark,x,y,z,score,expected_error,radius95,unit,present,image_ok"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["train", "--train.epoch", "3"], 2, "--train.epoch: unknown argument; did you mean --train.epochs?"),
        (["train", "--train.epochs", "many"], 1, "train.epochs: expected a whole number, received 'many'"),
        (["train", "--config", "none.yaml"], 1, "none.yaml: cannot be read (No such file or directory)"),
        (["train", "--data.root", "missing"], 1, "dataset.yaml: not found"),
        (["train", "--resume"], 1, "--resume: needs --run-dir"),
        (["train", "--resume", "--run-dir", "none"], 1, "none: no run there to resume"),
        (["train", "--resume", "--run-dir", "none", "--train.epochs", "3"], 1, "none: no run there to resume"),
        (
            ["evaluate", "none"],
            1,
            "error: none: no such file; expected a run folder, its model file, or a bundled model: hand_xray.",
        ),
        (["predict", "none", "none.png"], 1, "none.png: no such file or folder"),
        (["export", "none", "out"], 1, "error: none: no such file"),
        (["export", "none", "out.onx"], 1, "out.onx: .onx is no form of export; expected FILE.tflite, FILE.onnx or a folder"),
        (["export", "none", "out.h5"], 1, "out.h5: .h5 is no form of export"),
        (["train", "--lr", "3"], 2, "--lr: unknown argument; known: --"),
        (["evaluate", "none", "--root", "x"], 2, "--root: unknown argument; did you mean --data.root?"),
        (["export", "none", "out.onx", "--form", "saved_model"], 1, "error: none: no such file"),
        (["export", "none", "hand-1.2"], 1, "error: none: no such file"),
        (["export", "none", "out", "--quantise", "int8"], 2, "--quantise: unknown argument; did you mean --quantize?"),
        (["export", "none", "out", "--quantize", "int8"], 1, "--quantize: int8 is for TFLite; out would be written as SavedModel."),
        (["check_parity", "none", "out", "--images", "0"], 1, "error: images: expected at least 1, received 0"),
        (["combine", "none", "none", "--out", "pair.keras"], 1, "error: none: no such file"),
        (["combine", "hand_xray", "--out", "pair.keras"], 1, "hand_xray: expected at least two networks to combine"),
        (["serve", "none"], 1, "none: no such file or folder; write an exported SavedModel with scn-tf export"),
        (["serve", "none", "--max_batch_size", "3"], 2, "did you mean --max-batch?"),
    ],
)
def test_mistakes_are_one_line_without_a_traceback(arguments, status, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == status
    captured = capsys.readouterr()
    assert message in captured.err
    assert len(captured.err.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_an_export_goes_into_a_folder_that_is_there_whatever_its_name(tmp_path, capsys):
    (tmp_path / "served.prod").mkdir()
    assert cli.main(["export", str(tmp_path / "none"), str(tmp_path / "served.prod")]) == 1
    assert "none: no such file" in capsys.readouterr().err


def test_overlays_into_a_file_are_refused_before_any_work(run_2d, hands_2d, tmp_path, capsys):
    picture = tmp_path / "pictures"
    picture.write_text("kept")
    assert cli.main(["predict", str(run_2d), str(hands_2d / "images"), "--out", str(tmp_path / "t.csv"), "--overlay", str(picture)]) == 1
    assert capsys.readouterr().err.splitlines() == [f"error: {picture}: is a file; name a folder."]
    table = picture / "found.csv"
    assert cli.main(["predict", str(run_2d), str(hands_2d / "images" / "hand_007.png"), "--out", str(table)]) == 1
    assert capsys.readouterr().err.splitlines() == [f"error: {picture}: is a file; name a folder."]
    assert cli.main(["predict", str(run_2d), str(hands_2d / "images" / "hand_007.png"), "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err.splitlines() == [f"error: {tmp_path}: is a folder; name a file."]
    long = tmp_path / f"{'x' * 300}.csv"
    assert cli.main(["predict", str(run_2d), str(hands_2d / "images" / "hand_007.png"), "--out", str(long)]) == 1
    assert capsys.readouterr().err.splitlines() == [f"error: {long}: cannot be written (File name too long)."]
    assert (picture.read_text(), list(tmp_path.iterdir())) == ("kept", [picture])


@pytest.mark.parametrize(
    ("stop", "status", "message"),
    [
        (OSError(28, "No space left on device"), 1, "cannot be written (No space left on device)"),
        (KeyboardInterrupt(), 130, "error: interrupted; --resume continues with the images that are left."),
    ],
)
def test_what_was_found_before_a_stop_is_written(stop, status, message, run_2d, hands_2d, tmp_path, capsys, monkeypatch):
    pictures_made = []

    def encode(picture):
        pictures_made.append(picture)
        if len(pictures_made) == 2:
            raise stop
        return b"png"

    monkeypatch.setattr(pictures, "encode_png", encode)
    table = tmp_path / "t.csv"
    options = ["--out", str(table), "--overlay", str(tmp_path / "overlays")]
    assert cli.main(["predict", str(run_2d), str(hands_2d / "images"), *options]) == status
    assert message in capsys.readouterr().err
    assert (
        len({row["id"] for row in csv.DictReader(table.read_text().splitlines())}) == 1
    )  # the second has no picture, so --resume repeats it


def test_names_of_landmarks_are_no_formulas(rng):
    image = rng.normal(size=(20, 30, 1)).astype("float32")
    names = ("A$^$", "a$x_{$")
    assert pictures.overlay_figure(image, np.array([[3.0, 4.0], [8.0, 9.0]]), names).shape[-1] == 3
    for name in names:
        curves = pictures.image_error_curves({(name, "10"): np.ones(3)}, unit="mm", systems=[name])
        for figure in (pictures.error_curve(np.ones(3), unit="mm", label=name), curves):
            assert canvas.png(figure).startswith(b"\x89PNG")


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"{scn_tf.__version__}\n"


def test_importing_the_package_and_loading_a_model_prints_nothing():
    ended = program("-c", "import scn_tf; print(scn_tf.load('hand_xray'))")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "Predictor(37 landmarks of hand_xray, 2D)\n"
    without_console = program("-c", "import sys; sys.stderr = None; import scn_tf; print(scn_tf.load('hand_xray'))")
    assert (without_console.returncode, without_console.stdout) == (0, ended.stdout)


def test_help_names_every_field(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    text = capsys.readouterr().out
    for name in ("--data.root", "--train.minutes", "--model.image_size", "--resume", "--run-dir"):
        assert name in text


def test_options_and_commands_are_spelled_with_hyphens_or_underscores(hands_2d, tmp_path, capsys):
    root = ["--data.root", str(hands_2d), "--model.image_size", "48,32", "--train.epochs", "1"]
    assert cli.main(["train", *root, "--run-dir", str(tmp_path / "a"), "--model.spatial-pooling", "4", "--model.levels", "2"]) == 0
    assert cli.main(["train", *root, "--run_dir", str(tmp_path / "b"), "--model.spatial_pooling", "4", "--model.levels", "2"]) == 0
    assert (tmp_path / "a" / "config.yaml").read_text() == (tmp_path / "b" / "config.yaml").read_text()
    assert cli.main(["check-parity", "none", "out"]) == cli.main(["check_parity", "none", "out"]) == 1
    capsys.readouterr()
    assert cli.main(["train", "--run-dri", "x"]) == 2
    assert "did you mean --run-dir?" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    shown = capsys.readouterr().out
    assert "--run-dir DIR" in shown
    assert "--run_dir" not in shown


def typed_names(command):
    parser = argparse.ArgumentParser()
    COMMANDS[command].add_arguments(parser)
    spelling.accept_hyphens(parser)
    return spelling.typed_names(parser)


def test_messages_name_options_as_they_are_typed(hands_2d, tmp_path, capsys):
    """Marked arguments only: a folder may be called run_dir, and ``out`` and ``images`` are words."""
    train = typed_names("train")
    assert (train["run_dir"], train["resume"], train["train.clip_norm"]) == ("--run-dir", "--resume", "--train.clip_norm")
    text = "run_dir/x: pass `resume`, or choose another `run_dir` than out; `nothing` is left, `train.clip_norm` too."
    typed = "run_dir/x: pass --resume, or choose another --run-dir than out; `nothing` is left, --train.clip_norm too."
    assert spelling.as_typed(text, train) == typed
    assert (typed_names("evaluate")["root"], typed_names("evaluate")["data.root"]) == ("--data.root", "--data.root")
    assert (typed_names("export")["out"], typed_names("demo")["out"]) == ("OUT", "--out")

    run = shutil.copytree(hands_2d, tmp_path / "run_dir")
    assert cli.main(["train", "--data.root", str(hands_2d), "--run-dir", str(run)]) == 1
    assert capsys.readouterr().err == f"error: {run}: holds a data set; choose another --run-dir.\n"
    reporting.show_warning(train, DataWarning("`model.spacing_mm` 0.5 holds them."), DataWarning, "file", 1)
    assert capsys.readouterr().err.lstrip("\r") == "warning: --model.spacing_mm 0.5 holds them.\n"
