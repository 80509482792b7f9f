"""Landmarks as label maps, one label per point, in the frames of their images."""

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

import scn_tf
from scn_tf.data.annotations import ANNOTATIONS, Annotations, Expected, converted, read_any, recognised, write_annotations
from tests.conftest import EXACT
from tests.volume_samples import FACTS, NAMES, NAN, POINTS, TILTED

LABELS = ANNOTATIONS["labelmap"]


def label_image(path, blobs, *, size=(12, 10, 8), dtype="uint8", direction=(0, 0, 1, -1, 0, 0, 0, -1, 0)):
    """Write a label map in an oblique order of axes. Returns it as SimpleITK has it."""
    array = np.zeros(size[::-1], dtype)
    for label, voxels in blobs.items():
        for x, y, z in voxels:
            array[z, y, x] = label
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.5, 1.5, 3.0))
    image.SetOrigin((10, 20, 30))
    image.SetDirection(direction)
    sitk.WriteImage(image, str(path))
    return image


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_centroids_of_labels_are_in_mm_whatever_the_direction(tmp_path, ending):
    path = tmp_path / f"case_labels{ending}"
    blobs = {1: [(2, 3, 4)], 3: [(5, 5, 5), (6, 5, 5), (5, 6, 7), (6, 6, 7)]}
    image = label_image(path, blobs)
    assert recognised(path) == [LABELS]
    found = read_any(path, Expected(), LABELS)
    assert (found.names, found.frame) == (("1", "2", "3"), "physical")
    assert found.sizes == {"case_labels": (12, 10, 8)}
    centres = [np.mean(voxels, axis=0).tolist() for voxels in blobs.values()]
    expected = [image.TransformContinuousIndexToPhysicalPoint(centre) for centre in centres]
    np.testing.assert_allclose(found.points["case_labels"], [expected[0], NAN, expected[1]], atol=EXACT)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.csv", "label,name,color\n3,AC,#ff0000\n1,PC,#00ff00\n"),
        ("labels.csv", "AC;3\nPC;1\n"),
        ("labels.tsv", "index\tname\n1\tPC\n3\tAC\n"),
        ("labels.json", '{"labels": {"background": 0, "PC": 1, "AC": 3}}'),
        ("case_labels.json", '{"1": "PC", "3": "AC"}'),
        ("labels.txt", '# ITK-SnAP\n    0  0  0  0  0  0  0  "Clear Label"\n    1  255 0 0 1 1 1 "PC"\n3 0 255 0 1 1 1 "AC"\n'),
        ("labels.ctbl", "# Color\n0 Background 0 0 0 0\n1 PC 128 174 128 255\n3 AC 241 214 145 255\n"),
        ("labels.txt", "1: PC\n3: AC\n"),
    ],
)
def test_names_of_labels_come_from_a_table_beside(tmp_path, name, text):
    label_image(tmp_path / "case_labels.nrrd", {1: [(2, 3, 4)], 3: [(5, 5, 5)]})
    (tmp_path / "case_labels.csv").write_text("case,7,8\n")  # of another kind
    (tmp_path / name).write_text(text)
    assert read_any(tmp_path / "case_labels.nrrd", Expected(), LABELS).names == ("PC", "AC")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1,PC\n", "holds label 3, which the table beside it does not name"),
        ("1,PC\n3,PC\n", r"labels.csv: the labels 1 and 3 have the same name, PC"),
        ("nothing\n", r"labels.csv: is no table of labels: expected a number and a name per line"),
        ("\0", r"labels.csv: is no table of labels: is no text"),
    ],
)
def test_tables_that_do_not_name_the_labels_are_refused(tmp_path, text, reason):
    label_image(tmp_path / "case_labels.nrrd", {1: [(2, 3, 4)], 3: [(5, 5, 5)]})
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(scn_tf.DatasetError, match=reason):
        read_any(tmp_path / "case_labels.nrrd", Expected(), LABELS)


def test_images_are_no_label_maps(tmp_path):
    image = sitk.GetImageFromArray(np.arange(8 * 10 * 12, dtype="int16").reshape(8, 10, 12) % 300)
    sitk.WriteImage(image, str(tmp_path / "case.nii.gz"))
    assert recognised(tmp_path / "case.nii.gz") == []
    (tmp_path / "labels").mkdir()
    for name in ("labels/case.nii.gz", "case_seg.nii.gz", "slms.nii.gz"):  # neither the folder nor a mask of an organ
        (tmp_path / name).write_bytes((tmp_path / "case.nii.gz").read_bytes())
        assert recognised(tmp_path / name) == []
    for change, reason in [
        (lambda values: values, "100% of its voxels have a label"),
        (lambda values: values - 5, "expected labels from 1 to 10,000, received -5 to 294"),
        (lambda values: values * 0, "received 0 to 0"),
        (lambda values: values * 100.0, "received 0 to 29900"),
        (lambda values: (values == 7) * 0.25, "received 0 to 0.25"),
        (lambda values: (values == 7) * 1.25, "expected whole numbers, received 1.25"),
    ]:
        sitk.WriteImage(sitk.GetImageFromArray(change(sitk.GetArrayFromImage(image))), str(tmp_path / "case_seg.nrrd"))
        with pytest.raises(scn_tf.DatasetError, match=f"case_seg.nrrd: is no label map: .*{reason}"):
            read_any(tmp_path / "case_seg.nrrd", Expected(), LABELS)
    colours = sitk.GetImageFromArray(np.ones((4, 5, 6, 3), "uint8"), isVector=True)
    sitk.WriteImage(colours, str(tmp_path / "case_seg.nrrd"))
    with pytest.raises(scn_tf.DatasetError, match="expected one label per voxel, received colours"):
        read_any(tmp_path / "case_seg.nrrd", Expected(), LABELS)
    (tmp_path / "case_seg.nrrd").write_bytes((tmp_path / "case_seg.nrrd").read_bytes()[:-9])
    with pytest.raises(scn_tf.DatasetError, match=r"case_seg\.nrrd"):
        read_any(tmp_path / "case_seg.nrrd", Expected(), LABELS)


@pytest.mark.parametrize("dims", [2, 3])
def test_written_label_maps_are_exact_to_the_voxel(tmp_path, dims):
    facts = {
        "a": FACTS["a"]._replace(size=(50, 41, 9)[:dims], physical_from_pixel=TILTED if dims == 3 else TILTED[np.ix_([0, 1, 3], [0, 1, 3])])
    }
    start = Annotations({"a": POINTS["a"][:, :dims]}, {}, NAMES, "pixel")
    (path,) = write_annotations(tmp_path, start, LABELS, facts)
    assert path.name == "a.labels.nii.gz"
    assert recognised(path) == [LABELS]
    (tmp_path / "case").mkdir()
    renamed = tmp_path / "case" / "a.nii.gz"
    renamed.write_bytes(path.read_bytes())
    assert recognised(renamed) == [LABELS]  # the header tells
    found = read_any(path, Expected(), LABELS)
    assert (found.names, found.sizes) == (NAMES, {"a": facts["a"].size})
    back = converted(found, "pixel", facts)
    np.testing.assert_allclose(back.points["a"], np.rint(POINTS["a"][:, :dims]), atol=EXACT)
    image = nibabel.load(path)
    assert image.header.get_intent()[0] == "label"
    np.testing.assert_allclose(image.get_qform(), image.get_sform(), atol=EXACT)
    write_annotations(tmp_path, start, LABELS, facts)  # over its own files


def test_points_that_a_label_map_cannot_hold_are_refused(tmp_path):
    path = tmp_path / "a.labels.nii.gz"
    near = Annotations({"a": np.array([[1.4, 2, 3], [0.6, 2, 3]])}, {}, ("tip", "base"), "pixel")
    with pytest.raises(scn_tf.DatasetError, match=r"landmarks tip and base are in one voxel, \(1, 2, 3\)"):
        LABELS.write(path, near, FACTS)
    with pytest.raises(scn_tf.DatasetError, match=r"landmark tip is outside the image, at voxel \(1, 2, 9\) of \(50, 41, 9\)"):
        LABELS.write(path, Annotations({"a": np.array([[1, 2, 9.0]])}, {}, ("tip",), "pixel"), FACTS)
    with pytest.raises(scn_tf.DatasetError, match="needs the size of image a"):
        LABELS.write(path, near, {})
    with pytest.raises(scn_tf.DatasetError, match="label maps are written as"):
        LABELS.write(tmp_path / "a.nrrd", near, FACTS)
    assert list(tmp_path.iterdir()) == []
    far = Annotations({"a": np.array([[1.4, 2, 3], [5, 2, 3]])}, {}, ("tip", "base"), "pixel")
    (tmp_path / "labels.txt").write_text("1 tip\n")
    with pytest.raises(scn_tf.errors.WriteError, match=r"labels\.txt: already exists and was not written by scn_tf"):
        LABELS.write(path, far, FACTS)
    (tmp_path / "labels.txt").unlink()
    label_image(path, {1: [(1, 1, 1)]})
    with pytest.raises(scn_tf.errors.WriteError, match=r"a\.labels\.nii\.gz: already exists and was not written by scn_tf"):
        LABELS.write(path, far, FACTS)
