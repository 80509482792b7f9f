"""DICOM structured reports: written for DICOM images, read back exactly, and valid by dicom3tools."""

import re
import shutil
import subprocess

import numpy as np
import pydicom
import pytest

import scn_tf
from scn_tf import cli
from scn_tf.data.annotations import ANNOTATIONS, Annotations, Expected, converted, recognised, write_annotations
from scn_tf.data.annotations.formats import dicom_sr
from scn_tf.data.images.facts import read_facts
from scn_tf.errors import DatasetError
from scn_tf.storage import ownership
from tests import dicom_files

pytest.importorskip("highdicom")
ROW = ANNOTATIONS["dicom-sr"]
NAMES = ("sella", "left eye", "Ölkrug 1", "n" * 90)
TAGS = dict(
    StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.3.4", FrameOfReferenceUID="1.2.5", Modality="CT", PatientID="p7", PatientName="A^B"
)


@pytest.fixture
def plane(tmp_path, rng):
    return dicom_files.write(tmp_path / "plane.dcm", rng.integers(0, 255, (40, 30)).astype("uint16"), **TAGS)


@pytest.fixture
def volume(tmp_path, rng):
    pixels = rng.integers(0, 255, (6, 40, 30)).astype("uint16")
    axes = [0.8, 0.6, 0.0, -0.6, 0.8, 0.0]
    return dicom_files.write_series(tmp_path / "volume", pixels, [0, 2, 4, 6, 8, 10], ImageOrientationPatient=axes, **TAGS)


def points(rng, dims):
    found = rng.uniform(1, [28, 38, 5][:dims], (4, dims))
    found[1] = np.nan
    return found


def written(tmp_path, path, values, *, frame="pixel", names=NAMES):
    """(report, facts of the image)."""
    facts = read_facts(path, dims=values.shape[1])
    scores = {"image": np.array([0.5, 0.25, 1e-7, 123.456789][: len(values)])}
    annotations = Annotations({"image": values}, {"image": 1}, names, frame, scores=scores)
    (report,) = write_annotations(tmp_path / "reports", annotations, ROW, {"image": facts})
    return report, facts


@pytest.mark.parametrize(("image", "dims"), [("plane", 2), ("volume", 3)])
def test_a_report_is_read_back_to_the_precision_of_its_numbers(image, dims, request, tmp_path, rng):
    values = points(rng, dims)
    report, facts = written(tmp_path, request.getfixturevalue(image), values)
    for expected in (Expected(NAMES, dims), Expected()):
        found = ROW.read(report, expected)
        assert found.frame == ("pixel" if dims == 2 else "physical")
        pixel = converted(found, "pixel", {"image": facts}).points["image"]
        order = [NAMES.index(name) for name in found.names]
        np.testing.assert_allclose(pixel, values[order], rtol=1e-6, atol=2e-6)
        np.testing.assert_allclose(found.scores["image"][found.names.index(NAMES[3])], 123.457)
    assert found.names == (NAMES[0], *NAMES[2:])  # the absent one is not in the file
    assert recognised(report) == [ROW]
    assert recognised(facts.path / "IM0000.dcm" if dims == 3 else facts.path) == []
    assert ownership.is_ours(report)
    assert not ownership.is_ours(next(iter(facts.path.iterdir())) if dims == 3 else facts.path)


def test_a_point_of_a_plane_counts_from_the_corner_and_refers_to_its_instance(plane, tmp_path):
    report, _ = written(tmp_path, plane, np.array([[0.0, 0.0], [29.25, 39.0]]), names=NAMES[:2])
    import highdicom

    groups = highdicom.sr.srread(report).content.get_planar_roi_measurement_groups()
    places = [group.roi for group in groups]
    np.testing.assert_array_equal([place.value[0] for place in places], [[0.5, 0.5], [29.75, 39.5]])
    source = pydicom.dcmread(plane)
    for group in groups:
        (reference,) = group.roi.ContentSequence[0].ReferencedSOPSequence
        assert (reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID) == (source.SOPClassUID, source.SOPInstanceUID)
    assert [group.finding_type.meaning for group in groups] == list(NAMES[:2])
    assert groups[0].finding_type.scheme_designator == "99SCN_TF"
    data = pydicom.dcmread(report)
    assert (data.PatientID, data.PatientName, data.StudyInstanceUID, data.Modality) == ("p7", "A^B", "1.2.3", "SR")
    assert data.ContentTemplateSequence[0].TemplateIdentifier == "1500"


def test_a_point_of_a_volume_is_in_the_patients_coordinates(volume, tmp_path):
    report, facts = written(tmp_path, volume, np.array([[3.0, 4.0, 5.0]]), names=NAMES[:1])
    import highdicom

    (group,) = highdicom.sr.srread(report).content.get_planar_roi_measurement_groups()
    last = pydicom.dcmread(volume / "IM0005")
    axes = np.reshape(last.ImageOrientationPatient, (2, 3)).astype(float)
    expected = np.array(last.ImagePositionPatient, float) + 3 * 0.7 * axes[0] + 4 * 0.5 * axes[1]
    np.testing.assert_allclose(group.roi.value[0], expected, rtol=1e-6)
    assert group.roi.frame_of_reference_uid == "1.2.5"
    listed = pydicom.dcmread(report).CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert len(listed.ReferencedSOPSequence) == 6
    assert facts.physical_from_pixel is not None


def test_points_outside_a_plane_are_left_out_since_the_standard_has_no_place_for_them(plane, tmp_path):
    report, _ = written(tmp_path, plane, np.array([[-0.4, 3.0], [-0.6, 3.0], [29.0, 39.6]]), names=("a", "b", "c"))
    assert ROW.read(report, Expected()).names == ("a",)
    with pytest.raises(DatasetError, match=r"plane\.dcm: no landmark is in the image"):
        written(tmp_path, plane, np.array([[-3.0, 3.0]]), names=("a",))


@pytest.mark.parametrize("tag", ["StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"])
def test_a_source_without_its_identity_is_refused_by_name(tag, tmp_path, rng):
    tags = {name: value for name, value in TAGS.items() if name != tag}
    folder = dicom_files.write_series(tmp_path / "volume", rng.integers(0, 9, (3, 8, 9)).astype("uint16"), [0, 2, 4], **tags)
    if tag == "SeriesInstanceUID":
        for path in folder.iterdir():
            data = pydicom.dcmread(path)
            del data.SeriesInstanceUID
            data.save_as(path)
    with pytest.raises(DatasetError, match=rf"IM0000: states no {tag}"):
        written(tmp_path, folder, np.ones((2, 3)), names=("a", "b"))


def test_an_image_that_is_no_dicom_is_refused_with_the_fix(hands_2d, tmp_path):
    with pytest.raises(DatasetError, match=r"hand_007\.png: is no DICOM image.*Write another format, such as slicer or coco"):
        written(tmp_path, hands_2d / "images" / "hand_007.png", np.ones((2, 2)), names=("a", "b"))
    with pytest.raises(DatasetError, match="refers to its image, which was not found"):
        ROW.write(tmp_path / "a.dcm", Annotations({"a": np.ones((2, 2))}, {"a": 1}), {})


def spoil(report, change):
    data = pydicom.dcmread(report)
    groups = next(part for part in data.ContentSequence if part.ConceptNameCodeSequence[0].CodeValue == "126010").ContentSequence
    change(data, groups)
    data.save_as(report)


def twice(data, groups):
    groups.append(groups[0])


def no_name(data, groups):
    groups[0].ContentSequence = [item for item in groups[0].ContentSequence if item.ConceptNameCodeSequence[0].CodeValue != "112039"]


def no_points(data, groups):
    groups[:] = []


def other_image(data, groups):
    item = next(item for item in groups[0].ContentSequence if item.ValueType == "SCOORD")
    item.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "9.9.9"


MALFORMED = {
    twice: "sella appears twice",
    no_name: "no Tracking Identifier",
    no_points: "holds no points",
    other_image: "of several images",
}


@pytest.mark.parametrize("change", MALFORMED)
def test_a_malformed_report_is_refused(change, plane, tmp_path, rng):
    report, _ = written(tmp_path, plane, points(rng, 2))
    spoil(report, change)
    with pytest.raises(DatasetError, match=MALFORMED[change]):
        ROW.read(report, Expected())


def test_other_files_are_no_reports(plane, tmp_path):
    (tmp_path / "cut.dcm").write_bytes(plane.read_bytes()[:300])
    for path, message in (
        (plane, "is no DICOM structured report"),
        (tmp_path / "cut.dcm", "cut"),
        (tmp_path / "none.dcm", "cannot be read"),
    ):
        with pytest.raises(DatasetError, match=message):
            ROW.read(path, Expected())


def test_codes_are_names_where_a_code_may_have_them_and_always_distinct():
    assert dicom_sr.code_of("L1-top.2") == "L1-top.2"
    codes = [dicom_sr.code_of(name) for name in ("score", "left eye", "left  eye", "n" * 17, "n" * 18, "ö", "")]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"L[0-9a-f]{15}", code) for code in codes)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
@pytest.mark.parametrize(("image", "dims"), [("plane", 2), ("volume", 3)])
def test_the_validator_of_dicom3tools_finds_no_error(image, dims, request, tmp_path, rng):
    report, _ = written(tmp_path, request.getfixturevalue(image), points(rng, dims))
    ended = subprocess.run(["dciodvfy", "-new", str(report)], capture_output=True, text=True)
    lines = (ended.stdout + ended.stderr).splitlines()
    assert any("Comprehensive" in line and "SR" in line for line in lines)
    assert [line for line in lines if line.startswith("Error")] == []


def test_predict_writes_reports_of_dicom_images(run_2d, tmp_path, rng):
    for name in ("a", "b"):
        dicom_files.write(tmp_path / "in" / f"{name}.dcm", rng.integers(0, 999, (70, 50)).astype("uint16"), **TAGS)
    command = [
        "predict",
        str(run_2d),
        str(tmp_path / "in"),
        "--out",
        str(tmp_path / "p.csv"),
        "--to",
        "dicom-sr",
        "--to-dir",
        str(tmp_path / "out"),
    ]
    assert cli.main(command) == cli.main(command) == 0  # twice: our own reports are replaced
    predictor = scn_tf.load(run_2d)
    found = ROW.read(tmp_path / "out" / "b.dcm", Expected(predictor.names, 2))
    single = predictor.predict(tmp_path / "in" / "b.dcm")
    inside = np.isfinite(found.points["b"]).all(axis=1)
    assert inside.sum() > 5
    np.testing.assert_allclose(found.points["b"][inside], single.landmarks[inside], atol=0.05)
