"""Annotation and image formats from outside the package."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import yaml
from PIL import Image

import scn_tf
from scn_tf import cli
from scn_tf.data import images
from scn_tf.data.annotations import ANNOTATIONS, Annotations, Expected, format_of, read_annotations
from scn_tf.data.annotations.formats import scn
from scn_tf.data.images import IMAGE_FORMATS, Stored
from tests.conftest import REPOSITORY

NAMES = ("left", "right")
EXPECTED = Expected(NAMES, 2)


def read_toy(path, expected):
    """``{image ID: {landmark: [x, y]}}``; a landmark that is not there is absent. Names are in the order of the file."""
    content = json.loads(path.read_text())
    names = tuple(dict.fromkeys(name for points in content.values() for name in points))
    absent = [np.nan] * expected.dims
    points = {image_id: np.array([found.get(name, absent) for name in names]) for image_id, found in content.items()}
    return Annotations(points, dict.fromkeys(points, 1), names=names, frame="pixel")


def write_toy(path, annotations, facts):
    content = {image_id: dict(zip(NAMES, values.tolist(), strict=True)) for image_id, values in annotations.points.items()}
    path.write_text(json.dumps(content))


TOY = scn_tf.AnnotationFormat("toy", (".toy.json",), "for tests", read_toy, write_toy)


@pytest.fixture
def toy():
    scn_tf.register_annotation_format(TOY)
    yield TOY
    ANNOTATIONS.unregister("toy")


def read_grey(path):
    """First line height and width, then the bytes."""
    head, _, pixels = path.read_bytes().partition(b"\n")
    height, width = map(int, head.split()[1:])
    return Stored(np.frombuffer(pixels, "uint8").reshape(height, width, 1), (0.5, 0.25), None)


GREY = scn_tf.ImageFormat("Grey", (".grey",), read_grey, magic=(b"GREY ",), without_ending=True)


@pytest.fixture
def grey():
    scn_tf.register_image_format(GREY)
    yield GREY
    IMAGE_FORMATS.unregister("Grey")


def grey_bytes(array):
    return b"GREY %d %d\n" % array.shape + array.astype("uint8").tobytes()


@pytest.fixture
def dataset(tmp_path, rng):
    """A set of six images of the toy formats, a bright dot at each landmark."""
    root = tmp_path / "set"
    (root / "images").mkdir(parents=True)
    (root / "splits").mkdir()
    points = {}
    for number in range(6):
        image = rng.integers(0, 60, (32, 32))
        left, right = rng.integers(4, 14, 2), rng.integers(18, 28, 2)
        for x, y in (left, right):
            image[y - 1 : y + 2, x - 1 : x + 2] = 250
        (root / "images" / f"i{number}.grey").write_bytes(grey_bytes(image))
        points[f"i{number}"] = {"right": right.tolist(), "left": left.tolist()}  # not the order of dataset.yaml
    (root / "points.toy.json").write_text(json.dumps(points))
    (root / "splits" / "train.txt").write_text("i0\ni1\ni2\n")
    (root / "splits" / "val.txt").write_text("i3\n")
    (root / "splits" / "test.txt").write_text("i4\ni5\n")
    describe(root)
    return root


def describe(root, **more):
    values = {"name": "toys", "dims": 2, "landmarks": list(NAMES), "annotations": "points.toy.json", **more}
    (root / "dataset.yaml").write_text(yaml.safe_dump(values))


def test_a_data_set_of_registered_formats_is_trained_on_and_evaluated(dataset, toy, grey, tmp_path, capsys):
    opened = scn_tf.open_dataset(dataset)
    content = json.loads((dataset / "points.toy.json").read_text())
    for image_id, points in opened.landmarks.items():
        np.testing.assert_array_equal(points, [content[image_id]["left"], content[image_id]["right"]])
    assert opened.read("i0").spacing.tolist() == [0.5, 0.25]
    run = tmp_path / "run"
    network = "--model.image_size 32 32 --model.filters 4 --model.levels 2 --model.spatial_pooling 4 --model.spatial_kernel 3"
    training = "--train.epochs 1 --train.batch_size 3 --train.precision float32"
    arguments = ["train", "--data.root", str(dataset), "--run-dir", str(run), *network.split(), *training.split()]
    assert not cli.main(arguments)
    assert json.loads((run / "evaluation" / "val" / "summary.json").read_text())["images"] == 1
    assert not cli.main(["evaluate", str(run), "--split", "test"])
    assert json.loads((run / "evaluation" / "test" / "summary.json").read_text())["images"] == 2


def test_the_format_is_that_of_the_key_or_of_the_longest_ending(dataset, toy, grey):
    assert format_of(dataset / "points.toy.json") is toy
    assert format_of(dataset / "Points.TOY.json") is toy
    assert format_of(dataset / "landmarks.csv") is format_of(dataset / "landmarks.txt") is scn.SCN
    os.rename(dataset / "points.toy.json", dataset / "points.txt")
    describe(dataset, annotations="points.txt")
    with pytest.raises(scn_tf.DatasetError, match=r"points\.txt, line 1.*expected 4 values"):
        scn_tf.open_dataset(dataset)
    describe(dataset, annotations="points.txt", annotation_format="toy")
    assert len(scn_tf.open_dataset(dataset).landmarks) == 6
    describe(dataset, annotations="points.txt", annotation_format="tpy")
    with pytest.raises(scn_tf.DatasetError, match=r"dataset\.yaml: annotation_format: expected one of scn, .*toy, received 'tpy'"):
        scn_tf.open_dataset(dataset)


def test_what_a_file_states_must_be_what_the_data_set_says(tmp_path, toy):
    path = tmp_path / "a.toy.json"

    def read(content, coordinates="pixel", expected=EXPECTED):
        path.write_text(json.dumps(content))
        return read_annotations(path, expected, coordinates=coordinates)

    both = {"a": {"right": [1, 2], "left": [3, 4]}}
    assert read(both).points["a"].tolist() == [[3, 4], [1, 2]]
    assert read(both, expected=Expected(("0", "1"), 2)).points["a"].tolist() == [[1, 2], [3, 4]]
    half = read({**both, "b": {"left": [5, None], "right": [6, 7]}}).points["b"]
    np.testing.assert_array_equal(half, [[np.nan, np.nan], [6, 7]])  # half a point is no point
    with pytest.raises(scn_tf.DatasetError, match=r"a\.toy\.json: its coordinates are pixel, but .* physical"):
        read(both, coordinates="physical")
    with pytest.raises(scn_tf.DatasetError, match=r"a\.toy\.json: expected the landmarks .* lacks right and has rihgt"):
        read({"a": {"left": [1, 2], "rihgt": [3, 4]}})
    with pytest.raises(scn_tf.DatasetError, match=r"a\.toy\.json: .* lacks right"):
        read({"a": {"left": [1, 2]}})
    with pytest.raises(scn_tf.DatasetError, match=r"a\.toy\.json, line 1 \(a\): expected 2 landmarks of 2 coordinates, .*\(2, 3\)"):
        read({"a": {"left": [1, 2, 3], "right": [1, 2, 3]}})
    with pytest.raises(scn_tf.DatasetError, match="empty"):
        read({})
    path.write_text("{")
    with pytest.raises(scn_tf.DatasetError, match=r"a\.toy\.json: cannot be read as annotations of format toy \(JSONDecodeError"):
        read_annotations(path, EXPECTED, coordinates="pixel")
    with pytest.raises(scn_tf.DatasetError, match="no such file"):
        read_annotations(tmp_path / "gone.toy.json", EXPECTED, coordinates="pixel")


@pytest.mark.parametrize("row", [scn.SCN, TOY], ids=lambda row: row.name)
def test_what_a_format_writes_it_reads(row, tmp_path):
    points = {"a": np.array([[0.1 + 0.2, 1e-7], [-3.0, 4.25]]), "b, c": np.array([[np.nan] * 2, [7.0, 8.0]])}
    path = tmp_path / f"points{row.endings[0]}"
    row.write(path, Annotations(points, {}), {})
    found = row.read(path, EXPECTED)
    assert [*found.points] == [*points]
    for image_id, values in points.items():
        np.testing.assert_array_equal(found.points[image_id], values)


def test_a_registered_image_format_is_found_in_folders_and_by_its_first_bytes(tmp_path, grey, rng):
    array = rng.integers(0, 255, (6, 9))
    for name in ("a.grey", "1.2.3"):
        (tmp_path / name).write_bytes(grey_bytes(array))
        assert images.is_image(tmp_path / name)
        np.testing.assert_array_equal(images.read_image(tmp_path / name, dims=2).array[..., 0], array)
    found, left_out = images.collect([tmp_path], dims=2)
    assert ([source.id for source in found], left_out) == (["1.2.3", "a"], [])
    (tmp_path / "b.png").write_bytes(grey_bytes(array))
    with pytest.raises(scn_tf.ImageError, match=r"b\.png.*no PNG file; it is Grey"):
        images.read_image(tmp_path / "b.png", dims=2)
    Image.new("L", (4, 4)).save(tmp_path / "c.png")
    os.rename(tmp_path / "c.png", tmp_path / "c.grey")
    with pytest.raises(scn_tf.ImageError, match=r"c\.grey.*no Grey file; it is PNG"):
        images.read_image(tmp_path / "c.grey", dims=2)
    (tmp_path / "d.grey").write_bytes(b"GREY 5 5\nabc")
    with pytest.raises(scn_tf.ImageError, match=r"d\.grey: is damaged"):
        images.read_image(tmp_path / "d.grey", dims=2)


def test_the_longest_ending_decides_and_headers_take_their_pixels_along(tmp_path):
    row = scn_tf.ImageFormat("Header", (".seg.mha",), read_grey, headers=(".seg.mha",))
    scn_tf.register_image_format(row)
    try:
        (tmp_path / "a.seg.mha").write_bytes(grey_bytes(np.zeros((4, 5))))
        (tmp_path / "a.png").write_bytes(b"the pixels of a")
        assert images.stem("x/a.seg.mha") == "a"
        assert images.read_image(tmp_path / "a.seg.mha", dims=2).array.shape == (4, 5, 1)
        (tmp_path / "a.png").rename(tmp_path / "a.img")  # else of a format that is listed as left out
        assert images.collect([tmp_path], dims=2) == ([images.Source("a", tmp_path / "a.seg.mha")], [])
    finally:
        IMAGE_FORMATS.unregister("Header")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"isolated": True}, "isolated is for rows of entry points"),
        ({"endings": (".grey", ".png")}, r"files ending in \.png are PNG"),
        ({"name": "PNG"}, "PNG: is already registered"),
    ],
)
def test_an_image_format_that_cannot_work_is_refused(changes, match):
    values = {"name": "Grey", "endings": (".grey",), "read": read_grey} | changes
    with pytest.raises(scn_tf.ConfigError, match=match):
        scn_tf.register_image_format(scn_tf.ImageFormat(**values))
    assert "Grey" not in IMAGE_FORMATS


@pytest.mark.parametrize("ending", ["grey", ".GREY"])
def test_endings_that_no_file_has_are_refused(ending):
    with pytest.raises(ValueError, match="endings: expected lower case with a dot"):
        scn_tf.ImageFormat("Grey", (ending,), read_grey)
    with pytest.raises(ValueError, match="endings: expected lower case with a dot"):
        scn_tf.AnnotationFormat("toy", (ending,), "for tests", read_toy)


PLUGIN = """
import os
import numpy as np
from scn_tf import AnnotationFormat, ImageFormat
from scn_tf.data.annotations import Annotations
from scn_tf.data.images import Stored

def read(path):
    return Stored(np.array([[os.getpid() % 1000, 2], [3, 4]], "uint16")[..., None], None, None)

def points(path, expected):
    return Annotations({"a": np.full((len(expected.names), expected.dims), 7.0)}, {"a": 1})

PROCESS = ImageFormat("Process", (".pid",), read, isolated=True)
SEVEN = AnnotationFormat("seven", (".seven",), "for tests", points)
"""
PROGRAM = """
import os, pathlib, sys
from scn_tf.data.annotations import Expected, read_annotations
from scn_tf.data.images import IMAGE_FORMATS, read_image
folder = pathlib.Path(sys.argv[1])
array = read_image(folder / "a.pid", dims=2).array[..., 0]
assert array[1].tolist() == [3, 4] and array[0, 0] != os.getpid() % 1000, array
found = read_annotations(folder / "a.seven", Expected(("p",), 2), coordinates="pixel")
assert found.points["a"].tolist() == [[7, 7]]
assert "tensorflow" not in sys.modules
print("both")
"""


def test_formats_of_an_installed_package_are_found_and_isolated_ones_in_their_own_process(tmp_path):
    package = tmp_path / "site"
    (package / "toy_plugin-1.0.dist-info").mkdir(parents=True)
    (package / "toy_plugin.py").write_text(PLUGIN)
    (package / "toy_plugin-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-plugin\nVersion: 1.0\n")
    groups = "[scn_tf.image_formats]\nProcess = toy_plugin:PROCESS\n[scn_tf.annotation_formats]\nseven = toy_plugin:SEVEN\n"
    (package / "toy_plugin-1.0.dist-info" / "entry_points.txt").write_text(groups)
    for name in ("a.pid", "a.seven"):
        (tmp_path / name).write_text("anything")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(package), str(REPOSITORY)])}
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], env=environment, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("both\n", 0), done.stderr


def test_the_rows_are_found_without_the_libraries_that_read_files():
    program = "import sys, scn_tf; from scn_tf.data import annotations, images; list(images.IMAGE_FORMATS.values())\n"
    program += "list(annotations.ANNOTATIONS.values()); scn_tf.ImageFormat, scn_tf.register_annotation_format\n"
    program += "print({'tensorflow', 'pydicom', 'nibabel', 'tifffile'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def table(title):
    """First two cells of the rows of the table below a heading of docs/data.md."""
    text = (REPOSITORY / "docs" / "data.md").read_text().split(f"## {title}\n")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")][2:]
    return [(cells[0].strip("`"), tuple(re.findall(r"`(\.[\w.]+)`", cells[1]))) for cells in rows]


def test_the_documented_formats_are_those_of_the_registries():
    own = [name for name in IMAGE_FORMATS if IMAGE_FORMATS[name].read.__module__.startswith("scn_tf.")]
    listed = [row for row in table("Image formats") if row[0] != "DICOM series"]  # a folder
    assert listed == [(name, IMAGE_FORMATS[name].endings) for name in own]
    own = [name for name in ANNOTATIONS if ANNOTATIONS[name].read.__module__.startswith("scn_tf.")]
    assert table("Annotation formats") == [(name, ANNOTATIONS[name].endings) for name in own]
    text = (REPOSITORY / "docs" / "data.md").read_text()
    assert all(ANNOTATIONS[name].description in text for name in own)
