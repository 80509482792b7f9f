"""What the program says of mistakes in tables, lists and frames: the real cause, and the fix."""

import dataclasses
import io
import re
import shutil
import threading
import warnings

import numpy as np
import pytest
from tqdm import tqdm

from scn_tf import messages
from scn_tf.cli import reporting
from scn_tf.data import pipeline
from scn_tf.data.dataset import open_dataset
from scn_tf.errors import DatasetError, DataWarning
from tests.conftest import small_config


@pytest.fixture
def hands(hands_2d, tmp_path):
    return shutil.copytree(hands_2d, tmp_path / "set")


def test_values_in_messages_are_short_and_in_one_line():
    nested = [0] * 10
    for _ in range(12):
        nested = [nested] * 9
    for value in (nested, "x" * 10**6, "a\nb\x1b[2J", {"k" * 1000: nested}, 10**5000, b"\xff" * 10_000):
        text = messages.short(value)
        assert len(text) <= messages.LONGEST
        assert text.isprintable()
    assert messages.short("a") == "'a'"
    assert messages.visible("a\tb\x00\u2028\udcff") == r"a\tb\x00\u2028\xff"


def test_warnings_of_several_threads_beside_a_bar_are_a_line_each(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    with tqdm(total=40, file=stream, mininterval=0) as bar:

        def warn(number):
            reporting.show_warning({}, DataWarning(f"number {number}\nsecond part"), DataWarning, "file", 1)
            bar.update()

        threads = [threading.Thread(target=warn, args=(number,)) for number in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = [line.rsplit("\r", 1)[-1] for line in stream.getvalue().split("\n") if "warning:" in line]
    assert sorted(lines) == sorted(f"warning: number {number} second part" for number in range(40))


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (lambda identity: f"{identity}.png", r"an ID has no ending\. Write hand_000; 7 of the 7 IDs of the split need it\."),
        (lambda identity: f"{identity}.PNG", "an ID has no ending"),
        (lambda identity: f"images/{identity}.png", "an ID is the name of the image file without folder and ending"),
        (lambda identity: f"images\\{identity}", "without folder and ending"),
        (lambda identity: identity.upper(), "in the same capitals"),
        (lambda identity: f'"{identity}"', r"Write hand_000; 7 of the 7"),
    ],
)
@pytest.mark.parametrize("missing", ["refuse", "skip"])
def test_ids_that_mean_images_which_are_there_are_named_with_the_fix(write, reason, missing, hands):
    split = hands / "splits" / "train.txt"
    split.write_text("\n".join(write(identity) for identity in split.read_text().split()))
    with pytest.raises(DatasetError, match=rf"train\.txt, line 1: .* is no ID, but hand_000\.png is there: .*{reason}"):
        open_dataset(hands).split("train", missing=missing)


def test_endings_in_list_and_table_are_both_named(hands):
    for path in (hands / "splits" / "train.txt", hands / "landmarks.csv"):
        path.write_text(re.sub(r"hand_\d+", r"\g<0>.png", path.read_text()))
    with pytest.raises(DatasetError, match=r"an ID has no ending\. Write hand_000; 7 of the 7 .* Do the same in .*landmarks\.csv\."):
        open_dataset(hands).split("train")


def test_an_image_that_is_really_missing_stays_missing(hands):
    (hands / "images" / "hand_001.png").unlink()
    with pytest.raises(DatasetError, match=r"hand_001\.\*: missing image"):
        open_dataset(hands).split("train")


def lines_of(root):
    return (root / "landmarks.csv").read_text().splitlines()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda line: line.replace(",", ";"), r"separated by commas\. These are separated by semicolons\.$"),
        (lambda line: line.replace(",", ";").replace(".", ","), r"by semicolons\. Numbers have a decimal comma; write a decimal point\."),
        (lambda line: line.replace(",", "\t"), "These are separated by tabs"),
        (lambda line: line.replace(",", "\t").replace(".", ","), r"by tabs\. Numbers have a decimal comma"),
        (lambda line: line.replace(",", "|"), "These are separated by bars"),
        (lambda line: line.replace(",", " "), "These are separated by blanks"),
        (
            lambda line: re.sub(r",([\d.]+)", lambda m: ',"' + f"{float(m[1]):.2f}".replace(".", ",") + '"', line),
            "Numbers have a decimal comma",
        ),
        (lambda line: re.sub(r",([\d.]+)", lambda m: "," + f"{float(m[1]):.2f}".replace(".", ","), line), "seem to have a decimal comma"),
    ],
)
def test_other_separators_and_decimal_commas_are_no_headers(change, reason, hands):
    (hands / "landmarks.csv").write_text("\n".join(map(change, lines_of(hands))))
    with pytest.raises(DatasetError, match=rf"landmarks\.csv, line 1 .*{reason}") as caught:
        open_dataset(hands)
    assert "header" not in str(caught.value)
    (hands / "landmarks.csv").write_text(change("image,x,y") + "\n" + "\n".join(map(change, lines_of(hands))))
    with pytest.raises(DatasetError, match=r"line [12]"):
        open_dataset(hands)


def test_a_header_of_a_table_is_read(hands):
    without = open_dataset(hands).landmarks
    (hands / "landmarks.csv").write_text("\n".join(["image" + ",x,y" * 21, *lines_of(hands)]))
    found = open_dataset(hands).landmarks
    assert found.keys() == without.keys()
    for image_id, points in without.items():
        np.testing.assert_array_equal(found[image_id], points)


def test_a_header_is_still_named_as_one(hands):
    (hands / "landmarks.csv").write_text("\n".join(["image" + ",place,height" * 21, *lines_of(hands)]))
    with pytest.raises(DatasetError, match=r"Is it a header\? Remove it"):
        open_dataset(hands)


def read(dataset, ids, settings):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pipeline.examples(dataset, ids, settings, measured=False)
    return [str(one.message) for one in caught if issubclass(one.category, DataWarning)]


def test_landmarks_outside_their_images_are_counted_in_one_message(hands):
    lines = [line.split(",") for line in lines_of(hands)]
    for number in range(5):
        lines[number][1] = "-3.5"
    lines[1][3:5] = ["20", "259"]
    (hands / "landmarks.csv").write_text("\n".join(map(",".join, lines)))
    dataset = open_dataset(hands)
    (text,) = read(dataset, dataset.split("train"), small_config(hands).resolved(2))
    assert "6 landmarks of 5 images outside their image: trained as absent, but errors count them." in text
    assert "line 2 (hand_001): thumb_mcp, thumb_ip; line 3 (hand_002): thumb_mcp; and 2 more images." in text
    assert "write absent in their fields" in text


def test_landmarks_outside_the_input_are_counted_with_the_sizes_that_hold_them(hands):
    dataset = open_dataset(hands)
    ids = dataset.split("train")
    settings = small_config(hands, model__image_size=[48, 32], model__spacing_mm=2.5).resolved(2)
    (text,) = read(dataset, ids, settings)
    found = re.search(
        r"(\d+) landmarks of 7 images outside the network input: trained as absent.* An input of \[48, 32\] pixels of 2.5 mm shows "
        r"120 x 80 mm\. `model\.image_size` (\d+),(\d+) or `model\.spacing_mm` ([\d.]+) holds them\.",
        text,
    )
    assert int(found[1]) > 7
    height, width, spacing = int(found[2]), int(found[3]), float(found[4])
    for changes in ({"model__image_size": [height, width], "model__spacing_mm": 2.5}, {"model__spacing_mm": spacing}):
        assert read(dataset, ids, small_config(hands, **{"model__image_size": [48, 32], **changes}).resolved(2)) == []


def moved(dataset, change):
    return dataclasses.replace(dataset, landmarks={identity: change(points) for identity, points in dataset.landmarks.items()})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda points: points * [-1, -1, 1], "they were RAS, not LPS"),
        (lambda points: (points - [-20.0, 35.0, 10.0]) / 3.6 + 100, None),
        (lambda points: points / 1000, None),
        (lambda points: points + 1000, None),
    ],
)
def test_physical_points_outside_are_explained_by_frames_not_by_copies(change, reason, hands_3d):
    dataset = moved(open_dataset(hands_3d), change)
    with pytest.raises(DatasetError, match=reason or "physical|if they were") as caught:
        pipeline.examples(dataset, dataset.split("train"), small_config(hands_3d, 3).resolved(3), measured=False)
    assert "copy of another size" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda points: points * [1, -1], r"All would lie inside if y were counted upward, with negative values in the image"),
        (lambda points: points * 2.5, "copy of another size"),
    ],
)
def test_points_in_pixels_that_lie_outside_are_explained(change, reason, hands_2d):
    dataset = moved(open_dataset(hands_2d), change)
    with pytest.raises(DatasetError, match=reason):
        pipeline.examples(dataset, dataset.split("train"), small_config(hands_2d).resolved(2), measured=False)


def test_pixels_in_a_set_of_mm_and_mm_in_a_set_of_pixels_are_named(hands_3d):
    dataset = open_dataset(hands_3d)
    pixels = {i: (p - [-20.0, 35.0, 10.0]) / 3.6 for i, p in dataset.landmarks.items()}
    wrong = dataclasses.replace(dataset, landmarks=pixels)
    with pytest.raises(DatasetError, match=r"All would lie inside if they were pixels, not mm\. Write coordinates: pixel"):
        pipeline.examples(wrong, wrong.split("train"), small_config(hands_3d, 3).resolved(3), measured=False)
    wrong = dataclasses.replace(dataset, description=dataset.description.model_copy(update={"coordinates": "pixel"}))
    with pytest.raises(DatasetError, match=r"if they were mm of the image's header \(LPS\), not pixels\. Write coordinates: physical"):
        pipeline.examples(wrong, wrong.split("train"), small_config(hands_3d, 3).resolved(3), measured=False)
    assert np.isfinite(dataset.landmarks["hand_000"]).all()
