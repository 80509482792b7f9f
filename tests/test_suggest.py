"""Settings that find themselves: the command, and training without a configuration."""

import shutil

import pytest
import yaml

from scn_tf import cli, config, train_run
from scn_tf.cli.parser import build_parser
from scn_tf.suggest import suggest, suggestion
from scn_tf.suggest.machine import Machine
from tests.conftest import without_training

MACHINE = Machine(cores=2, memory=16 * 2**30, precision="mixed_bfloat16", gpu=False, speed=1.74)
TINY = ["--model.image_size", "48,32", "--model.filters", "4", "--train.epochs", "1", "--train.precision", "float32"]


@pytest.fixture(autouse=True)
def measured_once(monkeypatch):
    """The machine's speed is that of a usual one, whatever else it does."""
    monkeypatch.setattr(suggestion, "this_machine", lambda precision: MACHINE)


def suggested(capsys, *arguments):
    assert cli.main(["suggest", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_what_is_printed_is_a_configuration_that_says_the_time_first(hands_2d, tmp_path, capsys):
    text = suggested(capsys, hands_2d)
    assert "30 minutes, the default, on 2 processor cores, bfloat16" in text.splitlines()[0]
    (tmp_path / "mine.yaml").write_text(text)
    settings = config.load(tmp_path / "mine.yaml").resolved(2)
    assert (settings.data.root, settings.train.minutes) == (hands_2d.resolve(), 30)
    decided = [line for line in text.splitlines() if line.startswith("  ") and "root:" not in line]
    assert len(decided) > 20
    assert all(len(line.partition("  # ")[2].split()) > 1 for line in decided)


def test_a_training_without_configuration_has_the_settings_that_are_suggested(hands_2d, tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.yaml").write_text(suggested(capsys, hands_2d, *TINY))
    assert cli.main(["train", "--data.root", str(hands_2d), *TINY, "--run-dir", str(tmp_path / "a")]) == 0
    reasons = (tmp_path / "a" / "settings.txt").read_text()
    assert reasons.startswith("Settings decided by scn_tf\nSettings for ")
    assert "heatmap.sigma_mode = fixed: " in reasons
    assert reasons.partition("\n")[2].strip() in capsys.readouterr().out
    without_training(monkeypatch)
    train_run.train(config.load(tmp_path / "mine.yaml"), tmp_path / "b")
    assert (tmp_path / "a" / "config.yaml").read_text() == (tmp_path / "b" / "config.yaml").read_text()
    assert not (tmp_path / "b" / "settings.txt").exists()


@pytest.mark.parametrize(
    ("arguments", "decides"),
    [
        (["--data.root", "SET"], True),
        (["--data.root", "SET", "--minutes", "3"], True),
        (["--data.root", "SET", "--config", "hand_xray_quick"], False),
        (["--data.root", "SET", "--run-dir", "RUN", "--resume"], False),
        (["--minutes", "3"], False),
    ],
)
def test_settings_are_decided_for_new_runs_of_a_data_set_without_configuration(arguments, decides, hands_2d, run_2d):
    from scn_tf.cli.commands import train

    words = [{"SET": str(hands_2d), "RUN": str(run_2d)}.get(word, word) for word in arguments]
    _, automatic = train._settings(build_parser("scn-tf").parse_args(["train", *words]))
    assert (automatic is not None) == decides


def test_reasons_of_an_earlier_run_do_not_stay_beside_other_settings(hands_2d, tmp_path):
    from scn_tf.runs.folder import RunFolder
    from scn_tf.training.resuming import keep_reasons

    run = RunFolder(tmp_path)
    keep_reasons(run, "  model.filters = 8: few")
    keep_reasons(run, None)
    assert not run.reasons.exists()
    run.reasons.write_text("my own notes")
    keep_reasons(run, None)
    assert run.reasons.read_text() == "my own notes"


def test_minutes_is_short_for_train_minutes(hands_2d, capsys):
    assert suggested(capsys, hands_2d, "--minutes", "7") == suggested(capsys, hands_2d, "--train.minutes", "7")
    assert yaml.safe_load(suggested(capsys, hands_2d, "--minutes", "7"))["train"]["minutes"] == 7


def test_a_training_that_cannot_begin_measures_nothing(hands_2d, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(suggestion, "measure", None)
    run = shutil.copytree(hands_2d, tmp_path / "run")
    assert cli.main(["train", "--data.root", str(hands_2d), "--run-dir", str(run)]) == 1
    assert "holds a data set; choose another --run-dir" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing"], "error: missing/dataset.yaml: not found."),
        (["SET", "--minutes", "soon"], "train.minutes: expected a number, received 'soon'"),
        (["SET", "--data.train_split", "trian"], "trian.txt: no such split; there are: train, val."),
        (["SET", "--model.preset", "paper", "--model.image_size", "50,50"], "model.image_size: every side must be a multiple of 16"),
    ],
)
def test_mistakes_are_one_line(arguments, message, hands_2d, capsys):
    assert cli.main(["suggest", *(str(hands_2d) if word == "SET" else word for word in arguments)]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("name", ["scn", "unet", "payer2016", "downsampling", "convonly"])
def test_every_network_gets_settings_that_it_uses(name, hands_2d):
    from scn_tf import build

    settings = suggest({"data": {"root": str(hands_2d)}, "model": {"name": name}}, machine=MACHINE).config
    resolved = settings.resolved(2)
    assert build.unused(settings.model, 2) == []
    if name == "unet":
        assert resolved.model.filters >= 21


def test_forests_and_label_maps_keep_their_presets_and_say_so(hands_2d):
    for name in ("forest", "segmentation"):
        found = suggest({"data": {"root": str(hands_2d)}, "model": {"name": name}}, machine=MACHINE)
        assert found.decisions == []
        assert f"model.name {name} keeps its preset" in found.text
        assert found.config.model == config.ModelConfig(name=name)


def test_a_preset_decides_its_section(hands_2d):
    given = {"data": {"root": str(hands_2d)}, "model": {"preset": "small"}, "train": {"preset": "paper", "epochs": 9}}
    found = suggest(given, machine=MACHINE)
    assert {one.name.partition(".")[0] for one in found.decisions} == {"heatmap", "augment", "data"}
    assert found.config.resolved(2).model == config.ModelConfig(preset="small").resolved(2)
    assert found.config.train == config.TrainConfig(preset="paper", epochs=9)


def test_volumes_that_state_their_pixels_get_a_spacing_and_nothing_is_cut_off(hands_3d):
    model = suggest({"data": {"root": str(hands_3d)}}, machine=MACHINE).config.resolved(3).model
    assert model.spacing_mm >= 3.6
    assert all(side * model.spacing_mm >= length for side, length in zip(model.image_size, (32 * 3.6, 56 * 3.6, 40 * 3.6), strict=True))


def test_an_input_of_other_dimensions_is_refused_by_the_training(hands_2d, tmp_path, capsys):
    arguments = ["train", "--data.root", str(hands_2d), "--model.image_size", "16,16,16", "--run-dir", str(tmp_path / "run")]
    assert cli.main(arguments) == 1
    assert "model.image_size: expected 2 sides (H W), received (16, 16, 16)." in capsys.readouterr().err


def test_folder_names_cannot_end_a_comment(hands_2d, tmp_path, capsys):
    root = tmp_path / "hands\nmodel: {filters: 1}"
    shutil.copytree(hands_2d, root)
    text = suggested(capsys, root)
    assert config.from_dict(yaml.safe_load(text)).data.root == root
    assert yaml.safe_load(text)["model"]["filters"] > 1
