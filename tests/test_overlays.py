"""Pictures that ``scn-tf predict --overlay`` must not replace are found before the first image."""

import shutil

from scn_tf import cli


def test_pictures_that_are_not_ours_are_refused_before_any_work_and_named(run_2d, hands_2d, tmp_path, capsys):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in (1, 2, 3):
        shutil.copy(hands_2d / "images" / f"hand_00{number}.png", folder)
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    out = tmp_path / "p.csv"
    assert cli.main(["predict", str(run_2d), str(folder), "--out", str(out), "--overlay", str(folder)]) == 1
    error = capsys.readouterr().err
    assert "hand_001.png: already exists and was not written by scn_tf, like 2 more of 3." in error
    assert "Choose another --overlay folder" in error
    assert not out.exists()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == kept


def test_own_pictures_of_an_earlier_prediction_are_replaced(run_2d, hands_2d, tmp_path):
    command = ["predict", str(run_2d), str(hands_2d / "images" / "hand_001.png"), "--out", str(tmp_path / "p.csv")]
    for _ in range(2):
        assert cli.main([*command, "--overlay", str(tmp_path / "drawn")]) == 0
