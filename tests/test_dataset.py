import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk
import tensorflow as tf

from scn_tf.data import batching, pipeline
from scn_tf.data.dataset import open_dataset
from scn_tf.errors import DatasetError, DataWarning, ImageError, NoImageLeftError
from tests.conftest import REPOSITORY, small_config


@pytest.fixture
def hands(hands_2d, tmp_path):
    root = tmp_path / "set"
    shutil.copytree(hands_2d, root)
    return root


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def read_all(root):
    dataset = open_dataset(root)
    settings = small_config(root).resolved(2)
    return list(pipeline.examples(dataset, dataset.split("train"), settings))


def test_a_good_set_is_read(hands):
    examples = read_all(hands)
    assert len(examples) == 7
    assert examples[0]["image"].shape == (48, 32, 1)
    assert examples[0]["landmarks"].shape == (21, 2)
    assert open_dataset(hands).description.names[0] == "thumb_mcp"


def break_row(root):
    edit(root / "landmarks.csv", "hand_002,", "hand_002,1.0,")


def double_row(root):
    lines = (root / "landmarks.csv").read_text().splitlines()
    (root / "landmarks.csv").write_text("\n".join([*lines, lines[1]]))


def spoil_number(root):
    lines = (root / "landmarks.csv").read_text().splitlines()
    cells = lines[3].split(",")
    cells[5] = "1O.5"
    (root / "landmarks.csv").write_text("\n".join([*lines[:3], ",".join(cells), *lines[4:]]))


def put_above(root, line):
    (root / "landmarks.csv").write_text(f"{line}\n{(root / 'landmarks.csv').read_text()}")


def throw_far(root):
    lines = (root / "landmarks.csv").read_text().splitlines()
    cells = lines[3].split(",")
    cells[5] = "99999"
    (root / "landmarks.csv").write_text("\n".join([*lines[:3], ",".join(cells), *lines[4:]]))


def exchange_axes(root):
    """Wide images and points in (y, x) order."""
    sitk.WriteImage(sitk.GetImageFromArray(np.eye(100, 500, dtype="uint8")), str(root / "images" / "hand_000.png"))
    points = np.stack([np.linspace(5, 90, 21), np.linspace(150, 450, 21)], axis=-1)  # all but none outside as (x, y)
    lines = (root / "landmarks.csv").read_text().splitlines()
    (root / "landmarks.csv").write_text("\n".join([",".join(["hand_000", *map(str, points.ravel())]), *lines[1:]]))


def name_with_ending(root):
    edit(root / "landmarks.csv", "hand_002,", "hand_002.png,")


def drop_row(root):
    lines = (root / "landmarks.csv").read_text().splitlines()
    (root / "landmarks.csv").write_text("\n".join(lines[:2] + lines[3:]))


def spoil_image(root):
    path = root / "images" / "hand_004.png"
    path.write_bytes(path.read_bytes()[:99])


def nan_image(root):
    (root / "images" / "hand_004.png").unlink()
    sitk.WriteImage(sitk.GetImageFromArray(np.full((9, 8), np.nan, "float32")), str(root / "images" / "hand_004.mha"))


def volume(root):
    (root / "images" / "hand_004.png").unlink()
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((9, 8, 7), "uint8")), str(root / "images" / "hand_004.mha"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (break_row, r"landmarks\.csv, line 3 \(hand_002\): expected 42 values \(21 landmarks x 2, all in one row\), received 43"),
        (double_row, r"landmarks\.csv, line 11: hand_001 appears twice \(first in line 2\)"),
        (spoil_number, r"landmarks\.csv, line 4 \(hand_003\): x of landmark thumb_tip: expected a number or absent, received '1O\.5'\.$"),
        (throw_far, r"landmarks\.csv, line 4: landmark thumb_tip of hand_003 lies far outside"),
        (
            exchange_axes,
            r"csv, line 1: .* All would lie inside if the order of their coordinates were reversed\. The table has x first",
        ),
        (name_with_ending, r"train\.txt, line 3: hand_002 has no row in .* An ID has no ending: the row there is of hand_002\.png\."),
        (drop_row, r"train\.txt, line 3: hand_002 has no row in .*landmarks\.csv"),
        (spoil_image, r"hand_004\.png: it is a PNG cut short"),
        (nan_image, r"hand_004\.mha: 72 pixels not finite, NaN or infinite"),
        (volume, r"hand_004\.mha: expected a 2D image, received 3D"),
        (lambda root: (root / "images" / "hand_001.png").unlink(), r"hand_001\.\*: missing image \(.*landmarks\.csv, line 2\)"),
        (lambda root: edit(root / "splits" / "train.txt", "hand_005", "hand_555"), r"train\.txt, line 6: unknown ID hand_555"),
        (lambda root: edit(root / "splits" / "train.txt", "hand_005", "hand_004"), r"train\.txt, line 6: hand_004 appears twice"),
        (lambda root: (root / "splits" / "train.txt").write_text("\n"), "split train is empty"),
        (lambda root: (root / "splits" / "train.txt").unlink(), r"train\.txt: no such split; there are: val"),
        (lambda root: edit(root / "dataset.yaml", "dims: 2", "dims: 4"), r"dataset\.yaml: dims"),
        (lambda root: edit(root / "dataset.yaml", "name:", "nmae:"), r"dataset\.yaml: nmae: unknown key; did you mean name\?"),
        (lambda root: edit(root / "dataset.yaml", "dims: 2", ""), r"dataset\.yaml: dims: is missing\.$"),
        (lambda root: (root / "landmarks.csv").unlink(), r"landmarks\.csv: no such file; .*annotations in dataset\.yaml"),
        (lambda root: put_above(root, "id,x1,y1"), r"landmarks\.csv, line 2: expected 3 columns as in the header, received 43"),
        (lambda root: put_above(root, "id" + ",x" * 42), r"line 1 \(id\): x of landmark thumb_mcp: .*received 'x'\. Is it a header\?"),
        (lambda root: put_above(root, "hand_000,,"), r"line 1 \(hand_000\): .*received 2\.$"),
        (lambda root: edit(root / "landmarks.csv", ",", ";"), r"line 1 \(hand_000;.*Columns must be separated by commas\."),
        (lambda root: (root / "dataset.yaml").unlink(), r"dataset\.yaml: not found\. A data set is a folder with"),
        (lambda root: shutil.copy(root / "images" / "hand_001.png", root / "images" / "hand_001.bmp"), r"two images of the ID hand_001"),
    ],
)
def test_mistakes_name_file_and_row_before_training(hands, spoil, message):
    spoil(hands)
    with pytest.raises((DatasetError, ImageError), match=message):
        read_all(hands)


def test_after_a_bad_image_no_other_is_read(hands, monkeypatch):
    read, original = [], pipeline.prepare
    monkeypatch.setattr(
        pipeline, "prepare", lambda dataset, identity, *rest, **more: read.append(identity) or original(dataset, identity, *rest, **more)
    )
    (hands / "images" / "hand_001.png").write_text("no image")
    with pytest.raises(ImageError, match=r"hand_001\.png: cannot be read as an image: it is no PNG file, or damaged"):
        pipeline.examples(open_dataset(hands), ["hand_000", "hand_001", "hand_002"], small_config(hands, data__workers=1).resolved(2))
    assert read == ["hand_000", "hand_001"]


def test_a_bad_image_leaves_no_thread_that_reads_on(hands):
    """Threads of TensorFlow that still decode while Python ends abort the process: status 134 behind a good message."""
    pixels = np.random.default_rng(0).integers(0, 255, (1500, 1500), "uint8")  # slow to decode
    for path in (hands / "images").iterdir():
        sitk.WriteImage(sitk.GetImageFromArray(pixels), str(path))
    (hands / "images" / "hand_000.png").write_text("no image")
    program = (
        "import sys; from scn_tf import cli; "
        f"sys.exit(cli.main(['train', '--data.root', {str(hands)!r}, '--model.image_size', '48,32', '--run-dir', {str(hands / 'run')!r}]))"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True)
    assert ended.returncode == 1, ended.stderr
    assert re.fullmatch(r"error: .*hand_000\.png: cannot be read as an image: .*\n", ended.stderr)


def test_an_image_that_goes_bad_after_the_first_pass_is_never_trained_on(hands):
    settings = small_config(hands, data__cache="none").resolved(2)
    data = pipeline.examples(open_dataset(hands), ["hand_001", "hand_002"], settings)
    (hands / "images" / "hand_002.png").write_text("no image")
    with pytest.raises(tf.errors.OpError, match="cannot be read"):
        list(data)


def test_a_constant_image_and_a_landmark_off_the_image_warn(hands):
    sitk.WriteImage(sitk.GetImageFromArray(np.full((256, 192), 7, "uint8")), str(hands / "images" / "hand_002.png"))
    with pytest.warns(pipeline.DataWarning, match=r"hand_002\.png: every pixel has the same value"):
        read_all(hands)


def test_quoted_cells_are_read_and_a_stray_quotation_mark_is_named(hands):
    table = hands / "landmarks.csv"
    intact = open_dataset(hands).landmarks
    lines = table.read_text().splitlines()
    odd = '"a, ""b""",' + lines[0].split(",", 1)[1]
    table.write_text("\n".join([*lines, '"{}",{}'.format(*lines[0].replace("000", "999").split(",", 1)), odd]))
    found = open_dataset(hands).landmarks
    assert list(found) == [*intact, "hand_999", 'a, "b"']
    np.testing.assert_equal(found['a, "b"'], intact["hand_000"])
    for text, message in (
        ('"' + lines[2], r"line 3 \(hand_002,.*\): expected 42 values .* received 0\. Is a quotation mark left open\?"),
        ('"' + "x" * 200_000, r"line 3: cannot be read \(field larger than field limit"),
    ):
        table.write_text("\n".join([*lines[:2], text, *lines[3:]]))
        with pytest.raises(DatasetError, match=message):
            open_dataset(hands)


def test_a_landmark_beside_its_image_is_absent_where_the_input_is_padded(hands):
    lines = (hands / "landmarks.csv").read_text().splitlines()
    cells = lines[0].split(",")
    cells[1] = "-20"
    (hands / "landmarks.csv").write_text("\n".join([",".join(cells), *lines[1:]]))
    dataset = open_dataset(hands)
    settings = small_config(hands, model__image_size=[32, 64]).resolved(2)  # wide: margins left and right
    with pytest.warns(
        DataWarning,
        match=r"1 landmark of 1 image outside their image: trained as absent, but errors count them\. line 1 \(.*\): thumb_mcp\.",
    ):
        (example,) = pipeline.examples(dataset, [cells[0]], settings)
    assert 0 < example["landmarks"][0, 0] < 63
    assert (example["visible"][0], example["annotated"][0], example["visible"].numpy().sum()) == (0, 1, 20)
    assert (example["absent"][0], example["absent"].numpy().sum()) == (1, 1)


@pytest.mark.parametrize("place", ["0", "-1", "-999.0"])
def test_places_that_mean_absent_elsewhere_are_warned_of(hands, place):
    lines = (hands / "landmarks.csv").read_text().splitlines()
    for row in (1, 4):
        cells = lines[row].split(",")
        cells[3:5] = place, place
        lines[row] = ",".join(cells)
    (hands / "landmarks.csv").write_text("\n".join(lines))
    shown = f"{float(place):g}"
    with pytest.warns(DataWarning, match=f"2 landmarks lie at {shown},{shown}, and count as found there"):
        open_dataset(hands)


def test_points_at_the_same_ordinary_place_are_not_warned_of(hands, recwarn):
    lines = (hands / "landmarks.csv").read_text().splitlines()
    for row, place in ((0, ("0", "0")), (1, ("5", "5")), (2, ("5", "5")), (3, ("-1", "3")), (4, ("-1", "3"))):  # 0,0 once alone
        cells = lines[row].split(",")
        cells[3:5] = place
        lines[row] = ",".join(cells)
    (hands / "landmarks.csv").write_text("\n".join(lines))
    open_dataset(hands)
    assert not recwarn.list


def test_absent_landmarks_are_not_visible_and_finite(hands):
    lines = (hands / "landmarks.csv").read_text().splitlines()
    cells = lines[0].split(",")
    cells[3], cells[5] = "", "NaN"
    (hands / "landmarks.csv").write_text("\n".join([",".join(cells), *lines[1:]]))
    example = read_all(hands)[0]
    np.testing.assert_array_equal(example["visible"][:4], [1, 0, 0, 1])
    assert np.isfinite(example["landmarks"]).all()


def test_mm_come_from_the_known_distance_when_there_is_no_spacing(hands):
    edit(hands / "dataset.yaml", "spacing_mm:\n- 0.9\n- 0.9\n", "normalization: {landmarks: [1, 5], distance_mm: 50}\n")
    example = read_all(hands)[0]
    offset = (example["landmarks"][1] - example["landmarks"][5]) * example["unit_per_pixel"]
    np.testing.assert_allclose(np.linalg.norm(offset), 50.0, rtol=1e-4)


def test_mm_come_from_the_description_else_the_header_else_nowhere(hands, hands_3d):
    described = read_all(hands)[0]
    np.testing.assert_allclose(described["unit_per_pixel"] / described["file_per_pixel"], 0.9, rtol=1e-5)
    edit(hands / "dataset.yaml", "spacing_mm:\n- 0.9\n- 0.9\n", "")
    assert open_dataset(hands).unit == "px"
    read_all(hands)
    volume = open_dataset(hands_3d)
    values = pipeline.prepare(volume, volume.split("train")[0], small_config(hands_3d, 3).resolved(3).model)
    np.testing.assert_allclose(values["unit_per_pixel"] / values["file_per_pixel"], 3.6, rtol=1e-5)


def test_coordinates_in_mm_need_images_with_a_frame(hands):
    edit(hands / "dataset.yaml", "coordinates: pixel", "coordinates: physical")
    with pytest.raises(ImageError, match=r"hand_.*\.png: states no pixel size, so it has no mm for coordinates: physical"):
        read_all(hands)


def test_files_that_concern_nobody_do_not_matter(hands):
    edit(hands / "dataset.yaml", "spacing_mm:\n- 0.9\n- 0.9\n", "")
    (hands / "images" / "._hand_001.png").write_text("of a Macintosh")
    (hands / "images" / "a_first.png").write_text("in no table")
    assert open_dataset(hands).unit == "px"
    assert len(read_all(hands)) == 7


@pytest.mark.parametrize("changed", [0, 1])
def test_images_with_and_without_a_pixel_size_are_not_averaged(changed, hands):
    """One of the images becomes a MetaImage, which states 0.9 mm; the others are PNG."""
    edit(hands / "dataset.yaml", "spacing_mm:\n- 0.9\n- 0.9\n", "")
    path = sorted((hands / "images").iterdir())[changed]
    image = sitk.ReadImage(str(path))
    image.SetSpacing((0.9, 0.9))
    sitk.WriteImage(image, str(path.with_suffix(".mha")))
    path.unlink()
    with pytest.raises(DatasetError, match=r"states (a|no) pixel size, but .*states (a|no) pixel size: .* set spacing_mm"):
        read_all(hands)
    (hands / "dataset.yaml").write_text((hands / "dataset.yaml").read_text() + "spacing_mm: [0.9, 0.9]\n")
    assert len(read_all(hands)) > 1


def test_own_coordinates_come_back_from_network_pixels(hands, hands_3d):
    for root, dims in ((hands, 2), (hands_3d, 3)):
        dataset = open_dataset(root)
        identity = dataset.split("train")[1]
        values = pipeline.prepare(dataset, identity, small_config(root, dims).resolved(dims).model)
        matrix = values["own_from_input"].astype(float)
        back = values["landmarks"] @ matrix[:-1, :-1].T + matrix[:-1, -1]
        np.testing.assert_allclose(back, dataset.landmarks[identity], atol=1e-3)


def test_epochs_are_shuffled_alike_wherever_one_starts_and_every_image_is_decoded_once(hands, monkeypatch):
    reads = []
    original = pipeline.prepare
    monkeypatch.setattr(pipeline, "prepare", lambda *a, **k: reads.append(a[1]) or original(*a, **k))
    dataset = open_dataset(hands)
    ids = dataset.split("train")
    data = pipeline.examples(dataset, ids, small_config(hands).resolved(2))

    def order(first, batches):
        stream = batching.training_batches(data, count=7, batch_size=3, seed=4, first_epoch=first)
        return [np.asarray(batch["landmarks"][:, 0, 0]).round(2).tolist() for batch in stream.take(batches)]

    whole = order(0, 6)
    assert order(2, 2) == whole[4:]
    assert whole[:2] != whole[2:4]
    assert len({*whole[0], *whole[1]}) == 6  # no image twice in an epoch
    assert sorted(reads) == sorted(ids)
    # Its thread would keep a program from ending for up to a minute.
    assert not data.options().autotune.enabled
    assert not batching.training_batches(data, count=7, batch_size=3, seed=4).options().autotune.enabled


def test_examples_are_deterministic(hands):
    first, second = read_all(hands), read_all(hands)
    tf.nest.map_structure(np.testing.assert_array_equal, first, second)


def test_another_seed_draws_other_images(hands):
    opened = open_dataset(hands)
    draws = {tuple(opened.drawn("train", 3, seed=seed)) for seed in range(6)}
    assert len(draws) > 3
    assert opened.drawn("train", 3, seed=4) == opened.drawn("train", 3, seed=4)


def test_landmarks_of_a_larger_copy_of_the_images_are_refused(hands):
    table = hands / "landmarks.csv"
    rows = [line.split(",") for line in table.read_text().splitlines()]
    doubled = [[row[0], *(str(2 * float(value)) if value else "" for value in row[1:])] for row in rows]
    table.write_text("\n".join(map(",".join, doubled)))
    message = r"landmarks\.csv, line \d: \d+ of the \d+ landmarks of hand_\d+ lie outside .* copy of another size"
    with pytest.raises(DatasetError, match=message):
        read_all(hands)


@pytest.mark.parametrize("name", ["/tmp/val", "../val", "train+../val"])
def test_a_split_lies_inside_its_set(name, hands):
    with pytest.raises(DatasetError, match="path of a list inside"):
        open_dataset(hands).split(name)


def test_missing_images_are_counted_and_skipped_on_request(hands):
    for number in ("002", "004"):
        (hands / "images" / f"hand_{number}.png").unlink()
    opened = open_dataset(hands)
    with pytest.raises(
        DatasetError,
        match=r"hand_002\.\*: missing image .*; 2 of the 7 images of split train are missing\. Add them\. With data\.missing skip",
    ):
        opened.split("train")
    with pytest.warns(pipeline.DataWarning, match="2 of the 7 images .* continuing with 5"):
        assert len(opened.split("train", missing="skip")) == 5
    (hands / "splits" / "gone.txt").write_text("hand_002\nhand_004\n")
    with pytest.raises(NoImageLeftError, match="2 of the 2 images of split gone are missing: none is left"):
        opened.split("gone", missing="skip")


def test_a_list_elsewhere_in_the_set_is_a_split_too(hands):
    (hands / "official" / "cv").mkdir(parents=True)
    (hands / "official" / "cv" / "fold.txt").write_text("hand_003\nhand_001\n")
    assert open_dataset(hands).split("official/cv/fold") == ["hand_003", "hand_001"]
    assert open_dataset(hands).split("official/cv/fold+val")[:3] == ["hand_003", "hand_001", *open_dataset(hands).split("val")[:1]]
    with pytest.raises(DatasetError, match=r"fold\.txt, line 1: hand_003 appears twice"):
        open_dataset(hands).split("train+official/cv/fold")


def test_the_published_lists_and_annotations_of_the_hand_set_are_read(real_data, tmp_path):
    source = real_data / "hand_xray"
    for name in ("images", "official"):
        (tmp_path / name).symlink_to(source / name)
    (tmp_path / "dataset.yaml").write_text((source / "dataset.yaml").read_text() + "\nannotations: official/all.csv\n")
    opened = open_dataset(tmp_path)
    assert len(opened.landmarks) == 910
    with pytest.raises(DatasetError, match=r"\d+ of the 597 images of split official/cv/set1/train are missing"):
        opened.split("official/cv/set1/train")
    with pytest.warns(pipeline.DataWarning, match="of the 298 images"):
        found = opened.split("official/cv/set1/test", missing="skip")
    assert 0 < len(found) <= 112
