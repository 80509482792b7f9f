"""Deployment files of a folder: written whole, and no edit of a user's is lost."""

import os

import pytest

from scn_tf import cli
from scn_tf.errors import WriteError
from scn_tf.serving import deploy


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_the_files_are_written_and_again_where_they_are_whole_or_missing(tmp_path, capsys):
    folder = tmp_path / "new" / "deployment"
    assert cli.main(["deploy", str(folder)]) == 0
    assert "docker-compose.yml" in capsys.readouterr().out
    first = contents(folder)
    assert (
        sorted(first)
        == deploy.names()
        == ["batching.config", "docker-compose.yml", "kubernetes.yaml", "models.config", "monitoring.config"]
    )
    assert first == contents(deploy.SOURCE)
    (folder / "models.config").unlink()
    (folder / "batching.config").write_text("")
    (folder / "notes.txt").write_text("mine")
    assert cli.main(["deploy", str(folder)]) == 0
    assert contents(folder) == {**first, "notes.txt": "mine"}


@pytest.mark.parametrize("name", deploy.names())
@pytest.mark.parametrize("kind", ["another", "edited", "folder", "pipe"])
def test_what_is_not_ours_stays_and_nothing_is_written_beside_it(name, kind, tmp_path, capsys):
    path = tmp_path / name
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_text("mine: 1\n" if kind == "another" else (deploy.SOURCE / name).read_text() + "# mine\n")
    kept = path.read_text() if path.is_file() else None
    assert cli.main(["deploy", str(tmp_path)]) == 1
    message = capsys.readouterr().err
    assert message.startswith(f"error: {path}: ")
    assert message.count("\n") == 1
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    assert kept is None or path.read_text() == kept


def test_a_link_stays_and_a_file_in_place_of_the_folder_is_refused(tmp_path):
    elsewhere = tmp_path / "elsewhere.config"
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "models.config").symlink_to(elsewhere)
    deploy.write(tmp_path / "out")
    assert (tmp_path / "out" / "models.config").is_symlink()
    assert elsewhere.read_text() == (deploy.SOURCE / "models.config").read_text()
    elsewhere.write_text("mine")
    with pytest.raises(WriteError, match="other contents"):
        deploy.write(tmp_path / "out")
    with pytest.raises(WriteError, match=r"elsewhere\.config: is a file; name a folder"):
        deploy.write(elsewhere)
