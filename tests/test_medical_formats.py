"""Annotation files of medical programs: 3D Slicer, label maps and MATLAB, in the frames of their images."""

import json
import time
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
import scipy.io
import SimpleITK as sitk

import scn_tf
from scn_tf import geometry
from scn_tf.data import matlab_files
from scn_tf.data.annotations import ANNOTATIONS, Annotations, Expected, converted, read_any, recognised, write_annotations
from scn_tf.data.images.facts import ImageFacts, read_facts
from tests.conftest import EXACT

NAN = [np.nan] * 3
NAMES = ("AC", "PC, left", 'the "Ünder" one')
POINTS = {"a": np.array([[1.5, 2.125, 3], NAN, [30.1, 1 / 3, 7]]), "b": np.array([[7.0, 8, 2], [9, 10.25, 0], [0, 19, 5]])}
TILTED = np.array([[0, -2.0, 0, 100], [0.5, 0, 0, -7], [0, 0, 3, 11], [0, 0, 0, 1]])
FACTS = {
    "a": ImageFacts(Path("a.nii.gz"), (50, 41, 9), (0.5, 2.0, 3.0), TILTED),
    "b": ImageFacts(Path("b.nrrd"), (31, 20, 6), None, None),
}
TOP = "# Markups fiducial file version = 4.11\n# CoordinateSystem = LPS\n"
COLUMNS = "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"


def control(label, position, **more):
    return {"id": "1", "label": label, "position": position, "positionStatus": "defined", **more}


def markups(*lists):
    url = "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/markups-schema-v1.0.0.json#"
    return {"@schema": url, "markups": list(lists)}


def fiducials(*controls, **more):
    return {"type": "Fiducial", "coordinateSystem": "LPS", "coordinateUnits": "mm", "controlPoints": list(controls), **more}


def read(folder, content, *, ending=".mrk.json", dims=None):
    path = folder / f"case 1{ending}"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    (row,) = recognised(path)
    return read_any(path, Expected(dims=dims), row)


def refused(folder, content, reason, **more):
    with pytest.raises(scn_tf.DatasetError, match=reason) as error:
        read(folder, content, **more)
    assert str(error.value).startswith(str(folder))


@pytest.mark.parametrize(
    ("system", "signs"), [("LPS", (1, 1)), ("RAS", (-1, -1)), ("0", (-1, -1)), (1, (1, 1)), ("lps", (1, 1)), (None, (1, 1))]
)
def test_markups_become_lps_whatever_their_coordinate_system(tmp_path, system, signs):
    found = read(tmp_path, markups(fiducials(control("tip", [1, 2.5, -3]), coordinateSystem=system)))
    assert (found.names, found.frame) == (("tip",), "physical")
    np.testing.assert_array_equal(found.points["case 1"], [[signs[0], signs[1] * 2.5, -3]])


def test_markup_points_that_are_not_placed_are_absent(tmp_path):
    absent = [control("a", [0, 0, 0], positionStatus=state) for state in ("undefined", "preview", "missing")]
    absent += [control("b", ""), control("c", None), {"label": "d"}, control("e", [], positionStatus="undefined")]
    absent = [{**point, "label": f"n{number}"} for number, point in enumerate(absent)]
    found = read(tmp_path, markups(fiducials(*absent, control("here", [1, 2, 3], visibility=False), {"position": [4, 5, 6], "label": ""})))
    assert found.names == (*(f"n{number}" for number in range(7)), "here", "9")
    np.testing.assert_array_equal(found.points["case 1"], [*[NAN] * 7, [1, 2, 3], [4, 5, 6]])


def test_point_lists_are_chosen_among_other_markups(tmp_path):
    line = {"type": "Line", "coordinateSystem": "LPS", "controlPoints": [control("l1", [9, 9, 9])]}
    both = markups(fiducials(control("tip", [1, 2, 3])), line, fiducials(control("base", [4, 5, 6]), coordinateSystem="RAS"))
    found = read(tmp_path, both)
    np.testing.assert_array_equal(found.points["case 1"], [[1, 2, 3], [-4, -5, 6]])
    assert read(tmp_path, markups(line)).names == ("l1",)
    assert read(tmp_path, both, ending=".json").names == ("tip", "base")
    refused(tmp_path, markups(line, {**line, "type": "Curve"}), r"expected a list of points \(type Fiducial\), received Line, Curve")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            markups(fiducials(control("tip", [1, 2, 3]), control("tip", [4, 5, 6]))),
            r"controlPoints\[1\]: the label tip appears twice, first in .*\[0\]",
        ),
        (markups(fiducials(control("t", [1, 2, 3])), fiducials(control("t", [1, 2, 3]))), r"markups\[1\].*the label t appears twice"),
        (markups(fiducials(control("tip", [1, 2]))), r"markups\[0\].controlPoints\[0\].position: expected 3 numbers, received \[1, 2\]"),
        (markups(fiducials(control("tip", [1, 2, "3"]))), r"position\[2\]: expected a number, received '3'"),
        (markups(fiducials(control("tip", [1, 2, 3], positionStatus="unknown"))), "positionStatus: expected one of defined"),
        (
            markups(fiducials(control("tip", [1, 2, 3]), coordinateSystem="IJK")),
            r"markups\[0\].coordinateSystem: expected LPS or RAS, received 'IJK'",
        ),
        (markups(fiducials(control("tip", [1, 2, 3]), coordinateUnits=["um", "UCUM", "x"])), "coordinateUnits: expected mm"),
        (markups(fiducials()), "the lists hold no points"),
        (markups(), "expected a list of points .* received no list"),
        ({"markups": 5}, r"markups: expected a list"),
        (markups(fiducials(*[{}] * 10_001)), "at most 10,000 landmarks"),
    ],
)
def test_malformed_markups_are_refused_with_the_place(tmp_path, content, reason):
    refused(tmp_path, content, reason)


def test_markups_of_a_picture_lose_the_z_that_they_share(tmp_path):
    flat = markups(fiducials(control("tip", [1, 2, -7.25]), control("base", [3, 4, -7.25]), control("gone", "")))
    np.testing.assert_array_equal(read(tmp_path, flat, dims=2).points["case 1"], [[1, 2], [3, 4], NAN[:2]])
    refused(tmp_path, markups(fiducials(control("a", [1, 2, 3]), control("b", [1, 2, 9]))), "z is 3 to 9 mm", dims=2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TOP + COLUMNS + '1,1,2.5,-3,0,0,0,1,1,1,0,tip,,\n2,4,5,6,0,0,0,1,0,1,0,"a, b",x,\n', {"tip": [1, 2.5, -3], "a, b": [4, 5, 6]}),
        (TOP.replace("LPS", "1") + "1,1,2.5,-3,0,0,0,1,1,1,0,tip,,\r\n", {"tip": [1, 2.5, -3]}),
        (TOP.replace("LPS", "0").replace("4.11", "4.6") + COLUMNS + "F_1,1,2.5,-3,0,0,0,1,1,1,0,,AC,\n", {"1": [-1, -2.5, -3]}),
        (
            "# Markups fiducial file version = 5.6\n" + COLUMNS + "1,1,2,3,0,0,0,1,1,1,0,tip,,,2,0\n2,0,0,0,0,0,0,1,1,1,0,b,,,0,0\n",
            {"tip": [-1, -2, 3], "b": NAN},
        ),
        ("# Fiducial List file L.fcsv\n# version = 2\n# columns = label,x,y,z,sel,vis\ntip,1,2,3,1,1\n", {"tip": [-1, -2, 3]}),
        ("# name = L\ntip,1,2,3\n", {"tip": [-1, -2, 3]}),
        (
            "# CoordinateSystem=LPS\n# columns = x, y, z, label\n1,nan,3,tip\n\n4,,6,base\n7,8,9,root\n",
            {"tip": NAN, "base": NAN, "root": [7, 8, 9]},
        ),
    ],
    ids=["4.11", "number", "4.6", "5.6", "slicer3", "bare", "order"],
)
def test_fiducial_lists_of_all_versions_are_read(tmp_path, text, expected):
    found = read(tmp_path, text, ending=".fcsv")
    assert found.frame == "physical"
    assert found.names == tuple(expected)
    np.testing.assert_array_equal(found.points["case 1"], list(expected.values()))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (TOP + COLUMNS + "1,1,2,x,0,0,0,1,1,1,0,tip,,\n", r"line 4: z: expected a finite number, received 'x'"),
        (TOP + COLUMNS + "1,1,inf,3,0,0,0,1,1,1,0,tip,,\n", r"line 4: y: expected a finite number, received 'inf'"),
        (TOP + COLUMNS + "1,1,1_0,3,0,0,0,1,1,1,0,tip,,\n", r"line 4: y: expected a finite number, received '1_0'"),
        (TOP + COLUMNS + "1,1\n", "line 4: expected the columns id,x,y,z,.* received 2 values"),
        (TOP + "1,1,2,3,,,,,,,,t\n2,1,2,3,,,,,,,,t\n", "line 4: the label t appears twice, first in line 3"),
        (TOP.replace("LPS", "2") + "1,1,2,3\n", "CoordinateSystem: expected RAS, LPS, 0 or 1, received '2'"),
        ("# columns = label,x,y\n1,1,2\n", "columns: expected x, y and z among them, received 'label,x,y'"),
        (TOP, "holds no points"),
        (TOP + "1,2,3,4\n" * 3, "line 5: "),
        (TOP + "\n".join(f"{n},1,2,3" for n in range(10_002)), "at most 10,000 landmarks"),
        ("\0", "null byte"),
    ],
)
def test_malformed_fiducial_lists_are_refused_with_the_line(tmp_path, text, reason):
    text = text.replace("1,2,3,4\n1,2,3,4\n1,2,3,4\n", "1,2,3,4\n2,2,3,4\n3,2,z,4\n")
    refused(tmp_path, text, reason, ending=".fcsv")


@pytest.mark.parametrize("name", ["slicer", "fcsv"])
@pytest.mark.parametrize("dims", [2, 3])
def test_points_return_from_3d_slicer_to_the_pixels_of_tilted_images(tmp_path, name, dims):
    row = ANNOTATIONS[name]
    keep = [*range(dims), 3]
    facts = {
        image_id: one._replace(
            size=one.size[:dims],
            physical_from_pixel=None if one.physical_from_pixel is None else one.physical_from_pixel[np.ix_(keep, keep)],
        )
        for image_id, one in FACTS.items()
    }
    start = Annotations({image_id: points[:, :dims] for image_id, points in POINTS.items()}, {}, NAMES, "pixel")
    written = write_annotations(tmp_path / "out", start, row, facts)
    assert [path.name for path in written] == [f"a{row.endings[0]}", f"b{row.endings[0]}"]
    found = read_any(tmp_path / "out", Expected(dims=dims), row)
    assert found.frame == "physical"
    back = converted(found, "pixel", facts)
    columns = [found.names.index(one) for one in NAMES]
    for image_id, points in start.points.items():
        np.testing.assert_allclose(back.points[image_id][columns], points, atol=1e-6)
    write_annotations(tmp_path / "out", start, row, facts)  # over its own files


def test_written_markups_have_what_3d_slicer_expects(tmp_path):
    path = tmp_path / "a.mrk.json"
    one = Annotations({"a": POINTS["a"]}, {}, NAMES, "physical", scores={"a": np.array([0.75, np.nan, 1])})
    ANNOTATIONS["slicer"].write(path, one, {})
    content = json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert content["@schema"].endswith("markups-schema-v1.0.3.json#")
    (markup,) = content["markups"]
    assert (markup["type"], markup["coordinateSystem"], markup["coordinateUnits"]) == ("Fiducial", "LPS", "mm")
    assert [(one["label"], one["positionStatus"], one["description"]) for one in markup["controlPoints"]] == [
        ("AC", "defined", "score 0.75"),
        ("PC, left", "undefined", "not annotated"),
        ('the "Ünder" one', "defined", "score 1"),
    ]
    assert markup["controlPoints"][0]["position"] == [1.5, 2.125, 3.0]
    assert {"associatedNodeID", "orientation", "selected", "locked", "visibility"} <= set(markup["controlPoints"][0])
    assert markup["display"]["pointLabelsVisibility"]
    theirs = {key: value for key, value in content.items() if key != "scn_tf"}  # as 3D Slicer saves it
    path.write_text(json.dumps(theirs))
    with pytest.raises(scn_tf.errors.WriteError, match="was not written by scn_tf"):
        ANNOTATIONS["slicer"].write(path, one, {})
    with pytest.raises(scn_tf.DatasetError, match="holds the points of one image, received 2 images"):
        ANNOTATIONS["slicer"].write(path, Annotations(POINTS, {}, NAMES, "physical"), {})


def test_fiducial_lists_of_3d_slicer_are_never_written_over(tmp_path):
    path = tmp_path / "a.fcsv"
    path.write_text(TOP + COLUMNS + "1,1,2,3,0,0,0,1,1,1,0,# written by scn_tf,,\n")
    with pytest.raises(scn_tf.errors.WriteError, match="was not written by scn_tf"):
        ANNOTATIONS["fcsv"].write(path, Annotations({"a": POINTS["a"]}, {}, NAMES, "physical"), {})


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


MAT = ANNOTATIONS["mat"]


def cells(*texts):
    column = np.empty((len(texts), 1), object)
    column[:, 0] = texts
    return column


def read_mat(folder, content, **expected):
    path = folder / "case 1.mat"
    scipy.io.savemat(path, content)
    assert recognised(path) == [MAT]
    return read_any(path, Expected(**expected), MAT)


def test_tables_of_matlab_files_are_read(tmp_path):
    table = np.arange(10.0).reshape(5, 2)
    table[3, 0] = np.nan
    found = read_mat(tmp_path, {"anything": table, "note": "by hand", "spacing": np.array([[0.1, 0.2, 0.3, 0.4]])})
    assert (found.names, found.frame) == (None, "stated")
    np.testing.assert_array_equal(found.points["case 1"], np.where(np.isnan(table).any(axis=1, keepdims=True), np.nan, table))
    names = cells("n1", "n2", "n3", "n4", "n5")
    assert read_mat(tmp_path, {"xy": table, "other": table, "labels": names}).names == ("n1", "n2", "n3", "n4", "n5")
    assert read_mat(tmp_path, {"data": {"pts": table, "names": names}}).names == ("n1", "n2", "n3", "n4", "n5")
    assert read_mat(tmp_path, {"xy": np.int16(table[:3])}).points["case 1"].dtype == "float64"


@pytest.mark.parametrize("axes", [(1, 2, 0), (0, 1, 2)], ids=["N,d,I", "I,N,d"])
def test_tables_of_several_images_are_read_either_way(tmp_path, axes):
    stack = np.arange(4 * 5 * 3.0).reshape(4, 5, 3)  # images, landmarks, coordinates
    found = read_mat(tmp_path, {"landmarks": np.transpose(stack, axes)})
    assert list(found.points) == ["1", "2", "3", "4"]
    np.testing.assert_array_equal(list(found.points.values()), stack)
    found = read_mat(tmp_path, {"landmarks": np.transpose(stack, axes), "files": cells("x/a.png", "x/b.png", "c.png", "d.png")})
    assert list(found.points) == ["a", "b", "c", "d"]
    assert found.images["b"] == "x/b.png"


def test_axes_that_a_shape_does_not_tell_need_names_or_a_description(tmp_path):
    either = np.arange(3 * 2 * 2.0).reshape(3, 2, 2)
    with pytest.raises(scn_tf.DatasetError, match=r"received \(3, 2, 2\), which may be either. Add the names"):
        read_mat(tmp_path, {"points": either})
    np.testing.assert_array_equal(list(read_mat(tmp_path, {"points": either}, names=("p", "q"), dims=2).points.values()), either)
    found = read_mat(tmp_path, {"points": either, "names": cells("p", "q", "r")})
    np.testing.assert_array_equal(found.points["2"], either[:, :, 1])


def test_named_points_and_structs_of_matlab_files_are_read(tmp_path):
    found = read_mat(tmp_path, {"tip": [1.0, 2, 3], "base": [[4.0], [5], [6]]})
    assert found.names == ("tip", "base")
    np.testing.assert_array_equal(found.points["case 1"], [[1, 2, 3], [4, 5, 6]])
    assert read_mat(tmp_path, {"landmarks": {"tip": [1.0, 2], "base": [3.0, 4]}}).names == ("tip", "base")
    records = np.array([("tip", 1.0, 2.0), ("base", 3.0, 4.0)], [("name", object), ("x", object), ("y", object)])
    found = read_mat(tmp_path, {"s": records})
    assert found.names == ("tip", "base")
    np.testing.assert_array_equal(found.points["case 1"], [[1, 2], [3, 4]])
    images = np.array([("a.png", np.eye(3, 2)), ("b.png", np.ones((3, 2)))], [("image", object), ("pts", object)])
    found = read_mat(tmp_path, {"s": images})
    np.testing.assert_array_equal(found.points["b"], np.ones((3, 2)))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"p": np.ones((4, 2)), "q": np.ones((5, 2))}, r"several variables may be the points: p \(4, 2\), q \(5, 2\)"),
        ({"p": np.ones((2, 9))}, r"expected an array of points .* received p \(2, 9\), to be transposed"),
        ({"p": np.ones((9, 4)), "t": "x"}, r"received p \(9, 4\), t \(text\)"),
        ({"p": np.ones((4, 2)), "names": cells("a", "b")}, "has 2 names of landmarks, but 4 points per image"),
        ({"p": np.ones((2, 2)), "names": cells("a", "a")}, "a landmark is named twice: a"),
        ({"p": np.array([[1, 2], [np.inf, 3]])}, "a coordinate is infinite"),
        ({"s": np.array([("a", 1.0), ("a", 2.0)], [("n", object), ("x", object)])}, "struct 1 of 2: expected one name"),
        ({}, "received no variable"),
        ({"c": np.ones((3, 2)) * 1j}, "received c <ndarray>"),
    ],
)
def test_matlab_files_without_a_clear_table_are_refused(tmp_path, content, reason):
    with pytest.raises(scn_tf.DatasetError, match=reason):
        read_mat(tmp_path, content)


def matlab73(path, extra=lambda file: None):
    """An HDF5 file as MATLAB writes -v7.3: columns first, texts as numbers, cells as references."""
    with h5py.File(path, "w", userblock_size=512) as file:
        stored = file.create_dataset("points", data=np.arange(12.0).reshape(4, 3).T)
        stored.attrs["MATLAB_class"] = np.bytes_("double")
        references = file.create_group("#refs#")
        names = file.create_dataset("names", (1, 4), h5py.ref_dtype)
        names.attrs["MATLAB_class"] = np.bytes_("cell")
        for number, text in enumerate(("A", "left B", "C", "D")):
            one = references.create_dataset(f"n{number}", data=np.array([[ord(letter)] for letter in text], "uint16"))
            one.attrs["MATLAB_class"] = np.bytes_("char")
            names[0, number] = one.ref
        extra(file)
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512))


def test_matlab_files_of_version_73_are_read(tmp_path):
    path = tmp_path / "case.mat"
    matlab73(path)
    assert recognised(path) == [MAT]
    found = read_any(path, Expected(), MAT)
    assert found.names == ("A", "left B", "C", "D")
    np.testing.assert_array_equal(found.points["case"], np.arange(12.0).reshape(4, 3))
    (tmp_path / "secret.h5").write_bytes(path.read_bytes())
    matlab73(path, lambda file: file.__setitem__("more", h5py.ExternalLink("secret.h5", "points")))
    with pytest.raises(scn_tf.DatasetError, match="more: links are not read"):
        read_any(path, Expected(), MAT)
    matlab73(path, lambda file: file.create_dataset("more", (4,), "uint8", external=[("secret.h5", 0, 4)]))
    with pytest.raises(scn_tf.DatasetError, match="data in other files is not read"):
        read_any(path, Expected(), MAT)
    matlab73(path, lambda file: file.create_dataset("more", (10**6, 10**6), "float64", chunks=(1000, 1000)))
    with pytest.raises(scn_tf.DatasetError, match="holds more than 5,000,000 numbers"):
        read_any(path, Expected(), MAT)


def test_damaged_matlab_files_are_refused_and_the_next_is_read(tmp_path):
    scipy.io.savemat(tmp_path / "good.mat", {"p": np.arange(10.0).reshape(5, 2)})
    good = (tmp_path / "good.mat").read_bytes()
    bad = tmp_path / "bad.mat"
    start = time.perf_counter()
    for content in (b"", b"MATLAB 5.0", good[:200], good[:130] + b"\xff" * 60 + good[190:], b"\x89HDF\r\n\x1a\n" + bytes(600)):
        bad.write_bytes(content)
        with pytest.raises(scn_tf.DatasetError, match=r"bad\.mat: (cannot be read as a MATLAB file|is damaged)"):
            read_any(bad, Expected(), MAT)
    scipy.io.savemat(bad, {"p": np.zeros((2000, 3000))}, do_compression=True)  # 48 MB in a few kB
    with pytest.raises(scn_tf.DatasetError, match="holds more than 5,000,000 numbers"):
        read_any(bad, Expected(), MAT)
    np.testing.assert_array_equal(read_any(tmp_path / "good.mat", Expected(), MAT).points["good"], np.arange(10.0).reshape(5, 2))
    assert time.perf_counter() - start < 20


def test_a_reader_that_crashes_is_replaced(tmp_path, monkeypatch):
    scipy.io.savemat(tmp_path / "good.mat", {"p": np.arange(10.0).reshape(5, 2)})
    read_any(tmp_path / "good.mat", Expected(), MAT)
    matlab_files._idle[-1].kill()
    assert read_any(tmp_path / "good.mat", Expected(), MAT).points["good"].shape == (5, 2)
    monkeypatch.setattr(matlab_files, "_idle", [])
    monkeypatch.setattr(matlab_files, "PROGRAM", "import os; input(); os.abort()")
    with pytest.raises(scn_tf.DatasetError, match=r"good\.mat: is damaged or too large: its reader crashes"):
        read_any(tmp_path / "good.mat", Expected(), MAT)
    monkeypatch.setattr(matlab_files.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(scn_tf.errors.MissingExtra, match="needs scipy"):
        read_any(tmp_path / "good.mat", Expected(), MAT)


@pytest.mark.parametrize("frame", ["pixel", "physical", "stated"])
def test_what_is_written_for_matlab_is_read(tmp_path, frame):
    path = tmp_path / "out.mat"
    start = Annotations(POINTS, {}, NAMES, frame, images={"a": "x/a.png"})
    MAT.write(path, start, {})
    MAT.write(path, start, {})  # over its own file
    found = read_any(path, Expected(), MAT)
    assert (found.names, found.frame, found.images["a"]) == (NAMES, frame, "x/a.png")
    for image_id, points in POINTS.items():
        np.testing.assert_array_equal(found.points[image_id], points)
    square = Annotations({"a": np.array([[1.0, 2], [3, 4]]), "b": np.array([[5.0, 6], [7, 8]])}, {}, ("p", "q"), frame)
    MAT.write(path, square, {})
    np.testing.assert_array_equal(read_any(path, Expected(), MAT).points["b"], [[5, 6], [7, 8]])
    (tmp_path / "more").mkdir()
    for name in ("c", "d"):
        scipy.io.savemat(tmp_path / "more" / f"{name}.mat", {"p": np.ones((5, 2))})
    assert set(read_any(tmp_path / "more", Expected(), MAT).points) == {"c", "d"}
    with pytest.raises(scn_tf.errors.WriteError, match="was not written by scn_tf"):
        MAT.write(tmp_path / "more" / "c.mat", start, {})


def test_markups_of_mouse_heads_as_scanned_lie_on_bone(real_data, tmp_path):
    files = sorted((real_data / "mouse_ct" / "raw").glob("*.mrk.json"))
    assert len(files) == 3
    for path in files:
        (row,) = recognised(path)
        found = read_any(path, Expected(), row)
        image_id = next(iter(found.points))
        image = sitk.ReadImage(str(path.with_name(f"{image_id}.nii.gz")))
        facts = {image_id: read_facts(path.with_name(f"{image_id}.nii.gz"), dims=3)}
        pixels = converted(found, "pixel", facts).points[image_id]
        assert pixels.shape == (45, 3)
        own = [image.TransformPhysicalPointToContinuousIndex(point) for point in found.points[image_id].tolist()]
        np.testing.assert_allclose(pixels, own, atol=1e-3)
        assert (pixels > 0).all()
        assert (pixels < np.array(image.GetSize()) - 1).all()
        array = sitk.GetArrayFromImage(image)
        x, y, z = np.rint(pixels).astype(int).T
        assert np.median(array[z, y, x]) > np.percentile(array, 75)  # bone is bright
        for name in ("slicer", "fcsv"):
            (written,) = write_annotations(tmp_path / name, found, ANNOTATIONS[name], {})
            np.testing.assert_allclose(read_any(written, Expected(), ANNOTATIONS[name]).points[image_id], found.points[image_id], atol=1e-6)


def test_fiducials_of_a_brain_return_through_all_formats(real_data, tmp_path):
    folder = real_data / "brain_afids"
    found = read_any(next(folder.glob("*.fcsv")), Expected(), ANNOTATIONS["fcsv"])
    (name,) = found.points
    path = next(folder.glob("*T1w.nii.gz"))
    image, facts = sitk.ReadImage(str(path)), {name: read_facts(path, dims=3)}
    assert not np.allclose(image.GetDirection(), np.eye(3).ravel())
    pixels = converted(found, "pixel", facts)
    own = [image.TransformPhysicalPointToContinuousIndex(point) for point in found.points[name].tolist()]
    np.testing.assert_allclose(pixels.points[name], own, atol=1e-3)
    # AC and PC lie in the middle plane, PC 20 to 35 mm behind AC.
    ac, pc = found.points[name][:2]
    assert abs(ac[0]) < 2
    assert abs(pc[0]) < 2
    assert 20 < pc[1] - ac[1] < 35
    for row in (ANNOTATIONS["slicer"], ANNOTATIONS["fcsv"], LABELS):
        write_annotations(tmp_path / row.name, pixels, row, facts)
        back = read_any(tmp_path / row.name, Expected(), row)
        columns = [back.names.index(one) for one in found.names]
        np.testing.assert_allclose(back.points[name][columns], found.points[name], atol=0.5 + EXACT if row is LABELS else 1e-6)
    voxels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "labelmap" / f"{name}.labels.nii.gz")))
    for number in (1, 2):
        (index,) = np.argwhere(voxels == number)
        np.testing.assert_array_equal(index[::-1], np.rint(pixels.points[name][number - 1]))
    assert geometry.apply(facts[name].physical_from_pixel, pixels.points[name]).shape == (32, 3)
