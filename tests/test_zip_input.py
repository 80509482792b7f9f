"""Zip files of images and folders with several DICOM series: what is an image, what is left out, and that nothing leads outside."""

import os
import stat
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import scn_tf
from scn_tf import cli
from scn_tf.data import images
from scn_tf.data.images import archives
from tests import dicom_files
from tests.conftest import SUBPIXEL
from tests.test_predict_many import rows


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """The folder for temporary files, in which nothing of an archive may stay."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert [path.name for path in folder.iterdir() if "scn_tf-unpacked" in path.name] == []


def zipped(path, members):
    """A zip of name -> bytes or file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content.read_bytes() if isinstance(content, Path) else content)
    return path


def predicted(model, tmp_path, *paths):
    status = cli.main(["predict", str(model), *map(str, paths), "--out", str(tmp_path / "p.csv")])
    return status, list(dict.fromkeys(row["id"] for row in rows(tmp_path / "p.csv"))) if (tmp_path / "p.csv").exists() else []


def series_of(hands_3d, folder, number=3, **tags):
    """A volume of the set as slices."""
    volume = sitk.ReadImage(str(hands_3d / "images" / f"hand_00{number}.nii.gz"))
    array = sitk.GetArrayFromImage(volume).astype("uint16")
    places = [volume.GetOrigin()[2] + slice_number * volume.GetSpacing()[2] for slice_number in range(len(array))]
    for slice_number, (plane, place) in enumerate(zip(array, places, strict=True)):
        name = f"{tags.get('SeriesNumber', 1)}_{slice_number:03d}"
        position = [*volume.GetOrigin()[:2], place]
        geometry = dict(
            ImagePositionPatient=position, ImageOrientationPatient=[1, 0, 0, 0, 1, 0], PixelSpacing=list(volume.GetSpacing()[1::-1])
        )
        dicom_files.write(folder / name, plane, **{"SeriesInstanceUID": "1.2.3", **geometry, **tags})
    return folder


def test_images_of_a_zip_are_found_like_those_of_a_folder(run_2d, hands_2d, tmp_path, scratch, capsys):
    hand = {number: hands_2d / "images" / f"hand_00{number}.png" for number in (7, 8)}
    members = {"a/x.png": hand[7], "b/x.png": hand[8], "y.png": hand[8], "__MACOSX/._y.png": b"", ".hidden.png": b"", "notes.txt": b"n"}
    path = zipped(tmp_path / "Study.ZIP", members)
    assert predicted(run_2d, tmp_path, path) == (0, ["a_x", "b_x", "y"])
    expected = scn_tf.load(run_2d).predict(hand[7]).landmarks
    found = [(float(row["x"]), float(row["y"])) for row in rows(tmp_path / "p.csv") if row["id"] == "a_x"]
    np.testing.assert_allclose(found, expected, atol=SUBPIXEL)
    assert capsys.readouterr().err == ""


def test_a_zip_of_slices_is_a_volume_with_the_name_of_the_zip(run_3d, hands_3d, tmp_path, scratch):
    folder = series_of(hands_3d, tmp_path / "slices")
    path = zipped(tmp_path / "patient 7.zip", {f"DICOM/S1/{one.name}": one for one in sorted(folder.iterdir())})
    assert predicted(run_3d, tmp_path, path) == (0, ["patient 7"])
    expected = scn_tf.load(run_3d).predict(folder).landmarks
    found = [[float(row[axis]) for axis in "xyz"] for row in rows(tmp_path / "p.csv")]
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_slices_of_a_zip_are_images_for_a_2d_model(run_2d, tmp_path, scratch, rng):
    plane = rng.integers(0, 999, (60, 50)).astype("uint16")
    slices = [dicom_files.write(tmp_path / "in" / f"I{number}", np.roll(plane, number)) for number in range(2)]
    path = zipped(tmp_path / "series.zip", {one.name: one for one in slices})
    assert predicted(run_2d, tmp_path, path) == (0, ["I0", "I1"])


def test_resuming_knows_the_images_of_a_zip_again(run_2d, hands_2d, tmp_path, scratch, capsys):
    path = zipped(tmp_path / "study.zip", {f"{number}.png": hands_2d / "images" / f"hand_00{number}.png" for number in (6, 7)})
    command = ["predict", str(run_2d), str(path), "--out", str(tmp_path / "p.json"), "--resume"]
    assert cli.main(command) == cli.main(command) == 0
    assert "2 images (2 done earlier)" in capsys.readouterr().out
    assert f'"file": "{path}/6.png"' in (tmp_path / "p.json").read_text()


def test_every_series_of_a_folder_is_a_volume(run_3d, hands_3d, tmp_path, capsys):
    folder = tmp_path / "study"
    for number, volume in ((2, 3), (11, 4)):
        series_of(hands_3d, folder, volume, SeriesInstanceUID=f"1.2.{number}", SeriesNumber=number)
    report = dicom_files.write(folder / "report.dcm", np.zeros((2, 2), "uint16"), SeriesInstanceUID="1.2.99")
    import pydicom

    data = pydicom.dcmread(report)
    for name in ("Rows", "Columns", "PixelData"):
        delattr(data, name)
    data.save_as(report)
    status, ids = predicted(run_3d, tmp_path, folder)
    assert (status, sorted(ids)) == (1, ["study_11", "study_2"])
    assert "report.dcm: left out, a DICOM file without an image" in capsys.readouterr().err
    for identity, volume in (("study_2", 3), ("study_11", 4)):
        alone = scn_tf.load(run_3d).predict(series_of(hands_3d, tmp_path / f"alone{volume}", volume))
        found = [[float(row[axis]) for axis in "xyz"] for row in rows(tmp_path / "p.csv") if row["id"] == identity]
        np.testing.assert_allclose(found, alone.landmarks, atol=1e-3)


def member(name, *, mode=0, content=b"x"):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info, content


def written(path, *members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for info, content in members:
            archive.writestr(info, content)
    return path


@pytest.mark.parametrize("name", ["../x.png", "a/../../x.png", "/x.png", "C:/x.png", "a\\..\\..\\x.png"])
def test_an_archive_that_leads_outside_is_refused_whole(name, tmp_path, scratch):
    info, content = member("x")
    info.filename = name
    path = written(tmp_path / "evil.zip", member("good.png"), (info, content))
    before = {one.name for one in tmp_path.rglob("*")}
    with images.unpacked([path]) as found:
        assert found.paths == []
        assert "evil.zip: its member" in found.left_out[0]
        assert "leads outside the folder" in found.left_out[0]
        assert not list(scratch.rglob("*.png"))
    assert {one.name for one in tmp_path.rglob("*")} == before


def test_links_and_archives_inside_are_left_out(tmp_path, scratch):
    path = written(
        tmp_path / "a.zip",
        member("link.png", mode=stat.S_IFLNK | 0o777, content=b"/etc/passwd"),
        member("inner.ZIP"),
        member("volume.nii.gz"),
        member("plain.png", mode=stat.S_IFREG | 0o644),
    )
    with images.unpacked([path]) as found:
        (folder,) = found.paths
        assert sorted(one.name for one in folder.iterdir()) == ["plain.png", "volume.nii.gz"]
        assert [line.split("a.zip/")[1] for line in found.left_out] == [
            "link.png: left out, a link or no regular file.",
            "inner.ZIP: left out, an archive in an archive.",
        ]


def encrypted(path):
    content = bytearray(zipped(path, {"a.png": b"x" * 99}).read_bytes())
    content[6] |= 1
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)


def lying(path):
    """A list of contents that states another size."""
    content = bytearray(zipped(path, {"a.png": os.urandom(99)}).read_bytes())
    content[content.index(b"PK\1\2") + 24] = 50
    path.write_bytes(content)


def duplicate(path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        written(path, member("a.png"), member("a.png"))


SPOILED = {
    "cut short": lambda path: path.write_bytes(zipped(path, {"a.png": os.urandom(9999)}).read_bytes()[:5000]),
    "no zip": lambda path: path.write_bytes(b"not at all"),
    "encrypted": encrypted,
    "another size": lying,
    "two members": duplicate,
    "times its size": lambda path: zipped(path, {"zeros.png": bytes(2**24)}),
}
MESSAGES = {"cut short": "is no zip file, or a damaged one", "no zip": "is no zip file, or a damaged one", "another size": "damaged"}


@pytest.mark.parametrize("kind", SPOILED)
def test_a_damaged_or_lying_archive_is_named_and_the_others_follow(kind, run_2d, hands_2d, tmp_path, scratch, capsys):
    SPOILED[kind](tmp_path / "bad.zip")
    assert predicted(run_2d, tmp_path, tmp_path / "bad.zip", hands_2d / "images" / "hand_007.png") == (1, ["hand_007"])
    error = capsys.readouterr().err
    assert f"bad.zip: {''}" in error
    assert MESSAGES.get(kind, kind) in error


def test_limits_of_members_bytes_and_disk(tmp_path, scratch, monkeypatch):
    path = zipped(tmp_path / "many.zip", {f"{number}.png": os.urandom(50) for number in range(5)})
    for name, value, message in (("MAX_MEMBERS", 4, "holds 5 files"), ("MAX_BYTES", 249, "holds 250 bytes"), ("FREE", 2**62, "Set TMPDIR")):
        with monkeypatch.context() as patch:
            patch.setattr(archives, name, value)
            with images.unpacked([path]) as found:
                assert message in found.left_out[0]


def test_a_broken_image_is_named_by_the_zip_and_not_by_the_temporary_folder(run_2d, tmp_path, scratch, capsys):
    path = zipped(tmp_path / "study.zip", {"a/broken.png": b"\x89PNG"})
    assert predicted(run_2d, tmp_path, path) == (1, [])
    error = capsys.readouterr().err
    assert f"{path}/a/broken.png" in error
    assert str(scratch) not in error


def test_a_zip_in_a_folder_is_to_be_named(run_2d, hands_2d, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    zipped(folder / "more.zip", {"a.png": hands_2d / "images" / "hand_007.png"})
    assert predicted(run_2d, tmp_path, folder) == (1, [])
    assert "more.zip: left out, an archive; name it by itself." in capsys.readouterr().err
