"""The first mistakes that newcomers make with each command. Each message names the fix."""

import pytest
from PIL import Image

from scn_tf import cli

# Command line, and what its message must say.
MISTAKES = [
    ("tran", "did you mean train?"),
    ("init raw", "Example: scn-tf init IMAGES ANNOTATIONS --out hands"),
    ("init pictures --out hands", "no annotation file found. Name it beside the images"),
    ("init nowhere --out hands", "nowhere: no such file or folder"),
    ("init raw --out raw", "choose another --out"),
    ("init raw --out hands --format slicr", "did you mean slicer?"),
    ("convert points.json", "Example: scn-tf convert points.json points.tps --images FOLDER"),
    ("convert raw/points.csv out.json", "--to"),
    ("check", "Example: scn-tf check FOLDER"),
    ("check raw", "scn-tf init makes one of images and annotations"),
    ("check nowhere", "nowhere"),
    ("suggest", "Example: scn-tf suggest FOLDER --minutes 30"),
    ("suggest raw", "scn-tf init makes one of images and annotations"),
    ("train raw", "did you mean --data.root raw?"),
    ("train --data raw", "did you mean --data.root?"),
    ("train --data.root raw", "scn-tf init makes one of images and annotations"),
    ("train --data.root nowhere", "Was it moved? Pass --data.root."),
    ("train --epochs 10", "did you mean --train.epochs?"),
    ("train --train.minutes soon", "--train.minutes: |train.minutes: "),
    ("train --config hand", "did you mean the bundled hand_xray?"),
    ("train --resume", "--resume: needs --run-dir"),
    ("evaluate raw/a.png", "raw/a.png: is an image, no model; expected a run folder"),
    ("evaluate runs/first", "Train one with scn-tf train"),
    ("evaluate hand_xray", "name it with --data.root"),
    ("predict hand_xray", "Example: scn-tf predict hand_xray HAND.jpg --out predictions.csv"),
    ("predict hand_xray raw/b.png", "raw/b.png: no such file or folder"),
    ("predict hand_xray raw/a.png --out p.xlsx", "expected a file name with .csv"),
    ("predict hand raw/a.png", "or a bundled model: hand_xray"),
    ("compare runs/first", "expected 2 to 20 runs to compare, received 1"),
    ("compare hand_xray runs/first", "name it with --data.root"),
    ("combine runs/first", "Example: scn-tf combine runs/seed0 runs/seed1 runs/seed2 --out mean.keras"),
    ("models hand", "did you mean hand_xray?"),
    ("configs hand", "did you mean hand_xray?"),
    ("study raw", "Name a data set with --data.root"),
    ("export runs/first", "Example: scn-tf export runs/first served"),
    ("export hand_xray out.h5", "expected FILE.tflite, FILE.onnx or a folder"),
    ("check-parity hand_xray nothere", "name it with --data.root"),
    ("serve runs/first", "write one with scn-tf export RUN FOLDER, and name that FOLDER"),
    ("serve hand_xray", "write an exported SavedModel with scn-tf export RUN FOLDER"),
    ("demo raw", "Train one with scn-tf train"),
    ("client raw/a.png", "Example: scn-tf client HAND.png --rest http://127.0.0.1:8501"),
    ("deploy", "Example: scn-tf deploy deployment"),
]


@pytest.fixture
def beginner(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.png").write_bytes(b"no picture")
    (tmp_path / "raw" / "points.csv").write_text("a,1,2\n")
    (tmp_path / "pictures").mkdir()
    Image.new("L", (31, 42), 90).save(tmp_path / "pictures" / "b.png")
    (tmp_path / "runs" / "first").mkdir(parents=True)


@pytest.mark.parametrize(("line", "fix"), MISTAKES, ids=[line for line, _ in MISTAKES])
def test_the_message_about_a_first_mistake_names_the_fix(line, fix, beginner, capsys):
    try:
        status = cli.main(line.split())
    except SystemExit as error:
        status = error.code
    shown = capsys.readouterr()
    assert status in (1, 2)
    assert any(part in shown.err for part in fix.split("|"))
    assert len(shown.err.strip().splitlines()) == 1, "one line"
    assert not shown.out


@pytest.mark.parametrize("name", list(cli.parser.COMMANDS))
def test_every_command_has_an_example_that_its_parser_accepts(name, capsys):
    command = cli.parser.COMMANDS[name]
    assert command.examples
    for example in command.examples:
        options, unknown = cli.build_parser("scn-tf").parse_known_args(example.split())
        assert options._command is command
        assert not unknown
    with pytest.raises(SystemExit):
        cli.main([name, "--help"])
    assert f"Examples:\n  scn-tf {command.examples[0]}" in capsys.readouterr().out
