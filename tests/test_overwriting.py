"""What exists and is not ours is never replaced; what is no regular file neither."""

import os
import shutil
import socket
import stat
import subprocess
import sys

import numpy as np
import pytest

from scn_tf import cli, config, evaluate_run, export, train_run
from scn_tf.export.forms import FORMS
from scn_tf.figures import pictures
from scn_tf.serving import demo
from scn_tf.storage import files, ownership
from tests.conftest import small_config, without_training

USERS = {
    "table.csv": "patient,thumb x,thumb y\nA,12.5,7\n",
    "points.csv": "id,landmark,x,y\nhand,thumb,12.5,7\n",  # annotations of another tool: no scores
    "ranks.csv": "rank,id,name\n1,7,Anna\n",
    "epochs.csv": "epoch,loss\n1,0.5\n",
    "summary.json": '{"patients": 12}',
    "list.json": "[1, 2]",
    "report.html": "<!doctype html><title>My thesis</title>",
    "notes.md": "# Notes\n",
    "other.tflite": b"\x1c\0\0\0TFL3 somebody's network",
    "other.onnx": b"\x08\x08 somebody's network",
    "other.keras": b"PK somebody's network",
    "other.npz": b"PK somebody's arrays",
    "picture.png": b"\x89PNG\r\n\x1a\n somebody's picture",
    "config.yaml": "train: {epochs: 3}  # for my thesis\n",
    "nothing.xyz": "?",
}


def content(text):
    return text if isinstance(text, bytes) else text.encode()


@pytest.mark.parametrize("name", USERS)
def test_a_users_file_is_refused_before_and_after_the_work_and_stays(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(content(USERS[name]))
    with pytest.raises(files.WriteError, match=rf"{name}: already exists and was not written by scn_tf; choose another name"):
        files.check_writable(path)
    with pytest.raises(files.WriteError, match="was not written by scn_tf"):
        files.write_text(path, "ours")
    assert path.read_bytes() == content(USERS[name])
    assert os.listdir(tmp_path) == [name]


def test_an_empty_file_is_nobodys(tmp_path):
    path = tmp_path / "made_by_mktemp.csv"
    path.touch()
    files.write_text(path, "id\n")
    assert path.read_text() == "id\n"


def test_everything_that_a_run_and_its_evaluation_wrote_is_ours(run_2d, tmp_path):
    evaluate_run.evaluate(run_2d, "val", out=tmp_path / "evaluation")
    written = [run_2d / name for name in ("config.yaml", "model.keras", "history.csv", "data.json", "checkpoints/last.npz")]
    written += sorted((tmp_path / "evaluation").iterdir())
    assert len(written) >= 11
    assert [path.name for path in written if not ownership.is_ours(path)] == []
    assert evaluate_run.evaluate(run_2d, "val", out=tmp_path / "evaluation")[0]["images"] == 3  # again, without fuss


@pytest.mark.parametrize("header", ["id,landmark,x,y,score", "id,landmark,x,y,z,score", "id,landmark,x,y,score,expected_error,radius95"])
def test_tables_of_earlier_predictions_are_replaced(header, tmp_path):
    path = tmp_path / "predictions.csv"
    path.write_text(f"{header}\nhand,thumb\n")
    files.write_text(path, "id,landmark,x,y,score\n")
    assert path.read_text() == "id,landmark,x,y,score\n"


def test_a_picture_that_we_wrote_is_still_a_picture_and_is_ours(tmp_path):
    path, array = tmp_path / "hand.png", np.arange(5 * 7 * 3, dtype="uint8").reshape(5, 7, 3)
    path.write_bytes(pictures.encode_png(array))
    assert not ownership.is_ours(path)
    path.unlink()
    for _ in range(2):
        with files.replaced(path) as temporary:
            temporary.write_bytes(pictures.encode_png(array))
    import tensorflow as tf

    np.testing.assert_array_equal(tf.io.decode_png(path.read_bytes()).numpy(), array)
    assert path.read_bytes().count(ownership.STAMP) == 1


def odd_files(folder):
    """Path by kind, of everything that is no regular file and that this user may make."""
    paths = {kind: folder / kind for kind in ("fifo", "socket", "folder", "device")}
    os.mkfifo(paths["fifo"])
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(paths["socket"]))
    paths["folder"].mkdir()
    try:
        os.mknod(paths["device"], stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        del paths["device"]
    return paths


def test_what_is_no_regular_file_is_refused_and_stays_what_it_is(tmp_path):
    for kind, path in odd_files(tmp_path).items():
        mode = path.lstat().st_mode
        link = tmp_path / f"link to {kind}"
        link.symlink_to(path)
        for name in (path, link):
            with pytest.raises(files.WriteError, match=r"name a file"):
                files.check_writable(name)
            with pytest.raises(files.WriteError, match=r"name a file"), files.replaced(name, ours=ownership.anything) as temporary:
                temporary.write_text("ours")
        assert path.lstat().st_mode == mode
        assert link.is_symlink()
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "/dev/stderr"])
def test_open_files_of_the_process_are_no_names_of_files(path, tmp_path):
    (tmp_path / "link.csv").symlink_to(path)
    for name in (path, tmp_path / "link.csv"):
        with pytest.raises(files.WriteError, match="is an open file of a process"):
            files.check_writable(name)


def test_a_link_stays_and_the_file_that_it_names_is_written(tmp_path):
    (tmp_path / "far").mkdir()
    target, link, chain = tmp_path / "far" / "table.csv", tmp_path / "link.csv", tmp_path / "chain.csv"
    link.symlink_to(os.path.join("far", "table.csv"))
    chain.symlink_to("link.csv")
    for path, text in ((link, "id,landmark,x,y,score\n"), (chain, "id,landmark,x,y,score\na\n")):
        files.check_writable(path)
        files.write_text(path, text)
        assert target.read_text() == text
    assert link.is_symlink()
    assert chain.is_symlink()
    assert os.listdir(tmp_path / "far") == ["table.csv"]
    target.write_text("the user's")
    with pytest.raises(files.WriteError, match=r"chain\.csv: already exists"):
        files.write_text(chain, "ours")
    (tmp_path / "round.csv").symlink_to("round.csv")
    with pytest.raises(files.WriteError, match="symbolic links form a cycle"):
        files.check_writable(tmp_path / "round.csv")


def test_commands_refuse_a_users_outputs_before_any_work(run_2d, hands_2d, tmp_path, capsys):
    image = str(hands_2d / "images" / "hand_007.png")
    (tmp_path / "report").mkdir()
    for name in ("table.csv", "other.tflite", "other.onnx", "other.keras", "report.html"):
        (tmp_path / name).write_bytes(content(USERS[name]))
    shutil.copy(tmp_path / "report.html", tmp_path / "report" / "report.html")
    os.mkfifo(tmp_path / "pipe.csv")
    commands = {
        "table.csv": ["predict", str(run_2d), image, "--out", str(tmp_path / "table.csv")],
        "pipe.csv": ["predict", str(run_2d), image, "--out", str(tmp_path / "pipe.csv")],
        "other.tflite": ["export", str(run_2d), str(tmp_path / "other.tflite")],
        "other.onnx": ["export", str(run_2d), str(tmp_path / "other.onnx")],
        "other.keras": ["combine", str(run_2d), str(run_2d), "--out", str(tmp_path / "other.keras")],
        "report.html": ["evaluate", str(run_2d), "--out", str(tmp_path / "report")],
    }
    for name, command in commands.items():
        assert cli.main(command) == 1, name
        error = capsys.readouterr().err
        assert name in error
        assert len(error.splitlines()) == 1
        if name in USERS:
            path = tmp_path / "report" / name if name == "report.html" else tmp_path / name
            assert path.read_bytes() == content(USERS[name])
    assert os.listdir(tmp_path / "report") == ["report.html"]


def test_an_overlay_never_replaces_an_image_of_its_name(run_2d, hands_2d, tmp_path, capsys):
    image = shutil.copy(hands_2d / "images" / "hand_007.png", tmp_path / "hand.png")
    before = image.read_bytes()
    command = ["predict", str(run_2d), str(image), "--out", str(tmp_path / "t.csv"), "--overlay", str(tmp_path)]
    assert cli.main(command) == 1
    assert "hand.png: already exists and was not written by scn_tf" in capsys.readouterr().err
    assert image.read_bytes() == before


def test_an_export_goes_into_no_folder_with_other_things(run_2d, tmp_path):
    for name in ("things", "served"):
        (tmp_path / name / ("1" if name == "served" else "")).mkdir(parents=True)
    (tmp_path / "things" / "thesis.tex").write_text("")
    (tmp_path / "served" / "1" / "saved_model.pb").write_bytes(b"another program's")
    with pytest.raises(files.WriteError, match=r"things: holds other things \(thesis\.tex\)"):
        export.export_saved_model(run_2d, tmp_path / "things")
    with pytest.raises(files.WriteError, match="1: was not written by scn_tf"):
        export.export_saved_model(run_2d, tmp_path / "served")
    assert os.listdir(tmp_path / "things") == ["thesis.tex"]


def test_our_own_exports_are_replaced(run_2d, tmp_path):
    for _ in range(2):
        export.export_tflite(run_2d, tmp_path / "hands.tflite")
    assert FORMS["tflite"].is_ours(tmp_path / "hands.tflite")
    pytest.importorskip("tf2onnx")
    export.export_onnx(run_2d, tmp_path / "hands.onnx")
    assert FORMS["onnx"].is_ours(tmp_path / "hands.onnx")


def test_a_page_goes_into_no_folder_with_a_page_of_its_own(tmp_path):
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(files.WriteError, match=r"index\.html: already exists"):
        demo._check_folder(tmp_path, ["index.html", "page.js"])
    (tmp_path / "index.html").unlink()
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / "jquery.js").write_text("mine")
    with pytest.raises(files.WriteError, match=r"vendor: already exists"):
        demo._check_folder(tmp_path, ["index.html"])


def test_a_run_never_takes_a_folder_with_a_users_settings(hands_2d, tmp_path, monkeypatch):
    without_training(monkeypatch)
    settings, run = small_config(hands_2d), tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text("# for my thesis\n" + settings.to_yaml())
    for resume, error in ((False, files.WriteError), (True, config.ConfigError)):
        with pytest.raises(error, match=r"config\.yaml: (already exists and )?was not written by"):
            train_run.train(settings, run, resume=resume)
    (run / "config.yaml").write_text(small_config(hands_2d, train__learning_rate=0.5).to_yaml())
    with pytest.raises(config.ConfigError, match="with other settings and no run beside it"):
        train_run.train(settings, run)
    assert "0.5" in (run / "config.yaml").read_text()
    assert os.listdir(run) == ["config.yaml"]
    (run / "config.yaml").write_text(settings.to_yaml())  # the same settings: nothing is lost
    (run / "history.csv").write_text("epoch,loss\n1,0.5\n")
    with pytest.raises(files.WriteError, match=r"history\.csv: already exists"):
        train_run.train(settings, run)
    (run / "history.csv").unlink()
    train_run.train(settings, run)
    train_run.train(small_config(hands_2d, train__learning_rate=0.25), run)  # killed before its first checkpoint: begun anew
    assert "learning_rate: 0.25" in (run / "config.yaml").read_text()


KILLED = """
import os, sys, pathlib
from scn_tf.storage import files
if sys.argv[2] == "file":
    with files.replaced(sys.argv[1]) as temporary:
        temporary.write_text("half")
        print("ready", flush=True)
        sys.stdin.read()
        os._exit(1)
with files.temporary_folder(sys.argv[1], "export") as folder:
    (folder / "model").mkdir()
    (folder / "model" / "weights").write_text("half")
    print("ready", flush=True)
    sys.stdin.read()
    os._exit(1)
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_leftovers_of_a_killed_process_are_removed_and_those_of_a_living_one_are_not(kind, tmp_path):
    path = tmp_path / "predictions.csv"
    users = [".predictions.1a2b3c4d.csv.bak", ".other.1a2b3c4d.csv", ".predictions.old.csv", ".export-old", "notes"]
    for name in users:
        (tmp_path / name).write_text("the user's")

    def clean():
        files.check_writable(path)
        with files.temporary_folder(tmp_path, "export"):
            pass
        return sorted(set(os.listdir(tmp_path)) - set(users))

    arguments = [sys.executable, "-c", KILLED, str(path if kind == "file" else tmp_path), kind]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        writer.stdout.readline()
        assert len(clean()) == 1
        writer.kill()
        writer.wait()
    assert clean() == []
    assert set(os.listdir(tmp_path)) == set(users)
