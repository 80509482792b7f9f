"""Answers of earlier calls, of odd files and of few images are never taken for those of this one."""

import csv
import io
import json
import lzma
import os
import shutil
import warnings
import zipfile

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from scn_tf import compare_runs, measurements
from scn_tf.data import images
from scn_tf.data.annotations import ANNOTATIONS, Annotations, write_annotations
from scn_tf.data.images import archives
from scn_tf.data.images.facts import ImageFacts, read_facts
from scn_tf.errors import MissingExtra, WriteError
from scn_tf.figures import canvas, pictures, sheets
from scn_tf.prediction import outputs, run, steps, streaming, tables
from scn_tf.scoring import agreement, comparison, resampling
from scn_tf.scoring.run_errors import RunErrors
from scn_tf.storage import files, journal
from scn_tf.storage.journal import Journal
from tests import dicom_files
from tests.test_predict_many import command, models_are_opened_once, opened  # noqa: F401  (fixtures)

AXIAL, SAGITTAL = (1, 0, 0, 0, 1, 0, 0, 0, 1), (0, 0, 1, 1, 0, 0, 0, 1, 0)


def places(path):
    """Points (N, 3) in a file of 3D Slicer."""
    if path.suffix == ".json":
        return np.array([point["position"] for point in json.loads(path.read_text())["markups"][0]["controlPoints"]])
    return np.array([[float(cell) for cell in row[1:4]] for row in csv.reader(path.read_text().splitlines()) if row[0][0] != "#"])


@pytest.mark.parametrize("direction", [AXIAL, SAGITTAL])
@pytest.mark.parametrize("name", ["slicer", "fcsv"])
def test_points_of_a_slice_lie_at_its_place_in_space(name, direction, tmp_path, rng):
    image = sitk.GetImageFromArray(rng.random((1, 20, 30)).astype("float32"))
    image.SetSpacing((0.5, 0.7, 2.0))
    image.SetOrigin((1, 2, 37))
    image.SetDirection(direction)
    sitk.WriteImage(image, str(tmp_path / "a.mha"))
    facts = read_facts(tmp_path / "a.mha", dims=2)
    pixels = np.array([[3.0, 4], [28, 11.5]])
    values = steps_record(pixels, facts)
    written = Annotations(points={"a": pixels}, rows={"a": 1}, names=("p", "q"), frame="pixel")
    (path,) = write_annotations(tmp_path / "out", written, ANNOTATIONS[name], {"a": values.facts})
    expected = [image.TransformContinuousIndexToPhysicalPoint([*point, 0.0]) for point in pixels.tolist()]
    np.testing.assert_allclose(places(path), expected, atol=1e-4)


def steps_record(pixels, facts):
    """A prediction after its way through the journal."""
    prediction = steps.Prediction(pixels, np.ones(len(pixels)), ("p", "q"), "pixel", pixels, None)
    return tables.restored(json.loads(json.dumps(tables.record("a", prediction, facts))), facts.path)


def test_an_image_with_a_pixel_size_and_no_frame_lies_at_the_origin(tmp_path):
    facts = ImageFacts(tmp_path / "a.x", (30, 20), (0.5, 2.0), None)
    written = Annotations(points={"a": np.array([[3.0, 4]])}, rows={"a": 1}, names=("p",), frame="pixel")
    (path,) = write_annotations(tmp_path, written, ANNOTATIONS["slicer"], {"a": facts})
    np.testing.assert_allclose(places(path), [[1.5, 8, 0]])


def test_nothing_of_an_earlier_call_stays_where_all_images_fail(run_2d, hands_2d, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(hands_2d / "images" / "hand_000.png", folder)
    out, more = tmp_path / "p.csv", ("--to", "coco", "--to-dir", tmp_path / "to")
    assert command(run_2d, folder, out, *more) == 0
    measurements.write_table(tmp_path / "p.measurements.csv", [("a", {"m": {"value": 1.0, "unit": "mm"}})])
    (folder / "hand_000.png").write_bytes(b"\x89PNG broken")
    assert command(run_2d, folder, out, *more) == 1
    assert len(out.read_text().splitlines()) == 1
    assert not (tmp_path / "p.measurements.csv").exists()
    assert not (tmp_path / "to" / "predictions.json").exists()


def test_a_foreign_table_of_measurements_stays(run_2d, hands_2d, tmp_path):
    (tmp_path / "p.measurements.csv").write_text("mine\n")
    assert command(run_2d, hands_2d / "images" / "hand_000.png", tmp_path / "p.csv") == 0
    assert (tmp_path / "p.measurements.csv").read_text() == "mine\n"


def test_an_interrupted_picture_leaves_no_record(run_2d, hands_2d, tmp_path, monkeypatch):
    """The picture of an earlier call would otherwise be taken for the one of this call."""

    def interrupted(*_):
        raise KeyboardInterrupt

    source = hands_2d / "images" / "hand_000.png"
    more = ("--overlay", tmp_path / "o")
    assert command(run_2d, source, tmp_path / "p.csv", *more) == 0
    with monkeypatch.context() as patch:
        patch.setattr(outputs, "write", interrupted)
        assert command(run_2d, source, tmp_path / "p.csv", *more) == 130
    with Journal(journal.path_for(tmp_path / "p.csv"), {}, resume=True) as log:
        assert not log.places


def test_a_journal_of_another_version_is_not_continued(tmp_path):
    path = tmp_path / ".p.csv.journal"
    path.write_text(json.dumps({journal.KIND: 1}, separators=(",", ":")) + "\n")
    with pytest.raises(WriteError, match=r"another version of scn_tf\. Start again without `resume`"):
        Journal(path, {}, resume=True)


def test_an_image_is_known_by_all_its_files_and_by_no_others(tmp_path):
    header, pixels = tmp_path / "a.mhd", tmp_path / "a.raw"
    header.write_text("x")
    pixels.write_bytes(b"12")
    (tmp_path / "ab.raw").write_bytes(b"1")
    before = list(run._stamps(header))
    (tmp_path / "ab.raw").write_bytes(b"123")
    assert list(run._stamps(header)) == before
    pixels.write_bytes(b"123")
    assert list(run._stamps(header)) != before
    folder = dicom_files.write(tmp_path / "series" / "1.dcm", np.zeros((4, 5), "uint16")).parent
    before = list(run._stamps(folder))
    (folder / "predictions.csv").write_text("id")
    assert list(run._stamps(folder)) == before


@pytest.mark.parametrize("error", [MissingExtra("a.png: needs a library"), MemoryError()])
def test_an_image_that_cannot_be_read_here_does_not_end_the_work(error, run_2d, hands_2d, tmp_path, monkeypatch, capsys):
    original = streaming.prepare

    def prepare(path, *more, **options):
        if path.name == "hand_001.png":
            raise error
        return original(path, *more, **options)

    monkeypatch.setattr(streaming, "prepare", prepare)
    folder = tmp_path / "in"
    folder.mkdir()
    for number in (0, 1):
        shutil.copy(hands_2d / "images" / f"hand_00{number}.png", folder)
    assert command(run_2d, folder, tmp_path / "p.csv") == 1
    assert "error: 1 file left out, 1 image predicted." in capsys.readouterr().err


def test_the_longest_file_name_can_be_written(tmp_path):
    path = tmp_path / f"{'ü' * 123}x.json"
    assert len(os.fsencode(path.name)) == 252
    files.write_text(path, "{}")
    files.check_writable(tmp_path / "short")
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    with pytest.raises(WriteError, match="too long"):  # before any work
        outputs.check(outputs.Outputs(overlay=tmp_path / "o"), ["a" * 200, "ü" * 130], tmp_path / "p.csv")


@pytest.mark.parametrize("compression", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED])
def test_damaged_archives_of_any_compression_are_left_out(compression, tmp_path, rng):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("a.png", rng.integers(0, 40, 5000).astype("uint8").tobytes())
    whole = path.read_bytes()
    for _ in range(25):
        content = bytearray(whole)
        for place in rng.integers(30, 120, 4):
            content[place] ^= int(rng.integers(1, 256))
        path.write_bytes(content)
        with images.unpacked([path]) as found:
            assert len(found.left_out) == 1
    assert lzma.LZMAError in archives.DAMAGED


def test_an_archive_with_an_endless_list_of_contents_is_not_read(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(40):
            archive.writestr(f"{number}.png", b"x")
    monkeypatch.setattr(archives, "MAX_CONTENTS", 1000)
    monkeypatch.setattr(zipfile, "ZipFile", None)
    with images.unpacked([tmp_path / "a.zip"]) as found:
        assert "its list of contents exceeds 1,000 bytes" in found.left_out[0]


def test_sums_that_cancel_out_are_ties_of_the_sign_flip_test():
    # 0.1 + 0.2 - 0.3 is not quite 0: all 8 signs are as far from 0.
    assert resampling.sign_flip(np.array([0.1, 0.2, -0.3])) == 1
    assert resampling.sign_flip(np.array([1.0, 2, 3, 4])) == pytest.approx(2 / 16)


def test_names_that_differ_in_case_are_refused_where_the_disk_does_not_tell_them_apart(tmp_path, monkeypatch):
    beside = outputs.Outputs(overlay=tmp_path / "o")
    outputs.check(beside, ["a", "A", "b"], tmp_path / "p.csv")
    assert not list((tmp_path / "o").iterdir())
    monkeypatch.setattr(files, "folds_case", lambda folder: True)
    outputs.check(beside, ["a", "b"], tmp_path / "p.csv")
    with pytest.raises(WriteError, match=r"o/A\.png: is a\.png for this disk"):
        outputs.check(beside, ["a", "A", "b"], tmp_path / "p.csv")


def test_only_signed_angles_come_round_again():
    names = ("0", "1", "2")
    points = np.array([[[1.0, 0], [0, 0], [-1, 1e-9]]])
    for text, expected in (("3*angle(L0, L1, L2)", 360.0), ("2*signed_angle(L0, L1, L2)", 0.0)):
        chosen = measurements.read({"a": text}, names, 2)
        found = agreement.Agreement(chosen, np.full((1, 1), 540.0), np.full((1, 1), 180.0), ["degrees"])
        assert found.errors[0, 0] == pytest.approx(expected)
        assert np.isfinite(measurements.compute(chosen, points)).all()


def test_one_image_has_no_interval():
    runs = {
        name: RunErrors(["a"], np.array([[value, 2.0]]), "mm", None, name, landmarks=("p", "q")) for name, value in (("x", 1.0), ("y", 3.0))
    }
    found = comparison.pairs(comparison.aligned(runs))
    assert np.isnan(found[0].low)
    assert found[0].p == 1
    assert comparison.table(found)[1][5] == ""
    assert comparison.rows(found)[1][6:8] == ("", "")
    assert comparison.overview(runs)[1][4:6] == ("", "")
    assert "nan" not in str([comparison.table(found), comparison.rows(found), comparison.overview(runs)])


def test_an_evaluation_from_before_new_annotations_is_outdated(run_2d, tmp_path, monkeypatch):
    (tmp_path / "splits").mkdir()
    (tmp_path / "dataset.yaml").write_text("x")
    (tmp_path / "splits" / "val.txt").write_text("a\n")
    (tmp_path / "landmarks.csv").write_text("a\n")
    for name in ("landmarks.csv", "splits/val.txt", "dataset.yaml"):
        os.utime(tmp_path / name, (4e9, 4e9))
        assert compare_runs._annotated(tmp_path, "train+val") == 4e9
        os.utime(tmp_path / name, (1e9, 1e9))
    info = compare_runs.opening.read_info(run_2d / "model.keras")
    config = info.config.model_copy(update={"data": info.config.data.model_copy(update={"root": tmp_path})})
    monkeypatch.setattr(compare_runs.opening, "read_info", lambda model: info.model_copy(update={"config": config}))
    (tmp_path / "errors.csv").write_text("")
    os.utime(tmp_path / "errors.csv", (5e9, 5e9))
    assert compare_runs._is_current(tmp_path, run_2d, "val")
    os.utime(tmp_path / "landmarks.csv", (6e9, 6e9))
    assert not compare_runs._is_current(tmp_path, run_2d, "val")


def test_names_in_any_script_are_drawn_without_warnings(rng):
    names = ["日本語", "$a_{", "a\nb", "\U0001f600"]
    points = rng.uniform(2, 18, (4, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pictures.overlay_figure(rng.random((20, 24, 1)), points, names).shape[2] == 3
        content = sheets.compared(rng.random((20, 24, 1)), points, points, names, None)
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.width > 100
    assert canvas.drawable("aé日") == f"aé{canvas.BOX}"
