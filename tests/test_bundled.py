"""Configurations and studies by name: a file comes first, then what is bundled, then the nearest name."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from scn_tf import cli, config, study
from scn_tf.config import bundled
from tests.conftest import REPOSITORY

SIZE = (128, 96)  # of hand_xray_quick


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "hand_xray_quick",
        "hand_xray_quick.yaml",
        "configs/hand_xray_quick",
        "configs/hand_xray_quick.yaml",
        "./configs/hand_xray_quick.yaml",
        REPOSITORY / "configs" / "hand_xray_quick.yaml",  # of a checkout, where the files once were
        REPOSITORY / "studies" / ".." / "configs" / "hand_xray_quick.yaml",
    ],
)
def test_a_configuration_is_found_by_its_name_and_by_its_former_path(name):
    assert config.load(name).model.image_size == SIZE
    assert config.load(config.locate(name)).model.image_size == SIZE


@pytest.mark.parametrize("name", ["hand_xray_quick", "hand_xray_quick.yaml", "configs/hand_xray_quick.yaml"])
def test_a_file_with_that_path_comes_first_and_a_folder_does_not(name, tmp_path):
    (tmp_path / name).mkdir(parents=True)
    assert config.load(config.locate(name)).model.image_size == SIZE
    (tmp_path / name).rmdir()
    (tmp_path / name).write_text("model: {image_size: [64, 48]}")
    assert config.load(name) == config.load(config.locate(name))
    assert config.load(name).model.image_size == (64, 48)


def test_a_name_beside_a_file_of_the_same_name_is_warned_of(tmp_path):
    (tmp_path / "hand_xray_quick.yaml").write_text("model: {image_size: [64, 48]}")
    with pytest.warns(config.ConfigWarning, match=r"the bundled configuration is used, .*write hand_xray_quick\.yaml for that file"):
        located = config.locate("hand_xray_quick")
    assert config.load(located).model.image_size == SIZE


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hand_xray_quik", r"hand_xray_quik: cannot be read \(No such file or directory\); did you mean the bundled hand_xray_quick\?$"),
        ("configs/mouse_cd.yaml", r"did you mean the bundled mouse_ct\?$"),
        ("elsewhere/hand_xray.yaml", r"did you mean the bundled hand_xray\?$"),  # a wrong folder is not taken for ours
        ("/elsewhere/configs/hand_xray.yaml", r"cannot be read \(No such file or directory\)"),
        ("../configs/hand_xray.yaml", r"cannot be read \(No such file or directory\)"),
        ("zzz", r"; bundled configurations: cephalo, hand_xray, .*paper_3d\.$"),
        ("hand_xray_tuning", r"hand_xray_tuning is a bundled study, expected a configuration\.$"),
        ("studies/hand_xray_official", r"hand_xray_official is a bundled study"),
        (".", r"\.: cannot be read \(Is a directory\)"),
        ("a\0b", "invalid file name"),
        ("x" * 5000, "File name too long"),
    ],
)
def test_what_is_neither_file_nor_name_is_refused_with_what_may_be_meant(name, message):
    with pytest.raises(config.ConfigError, match=message):
        config.locate(name)


def test_a_study_is_found_by_name_and_its_base_beside_it_or_by_name(tmp_path):
    for name in ("hand_xray_tuning", "studies/hand_xray_tuning", "configs/studies/hand_xray_tuning.yaml"):
        runs = study.read_study(name).runs("FOLDER")
        assert {run.config.augment.rotation for run in runs} == {0.2}  # of hand_xray_quick
    with pytest.raises(config.ConfigError, match="cephalo is a bundled configuration, expected a study"):
        study.read_study("cephalo")
    folder = tmp_path / "mine"
    folder.mkdir()
    for base in ("hand_xray_quick", "configs/hand_xray_quick.yaml"):
        (folder / "mine.yaml").write_text(yaml.safe_dump({"base": base, "systems": {"SCN": {}}}))
        assert study.read_study(folder / "mine.yaml").runs()[0].config.model.image_size == SIZE
    (folder / "hand_xray_quick").write_text("model: {image_size: [64, 48]}")
    (folder / "mine.yaml").write_text("{base: hand_xray_quick, systems: {SCN: {}}}")
    assert study.read_study(folder / "mine.yaml").runs()[0].config.model.image_size == (64, 48)
    (folder / "mine.yaml").write_text("{base: hand_xray_quik, systems: {SCN: {}}}")
    with pytest.raises(config.ConfigError, match=r"mine\.yaml: base: hand_xray_quik: .*did you mean the bundled hand_xray_quick\?"):
        study.read_study(folder / "mine.yaml")


def test_the_command_lists_all_and_prints_copies_that_work(tmp_path, capsys):
    assert cli.main(["configs"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == [*bundled.names(), *(f"studies/{name}" for name in bundled.study_names())]
    assert len(listed) >= 9
    for name in listed:
        assert cli.main(["configs", name]) == 0
        copy = tmp_path / "copy.yaml"
        copy.write_text(capsys.readouterr().out)
        if name.startswith("studies/"):
            assert study.read_study(copy) == study.read_study(name)
            assert bundled.text(bundled.find_study(name)) == copy.read_text()
        else:
            assert config.load(copy) == config.load(name)
    assert cli.main(["configs", "cefalo"]) == 1
    assert "did you mean cephalo?" in capsys.readouterr().err


def test_help_names_them(capsys):
    for command, names in (("train", bundled.names()), ("study", bundled.study_names()), ("configs", bundled.names())):
        with pytest.raises(SystemExit, match="0"):
            cli.main([command, "--help"])
        words = set(re.findall(r"\w+", capsys.readouterr().out))
        assert set(names) <= words


def test_names_are_listed_without_tensorflow():
    program = "import sys; from scn_tf import cli; cli.main(['configs']); sys.exit('tensorflow' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=None)
    assert ended.returncode == 0, ended.stderr
    assert "hand_xray_quick" in ended.stdout


def test_train_takes_a_name_and_calls_the_run_after_it(hands_2d, tmp_path, capsys):
    options = ["--model.image_size", "48,32", "--model.filters", "4", "--train.epochs", "1", "--data.root", str(hands_2d)]
    assert cli.main(["train", "--config", "hand_xray_quick", *options]) == 0
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.startswith("hand_xray_quick-")
    assert config.load(run / "config.yaml").heatmap.gamma == 10
    assert cli.main(["train", "--config", "hand_xray_quick", *options, "--run-dir", str(run), "--resume"]) == 0
    assert cli.main(["train", "--config", "hand_xrai_quick", *options]) == 1
    assert "error: hand_xrai_quick: cannot be read (No such file or directory); did you mean" in capsys.readouterr().err


def test_files_and_names_are_the_same_for_the_path_type():
    assert bundled.find(Path("hand_xray")) == bundled.find("hand_xray") == bundled.FOLDER / "hand_xray.yaml"
    assert bundled.find("studies/hand_xray") is None
    assert bundled.find("") is bundled.find_study("studies/") is None
