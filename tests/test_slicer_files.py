"""Markups and fiducial lists of 3D Slicer, in the frames of their images."""

import json

import numpy as np
import pytest
import SimpleITK as sitk

import scn_tf
from scn_tf import geometry
from scn_tf.data.annotations import ANNOTATIONS, Annotations, Expected, converted, read_any, recognised, write_annotations
from scn_tf.data.images.facts import read_facts
from tests.conftest import EXACT
from tests.volume_samples import FACTS, NAMES, NAN, POINTS

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
    for row, within in ((ANNOTATIONS["slicer"], 1e-6), (ANNOTATIONS["fcsv"], 1e-6), (ANNOTATIONS["labelmap"], 0.5 + EXACT)):
        write_annotations(tmp_path / row.name, pixels, row, facts)
        back = read_any(tmp_path / row.name, Expected(), row)
        columns = [back.names.index(one) for one in found.names]
        np.testing.assert_allclose(back.points[name][columns], found.points[name], atol=within)
    voxels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "labelmap" / f"{name}.labels.nii.gz")))
    for number in (1, 2):
        (index,) = np.argwhere(voxels == number)
        np.testing.assert_array_equal(index[::-1], np.rint(pixels.points[name][number - 1]))
    assert geometry.apply(facts[name].physical_from_pixel, pixels.points[name]).shape == (32, 3)
