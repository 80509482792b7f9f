"""Landmarks that are not in an image, told apart from those that nobody annotated, from the annotation file to the example."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest
import tensorflow as tf

from scn_tf.data import fingerprint, pipeline
from scn_tf.data.annotations import ANNOTATIONS, Annotations, Expected, absent_of, converted, read_any, recognised, write_annotations
from scn_tf.data.annotations.formats import scn
from scn_tf.data.dataset import open_dataset
from scn_tf.data.images.facts import ImageFacts
from scn_tf.doctor import examine, folder
from scn_tf.errors import DatasetError
from scn_tf.scoring import localization
from scn_tf.types import Located
from tests.conftest import small_config
from tests.test_convert import convert
from tests.test_init import init, picture

NAN = np.nan
NAMES = ("tip", "base", "root", "side")
POINTS = {  # tip is absent from a, root from b, everything from c; base of a is unknown
    "a": np.array([[NAN, NAN], [NAN, NAN], [30, 40], [11, 12.5]]),
    "b": np.array([[7, 8], [9, 10.25], [NAN, NAN], [3, 5]]),
    "c": np.full((4, 2), NAN),
    "d": np.array([[1, 2.5], [3, 4], [5, 6], [7, 8]]),
}
ABSENT = {"a": [True, False, False, False], "b": [False, False, True, False], "c": [True] * 4, "d": [False] * 4}
SIZES = {"a": (50, 41), "b": (31, 20), "c": (23, 34), "d": (16, 12)}
FACTS = {name: ImageFacts(None, size, None, None) for name, size in SIZES.items()}
TELLING = ("scn", "csv-wide", "csv-long", "coco", "slicer")
OTHERS = [name for name, row in ANNOTATIONS.items() if row.write is not None and name not in (*TELLING, "dicom-sr")]


def stated(empty=None):
    return Expected(NAMES, 2, empty)


def written(folder, name, *, without=()):
    """The points above in a format, and what is read of them."""
    row = ANNOTATIONS[name]
    start = Annotations(
        {image_id: points for image_id, points in POINTS.items() if image_id not in without},
        {},
        NAMES,
        "pixel",
        {image_id: f"{image_id}.png" for image_id in POINTS},
        absent={image_id: np.array(flags) for image_id, flags in ABSENT.items()},
    )
    facts = {image_id: one._replace(path=folder / f"{image_id}.png") for image_id, one in FACTS.items()}
    path = folder / "out" if row.per_image else folder / f"all{row.endings[0]}"
    write_annotations(path, start, row, facts)
    return path, facts


@pytest.mark.parametrize("name", TELLING)
def test_formats_that_can_tell_absent_from_unknown_keep_both(name, tmp_path):
    path, facts = written(tmp_path, name)
    found = read_any(path, stated(), ANNOTATIONS[name])
    found = found if found.frame == "stated" else converted(found, "pixel", facts)
    order = [found.names.index(one) for one in NAMES] if found.names else range(4)
    for image_id, points in POINTS.items():
        np.testing.assert_allclose(found.points[image_id][order], points, atol=1e-9)
        assert absent_of(found, image_id)[order].tolist() == ABSENT[image_id], image_id


@pytest.mark.parametrize("name", OTHERS)
def test_formats_that_cannot_tell_drop_it(name, tmp_path):
    path, _ = written(tmp_path, name, without=["c"])
    found = read_any(path, stated(), ANNOTATIONS[name])
    assert not any(absent_of(found, image_id).any() for image_id in found.points)


def coco(path, objects):
    """A file of images of 40 x 30 pixels, each with one object of these keypoints and further keys."""
    images = [{"id": number, "file_name": f"{name}.png", "width": 40, "height": 30} for number, name in enumerate(objects)]
    items = [{"id": n, "image_id": n, "category_id": 1, **one} for n, one in enumerate(objects.values())]
    categories = [{"id": 1, "name": "hand", "keypoints": NAMES[:3]}]
    path.write_text(json.dumps({"images": images, "annotations": items, "categories": categories}))
    return path


def test_visibility_0_of_coco_is_absent_where_the_object_has_keypoints(tmp_path):
    path = coco(
        tmp_path / "points.json",
        {
            "mixed": {"keypoints": [5, 6, 2, 0, 0, 0, 7, 8, 0]},  # a place beside visibility 0 says nothing
            "bare": {"keypoints": [0, 0, 0] * 3},  # an object that was only boxed
            "ours": {"keypoints": [5, 6, 1, 0, 0, 0, 0, 0, 0], "absent": ["root"]},
        },
    )
    found = read_any(path, Expected(), ANNOTATIONS["coco"])
    assert {name: absent_of(found, name).tolist() for name in found.points} == {
        "mixed": [False, True, False],
        "bare": [False] * 3,
        "ours": [False, False, True],
    }
    assert np.isnan(found.points["mixed"][1:]).all()
    unknown = read_any(path, Expected(empty="unknown"), ANNOTATIONS["coco"])
    assert {name: absent_of(unknown, name).any() for name in unknown.points} == {"mixed": False, "bare": False, "ours": True}


STATES = {"defined": False, "missing": True, "undefined": True, "preview": False}


@pytest.mark.parametrize(("empty", "undefined"), [(None, True), ("unknown", False)])
def test_points_of_3d_slicer_that_are_missing_or_were_never_placed_are_absent(empty, undefined, tmp_path):
    control = [{"label": name, "position": [1, 2, 3], "positionStatus": name} for name in STATES]
    path = tmp_path / "a.mrk.json"
    path.write_text(json.dumps({"markups": [{"type": "Fiducial", "controlPoints": control}]}))
    head = "# Markups fiducial file version = 5.6\n# CoordinateSystem = LPS\n"
    numbers = {"defined": 2, "missing": 3, "undefined": 0, "preview": 1}
    lines = [f"{name},1,2,3,0,0,0,1,1,1,0,{name},,,{state},0\n" for name, state in numbers.items()]
    columns = "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"
    (tmp_path / "a.fcsv").write_text(head + columns + "".join(lines))
    for name in ("a.mrk.json", "a.fcsv"):
        row = ANNOTATIONS["fcsv" if name.endswith("fcsv") else "slicer"]
        found = read_any(tmp_path / name, Expected(empty=empty), row)
        flags = dict(zip(found.names, absent_of(found, "a").tolist(), strict=True))
        assert flags == {**STATES, "undefined": undefined}, name
        assert np.isfinite(found.points["a"]).all(axis=1).tolist() == [one == "defined" for one in found.names]


def test_points_outside_in_cvat_are_absent(tmp_path):
    points = "".join(f'<points label="{name}" outside="{name == "tip":d}" points="3,4"></points>' for name in NAMES[:2])
    path = tmp_path / "a.xml"
    path.write_text(f'<annotations><image id="0" name="a.png" width="9" height="7"><skeleton>{points}</skeleton></image></annotations>')
    assert absent_of(read_any(path, Expected(), ANNOTATIONS["cvat"]), "a").tolist() == [True, False]


def test_cells_of_our_table_say_absent_in_any_case_and_whole(tmp_path):
    path = tmp_path / "landmarks.csv"
    path.write_text("a, ABSENT ,absent,,,1,2\n")
    assert [row.name for row in recognised(path)] == ["scn"]
    found = read_any(path, Expected(NAMES[:3], 2), ANNOTATIONS["scn"])
    assert absent_of(found, "a").tolist() == [True, False, False]
    for cells in ("absent,3", "3,Absent", "absent,"):
        with pytest.raises(DatasetError, match=r"line 4 \(a\): landmark tip is absent in some of its cells\. Write it in all 2 or in none"):
            scn.read_row(f"a,{cells}", 4, path, Expected(("tip",), 2))


@pytest.mark.parametrize("name", ["csv-wide", "csv-long"])
def test_tables_with_a_header_say_absent_in_every_cell_of_a_landmark(name, tmp_path):
    path = tmp_path / "points.csv"
    start = "image,tip_x,tip_y\na.png,1,2\nb.png" if name == "csv-wide" else "image,landmark,x,y\na.png,tip,1,2\nb.png,tip"
    path.write_text(f"{start},Absent,absent\n")
    assert absent_of(read_any(path, Expected(), ANNOTATIONS[name]), "b").tolist() == [True]
    path.write_text(f"{start},absent,\n")
    with pytest.raises(DatasetError, match=r"line 3: landmark tip is absent in some of its cells\. Write it in all 2 or in none"):
        read_any(path, Expected(), ANNOTATIONS[name])


def flags_of(opened):
    """Image ID -> which landmarks are absent."""
    return {image_id: flags.tolist() for image_id, flags in opened.absent.items()}


def data_set(root, rows, **keys):
    """A data set of four landmarks and pictures of unequal sides; the first two images are trained on."""
    for seed, line in enumerate(rows):
        picture(root / "images" / f"{line.split(',')[0]}.png", size=(31 + seed, 42), seed=seed)
    (root / "landmarks.csv").write_text("\n".join(rows) + "\n")
    head = "".join(f"{key}: {value}\n" for key, value in {"name": "small", "dims": 2, "landmarks": f"[{', '.join(NAMES)}]", **keys}.items())
    (root / "dataset.yaml").write_text(head)
    (root / "splits").mkdir()
    ids = [line.split(",")[0] for line in rows]
    (root / "splits" / "train.txt").write_text("\n".join(ids[:2]))
    (root / "splits" / "val.txt").write_text("\n".join(ids[2:]))
    return root


ROWS = ["a,absent,absent,,,5,6,7,8", "b,1,2,3,,5,6,7,8", "c,9,8,7,6,5,4,3,2"]


@pytest.mark.parametrize(("empty", "second"), [(None, False), ("unknown", False), ("absent", True)])
def test_the_rule_of_a_data_set_says_what_an_empty_cell_means(empty, second, tmp_path):
    root = data_set(tmp_path / "set", ROWS, **({"empty": empty} if empty else {}))
    found = open_dataset(root)
    assert flags_of(found) == {
        "a": [True, second, False, False],
        "b": [False] * 4,  # half a point is a mistake
        "c": [False] * 4,
    }
    checked = folder.read_folder(root)
    assert flags_of(checked) == flags_of(found)


def test_the_rule_takes_one_of_two_words(tmp_path):
    root = data_set(tmp_path / "set", ROWS, empty="gone")
    with pytest.raises(DatasetError, match=r"dataset\.yaml: empty: .*'absent' or 'unknown', received 'gone'"):
        open_dataset(root)


def test_the_rule_applies_to_landmarks_that_a_file_of_another_program_leaves_out(tmp_path):
    root = data_set(tmp_path / "set", ROWS, annotations="points.csv", annotation_format="csv-long", empty="absent")
    lines = [f"{image},{name},{number + 1},2" for image in "abc" for number, name in enumerate(NAMES) if (image, name) != ("b", "root")]
    (root / "points.csv").write_text("image,landmark,x,y\n" + "\n".join(lines) + "\n")
    assert flags_of(open_dataset(root)) == {
        "a": [False] * 4,
        "b": [False, False, True, False],
        "c": [False] * 4,
    }


def test_examples_tell_visible_absent_and_unknown_landmarks_apart(tmp_path):
    root = data_set(tmp_path / "set", ["a,absent,absent,,,5,6,-8,8", ROWS[2]])
    dataset = open_dataset(root)
    values = pipeline.prepare(dataset, "a", small_config(root).resolved(2).model)
    assert {name: values[name].tolist() for name in ("visible", "absent", "annotated")} == {
        "visible": [0, 0, 1, 0],
        "absent": [1, 0, 0, 1],  # stated, and outside its image
        "annotated": [0, 0, 1, 1],
    }
    assert np.isfinite(values["landmarks"]).all()


def test_results_have_both_masks_and_errors_of_points_alone(tmp_path):
    root = data_set(tmp_path / "set", ["a,absent,absent,,,5,6,7,8", ROWS[2]])
    data = pipeline.examples(open_dataset(root), ["a", "c"], small_config(root).resolved(2))
    result = localization.localize(lambda images: Located(tf.zeros((len(images), 4, 2)), tf.ones((len(images), 4))), data, batch_size=2)
    np.testing.assert_array_equal(result["absent"], [[1, 0, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(result["annotated"], [[0, 0, 1, 1], [1, 1, 1, 1]])
    np.testing.assert_array_equal(np.isfinite(localization.point_errors(result)), result["annotated"] > 0)


def test_a_run_notices_that_a_landmark_became_absent_and_keeps_the_fingerprint_of_sets_without_any(tmp_path):
    before, after = (open_dataset(data_set(tmp_path / name, [row, *ROWS[1:]])) for name, row in (("x", "a,,,,,5,6,7,8"), ("y", ROWS[0])))
    first, second = (fingerprint.fingerprint(one, ["a", "b"], ["c"]) for one in (before, after))
    assert fingerprint.changes(first, second) == ["landmarks of 1 of 2 training images differ (a)"]
    plain = dataclasses.replace(after, absent=before.absent)
    assert fingerprint.fingerprint(plain, ["a", "b"], ["c"]) == first
    content = np.array([NAN, NAN, NAN, NAN, 5, 6, 7, 8]).tobytes()  # of which versions without absent landmarks took the digest
    assert first["training"]["a"][0] == hashlib.sha256(content).hexdigest()[:16]


@pytest.mark.parametrize(
    ("options", "first", "said"), [((), 3, "4 of 12 absent from"), (("--empty", "unknown"), 0, "4 of 12 not annotated")]
)
def test_init_writes_what_a_coco_file_says_and_tells_how_many(options, first, said, tmp_path, capfd):
    raw = tmp_path / "raw"
    keypoints = {"a": [5, 6, 2, 0, 0, 0, 0, 0, 0], "b": [7, 8, 1, 9, 9, 2, 0, 0, 0], "c": [1, 2, 2, 3, 4, 2, 0, 0, 0], "d": [4, 3, 2] * 3}
    for seed, name in enumerate(keypoints):
        picture(raw / f"{name}.png", size=(40, 30), seed=seed)
    coco(raw / "points.json", {name: {"keypoints": values} for name, values in keypoints.items()})
    out, _ = init(capfd, raw, "--out", tmp_path / "set", *options)
    assert said in out
    found = flags_of(open_dataset(tmp_path / "set"))
    assert sum(flags[2] for flags in found.values()) == first
    init(capfd, tmp_path / "set", "--out", tmp_path / "again")
    assert flags_of(open_dataset(tmp_path / "again")) == found


def test_init_and_convert_keep_the_rule_of_a_data_set_as_cells(tmp_path, capfd):
    root = data_set(tmp_path / "set", ROWS, empty="absent")
    init(capfd, root, "--out", tmp_path / "again")
    convert(capfd, root, tmp_path / "points.json", "--to", "coco")
    convert(capfd, tmp_path / "points.json", tmp_path / "back", "--images", root / "images")
    (tmp_path / "back" / "images").mkdir()
    for name in ("again", "back"):
        found = open_dataset(tmp_path / name)
        assert found.description.empty is None
        assert flags_of(found) == {
            "a": [True, True, False, False],
            **dict.fromkeys("bc", [False] * 4),
        }
        assert np.isnan(found.landmarks["b"][1]).all()


def test_an_option_makes_empty_cells_of_a_table_absent_placeholders_too(tmp_path, capfd):
    raw = tmp_path / "raw"
    rows = ["image,tip_x,tip_y,base_x,base_y", "a.png,1,2,,", "b.png,-1,-1,3,4", "c.png,5,6,-1,-1"]
    for seed, row in enumerate(rows[1:]):
        picture(raw / row.split(",")[0], size=(40, 30), seed=seed)
    (raw / "points.csv").write_text("\n".join(rows))
    out, _ = init(capfd, raw, "--out", tmp_path / "set", "--empty", "absent")
    assert "3 of 6 absent from" in out
    assert flags_of(open_dataset(tmp_path / "set")) == {
        "a": [False, True],
        "b": [True, False],
        "c": [False, True],
    }
    convert(capfd, raw / "points.csv", tmp_path / "table", "--empty", "absent", "--frame", "pixel")
    assert "a,1.0,2.0,absent,absent\n" in (tmp_path / "table" / "landmarks.csv").read_text()


def kinds(root):
    return {(finding.kind, finding.image, finding.landmark) for finding in examine.examine(root)[0]}


def test_a_check_names_landmarks_that_are_always_absent_and_images_that_were_forgotten(tmp_path):
    rows = [f"{name},absent,absent,{3 + n},4,5,{6 + n},7,8" for n, name in enumerate("abc")]
    root = data_set(tmp_path / "set", [*rows, "d" + ",absent" * 8, "e" + "," * 8])
    found = kinds(root)
    assert ("always_absent", None, "tip") not in found  # the last image was not looked at
    assert {image for kind, image, _ in found if kind == "all_absent"} == {"e"}
    ruled = data_set(tmp_path / "ruled", [*rows, "d" + ",absent" * 8, "e" + "," * 8], empty="absent")
    found = kinds(ruled)
    assert {landmark for kind, _, landmark in found if kind == "always_absent"} == {"tip"}
    assert {image for kind, image, _ in found if kind == "all_absent"} == {"d", "e"}
