"""``scn-tf init``: images and annotations of any tool become a data set."""

import csv
import json
import os
import re
import warnings

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image as Picture

from scn_tf import cli
from scn_tf.data.dataset import open_dataset
from scn_tf.data.patients import grouped, of_name
from scn_tf.errors import DataWarning
from scn_tf.intake import sides
from scn_tf.intake.patients import patients
from scn_tf.intake.splits import split
from tests import dicom_files
from tests.conftest import EXACT

NAMES = ("tip", "L_eye", "R_eye")
POINTS = np.array([[3.5, 4.0], [10.25, 20.0], [21.0, 30.5]])


def init(capfd, *arguments, status=0):
    """Run the command; returns what it printed and its messages."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", DataWarning)
        found = cli.main(["init", *map(str, arguments)])
    said = capfd.readouterr()
    assert found == status, said
    return said.out, said.err


def picture(path, size=(31, 42), seed=0, colour=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0], 3) if colour else size[::-1]
    Picture.fromarray(np.random.default_rng(seed).integers(0, 255, shape, dtype="uint8")).save(path)
    return path


def table(path, points, header=True):
    """Wide table, or a bare one of ours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        if header:
            writer.writerow(["image", *(f"{name}_{axis}" for name in NAMES for axis in "xy")])
        writer.writerows([name, *np.ravel(values)] for name, values in points.items())
    return path


def bare_table(path, dataset, change):
    """Points of a data set, changed per image, as a table that states no frame."""
    rows = {}
    for image_id, points in dataset.landmarks.items():
        rows[image_id] = change(points, dataset.read(image_id))
    return table(path, rows, header=False)


def written(path):
    dataset = open_dataset(path)
    return dataset, {name: dataset.split(name) for name in ("train", "val")}


def same_points(path, truth):
    dataset = open_dataset(path)
    assert set(dataset.landmarks) == set(truth)
    for image_id, points in truth.items():
        np.testing.assert_allclose(dataset.landmarks[image_id], points, atol=1e-6)
    return dataset


def everything(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_images_and_a_table_become_a_data_set_that_says_what_it_is(tmp_path, capfd):
    for number in range(6):
        picture(tmp_path / "raw" / "images" / f"hand{number}.png", seed=number)
    table(tmp_path / "raw" / "points.csv", {f"hand{number}.png": POINTS + number / 10 for number in range(1, 8)})
    out, err = init(capfd, tmp_path / "raw", "--out", tmp_path / "set", "--spacing", 0.2, 0.3)
    dataset, splits = written(tmp_path / "set")
    assert dataset.description.names == NAMES
    assert dataset.description.flip_pairs == ((1, 2),)
    assert dataset.description.spacing_mm == (0.2, 0.3)
    assert sorted(splits["train"] + splits["val"]) == [f"hand{number}" for number in range(1, 6)]
    assert len(splits["val"]) == 1
    np.testing.assert_allclose(dataset.landmarks["hand3"], POINTS + 0.3, atol=1e-9)
    for said in ("csv-wide", "5, 2D, 31 x 42 pixels", "3 per image: tip, L_eye, R_eye", "pixels, y from the top", "L_eye and R_eye"):
        assert said in out
    assert re.search(r"2 annotations without an image: hand6\.png, hand7\.png", out)
    assert re.search(r"1 image without annotations: hand0", out)
    assert f"scn-tf train --data.root {tmp_path / 'set'}" in out
    assert err == ""


WAYS = {
    "top": (lambda points, image: points, "y from the top"),
    "bottom": (lambda points, image: np.stack([points[:, 0], image.size[1] - 1 - points[:, 1]], axis=1), "y from the bottom"),
    "exchanged": (lambda points, image: points[:, ::-1], "x and y exchanged"),
    "fractions": (lambda points, image: points / image.size, "fractions"),
    "percent": (lambda points, image: 100 * points / image.size, "percent"),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_images_decide_how_the_numbers_of_a_bare_table_are_read(way, hands_2d, tmp_path, capfd):
    change, said = WAYS[way]
    truth = open_dataset(hands_2d)
    bare = bare_table(tmp_path / "points.csv", truth, change)
    out, _ = init(capfd, hands_2d / "images", bare, "--out", tmp_path / "set")
    same_points(tmp_path / "set", truth.landmarks)
    assert said in out
    assert "the images agree about it" in out


@pytest.mark.parametrize("way", ["lps", "ras", "pixel"])
def test_the_images_decide_about_mm_and_pixels_of_volumes(way, hands_3d, tmp_path, capfd):
    truth = open_dataset(hands_3d)

    def change(points, image):
        if way == "pixel":
            return (np.linalg.inv(image.physical_from_array) @ np.c_[points, np.ones(len(points))].T).T[:, :3]
        return points * ([-1, -1, 1] if way == "ras" else 1)

    bare = bare_table(tmp_path / "points.csv", truth, change)
    init(capfd, hands_3d / "images", bare, "--out", tmp_path / "set")
    dataset = open_dataset(tmp_path / "set")
    assert dataset.description.coordinates == ("pixel" if way == "pixel" else "physical")
    for image_id in truth.landmarks:
        image = truth.read(image_id)
        np.testing.assert_allclose(dataset.truth_in_array(image_id, image), truth.truth_in_array(image_id, image), atol=EXACT)


def test_points_of_a_smaller_copy_are_asked_about_and_the_option_scales_them(hands_2d, tmp_path, capfd):
    truth = open_dataset(hands_2d)
    bare = bare_table(tmp_path / "points.csv", truth, lambda points, image: (points + 0.5) / 2 - 0.5)
    _, err = init(capfd, hands_2d / "images", bare, "--out", tmp_path / "set", status=1)
    assert "--set-on 50%" in err
    assert not (tmp_path / "set").exists()
    init(capfd, hands_2d / "images", bare, "--out", tmp_path / "set", "--set-on", "50%")
    same_points(tmp_path / "set", truth.landmarks)


def coco(path, rows, size=None):
    """COCO keypoints; ``rows``: file name -> points."""
    images = [{"id": number, "file_name": name} | (size or {}) for number, name in enumerate(rows)]
    keypoints = [[value for x, y in points for value in (float(x), float(y), 2)] for points in rows.values()]
    annotations = [{"id": n, "image_id": n, "category_id": 1, "keypoints": values} for n, values in enumerate(keypoints)]
    names = [f"p{number}" for number in range(len(next(iter(rows.values()))))]
    path.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "hand", "keypoints": names}]})
    )
    return path


def test_a_format_that_states_its_frame_is_believed_and_contradicted_aloud(hands_2d, tmp_path, capfd):
    truth = open_dataset(hands_2d)
    flipped = {f"{image_id}.png": WAYS["bottom"][0](points, truth.read(image_id)) for image_id, points in truth.landmarks.items()}
    source = coco(tmp_path / "points.json", flipped)
    _, err = init(capfd, hands_2d / "images", source, "--out", tmp_path / "set")
    assert re.search(r"images agree better about pixels, y from the bottom .*--y-from bottom", err)
    same_points(tmp_path / "set", {name[:-4]: points for name, points in flipped.items()})
    init(capfd, hands_2d / "images", source, "--out", tmp_path / "other", "--y-from", "bottom")
    same_points(tmp_path / "other", truth.landmarks)


def test_points_are_scaled_if_the_file_states_another_size_of_the_image(tmp_path, capfd):
    picture(tmp_path / "a.png", (60, 80))
    source = coco(tmp_path / "points.json", {"a.png": POINTS}, {"width": 30, "height": 40})
    out, _ = init(capfd, tmp_path / "a.png", source, "--out", tmp_path / "set")
    same_points(tmp_path / "set", {"a": (POINTS + 0.5) * 2 - 0.5})
    assert "copy of another size, as the file states" in out


def test_few_images_take_the_convention_and_say_so(tmp_path, capfd):
    for number in range(3):
        picture(tmp_path / f"{number}.png", seed=number)
    table(tmp_path / "points.csv", {str(number): POINTS for number in range(3)})
    out, _ = init(capfd, tmp_path, "--out", tmp_path / "new" / "set")
    assert "fewer than 4 images cannot tell; --y-from bottom changes it" in out
    out, _ = init(capfd, tmp_path, "--out", tmp_path / "new" / "other", "--y-from", "bottom", "--axes", "xy", "--first", 1)
    same_points(tmp_path / "new" / "other", {str(n): np.stack([POINTS[:, 0] - 1, 42 - POINTS[:, 1]], axis=1) for n in range(3)})
    assert "y from the bottom, counted from 1 (as asked" in out


@pytest.mark.parametrize(
    ("image", "written_as"),
    [
        ("hand_1.png", "hand_1.jpg"),
        ("Hand_A.PNG", "hand_a"),
        ("x/hand_1.png", "C:\\data\\hand_1.png"),
        ("007.png", "7"),
        ("hand_1.png", "9f3ab2c1-hand_1.png"),
        ("hand_1_0000.png", "hand_1"),
        ("1.2.840.7.png", "1.2.840.7"),
    ],
)
def test_annotations_find_their_image_under_other_spellings(image, written_as, tmp_path, capfd):
    picture(tmp_path / "raw" / image)
    picture(tmp_path / "raw" / "other.png")
    table(tmp_path / "raw" / "points.csv", {written_as: POINTS, "other": POINTS + 1})
    init(capfd, tmp_path / "raw", "--out", tmp_path / "set")
    same_points(tmp_path / "set", {image.split("/")[-1][:-4]: POINTS, "other": POINTS + 1})


def markups(path, points, names=NAMES, system="LPS"):
    path.parent.mkdir(parents=True, exist_ok=True)
    xyz = [[*point, 0.0][:3] for point in np.asarray(points).tolist()]
    control = [{"label": name, "position": place, "positionStatus": "defined"} for name, place in zip(names, xyz, strict=True)]
    path.write_text(json.dumps({"markups": [{"type": "Fiducial", "coordinateSystem": system, "controlPoints": control}]}))
    return path


@pytest.mark.parametrize(
    ("images", "files"),
    [
        (["sub-01_T1w.png", "sub-02_T1w.png"], ["sub-01_afids.mrk.json", "sub-02_afids.mrk.json"]),
        (["a/photo.png", "b/photo.png"], ["a/F.mrk.json", "b/F.mrk.json"]),
        (["images/a/p.png", "images/b/p.png"], ["labels/a/p.mrk.json", "labels/b/p.mrk.json"]),
        (["first.png"], ["F_1.mrk.json"]),
    ],
)
def test_annotation_files_find_their_image_by_name_or_folder(images, files, tmp_path, capfd):
    for number, (image, file) in enumerate(zip(images, files, strict=True)):
        picture(tmp_path / "raw" / image)
        markups(tmp_path / "raw" / file, POINTS + number)
    init(capfd, tmp_path / "raw", "--out", tmp_path / "set")
    ids = [name[:-4] for name in images] if "/" not in images[0] else ["a_photo", "b_photo"]
    ids = ["a_p", "b_p"] if "images" in images[0] else ids
    same_points(tmp_path / "set", {image_id: POINTS + number for number, image_id in enumerate(ids)})


def test_a_single_image_is_trained_and_validated_on_and_the_command_says_so(tmp_path, capfd):
    picture(tmp_path / "raw" / "a.png")
    markups(tmp_path / "raw" / "F.mrk.json", POINTS)
    out, err = init(capfd, tmp_path / "raw", "--out", tmp_path / "set")
    assert written(tmp_path / "set")[1] == {"train": ["a"], "val": ["a"]}
    assert "in train and in val" in err
    assert "as the format states" in out


@pytest.mark.parametrize(("option", "kind"), [(None, "hard"), ("--copy", "copy"), ("--link", "link")])
def test_images_are_linked_or_copied(option, kind, tmp_path, capfd):
    source = picture(tmp_path / "raw" / "a.png")
    table(tmp_path / "raw" / "points.csv", {"a": POINTS})
    init(capfd, tmp_path / "raw", "--out", tmp_path / "set", *([option] if option else []))
    image = tmp_path / "set" / "images" / "a.png"
    assert image.is_symlink() == (kind == "link")
    assert os.path.samefile(image, source) == (kind != "copy")
    assert image.read_bytes() == source.read_bytes()


def test_a_dry_run_writes_nothing_and_says_the_same(tmp_path, capfd):
    picture(tmp_path / "raw" / "a.png")
    table(tmp_path / "raw" / "points.csv", {"a": POINTS})
    before = everything(tmp_path)
    dry, _ = init(capfd, tmp_path / "raw", "--out", tmp_path / "new" / "set", "--dry_run")
    assert everything(tmp_path) == before
    wet, _ = init(capfd, tmp_path / "raw", "--out", tmp_path / "new" / "set")
    assert dry.splitlines()[:8] == wet.splitlines()[:8]


def test_slices_of_a_folder_are_one_volume_and_patients_stay_together(tmp_path, capfd):
    rng = np.random.default_rng(4)
    for number in range(8):
        volume = rng.integers(0, 900, (5, 9, 7)).astype("uint16")
        folder = tmp_path / "raw" / f"scan{number}"
        dicom_files.write_series(folder, volume, [2.0 * z for z in range(5)], PatientID=f"p{number // 2}")
        markups(folder / "F.mrk.json", [[1.0, 2.0, 4.0], [3.0, 1.0, 6.0], [2.0, 2.0, 2.0]])
    out, _ = init(capfd, tmp_path / "raw", "--out", tmp_path / "set")
    dataset, splits = written(tmp_path / "set")
    assert dataset.description.coordinates == "physical"
    assert sorted(dataset.landmarks) == [f"scan{number}" for number in range(8)]
    assert len(list((tmp_path / "set" / "images" / "scan0").iterdir())) == 5
    assert "4, by PatientID" in out
    assert {int(name[-1]) // 2 for name in splits["val"]} & {int(name[-1]) // 2 for name in splits["train"]} == set()


def test_a_header_comes_with_its_pixels_and_colours_are_kept(tmp_path, capfd):
    for name, seed in (("a", 1), ("b", 2)):
        (tmp_path / "raw").mkdir(exist_ok=True)
        array = np.random.default_rng(seed).integers(0, 255, (42, 31), dtype="uint8")
        sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / "raw" / f"{name}.mhd"))
    table(tmp_path / "raw" / "points.csv", {"a": POINTS, "b": POINTS})
    init(capfd, tmp_path / "raw", "--out", tmp_path / "set", "--link", "--frame", "pixel")
    dataset, _ = written(tmp_path / "set")
    assert dataset.read("b").size.tolist() == [31, 42]
    assert dataset.description.channels == 1
    picture(tmp_path / "colour" / "c.png", colour=True)
    table(tmp_path / "colour" / "points.csv", {"c": POINTS})
    out, _ = init(capfd, tmp_path / "colour", "--out", tmp_path / "other")
    assert open_dataset(tmp_path / "other").description.channels == 3
    assert "in colour" in out


def test_a_data_set_is_split_again_with_what_its_description_states(hands_2d, tmp_path, capfd):
    init(capfd, hands_2d, "--out", tmp_path / "set", "--seed", 3)
    before = open_dataset(hands_2d)
    dataset = same_points(tmp_path / "set", before.landmarks)
    assert dataset.description.spacing_mm == before.description.spacing_mm
    assert dataset.description.names == before.description.names
    init(capfd, tmp_path / "set", "--out", tmp_path / "again", "--seed", 3)
    assert written(tmp_path / "again")[1] == written(tmp_path / "set")[1]


def test_a_spoilt_image_is_left_out_with_its_reason(tmp_path, capfd):
    for number in range(3):
        picture(tmp_path / "raw" / f"{number}.png")
    path = tmp_path / "raw" / "1.png"
    path.write_bytes(path.read_bytes()[:-40])
    table(tmp_path / "raw" / "points.csv", {str(number): POINTS for number in range(3)})
    _, err = init(capfd, tmp_path / "raw", "--out", tmp_path / "set")
    assert re.search(r"1\.png: .*left out", err)
    same_points(tmp_path / "set", {"0": POINTS, "2": POINTS})


@pytest.mark.parametrize(("count", "sizes"), [(1, (1, 1)), (2, (1, 1)), (7, (6, 1)), (19, (15, 4)), (20, (14, 3, 3)), (100, (70, 15, 15))])
def test_sizes_of_splits(count, sizes):
    found = split({f"i{number}": f"i{number}" for number in range(count)}, 5)
    assert tuple(map(len, found.values())) == sizes
    assert list(found) == ["train", "val", "test"][: len(sizes)]
    if count > 1:
        assert len({image_id for ids in found.values() for image_id in ids}) == count
    assert found == split({f"i{number}": f"i{number}" for number in range(count)}, 5)


def test_no_patient_is_in_two_splits_and_the_seed_changes_them():
    of = {f"i{number}": f"p{number // 3}" for number in range(60)}
    found = [split(of, seed) for seed in (0, 1)]
    for parts in found:
        groups = [{of[image_id] for image_id in ids} for ids in parts.values()]
        assert sum(map(len, groups)) == 20
        assert 7 <= len(parts["val"]) <= 12
    assert found[0] != found[1]


@pytest.mark.parametrize(
    ("ids", "count", "source"),
    [
        ([f"P{number}_{side}" for number in range(5) for side in ("left", "right")], 5, "IDs"),
        ([f"hand_{number:03d}" for number in range(12)], 12, ""),
        ([f"sub-{number}_ses-{time}_T1w" for number in range(6) for time in (1, 2)], 6, "sub-"),
        (["2019_1", "2019_2", "2019_3", "2019_4"], 4, ""),
    ],
)
def test_patients_are_found_in_ids_where_they_tell_them(ids, count, source, tmp_path):
    found = patients({image_id: tmp_path / f"{image_id}.png" for image_id in ids}, None)
    assert found.number == count
    assert (source in found.source) if source else found.source == ""


@pytest.mark.parametrize("form", ["p{0:02d}_{1}", "{0:04d}-{1}", "case{0}_visit{1}", "A{0:02d}_img{1}"])
def test_a_new_split_keeps_together_what_a_check_takes_for_one_patient(form, tmp_path):
    ids = [form.format(number // 2, number % 2) for number in range(24)]
    groups = grouped({image_id: of_name(image_id) for image_id in ids})
    assert len(groups) == 12
    found = patients({image_id: tmp_path / f"{image_id}.png" for image_id in ids}, None).of
    for together in groups.values():
        assert len({found[image_id] for image_id in together}) == 1


def test_a_pattern_names_the_patient(tmp_path):
    ids = {f"a{number // 2}x{number}": tmp_path / "x.png" for number in range(6)}
    assert patients(ids, r"a(\d)x").of == {f"a{number // 2}x{number}": str(number // 2) for number in range(6)}


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (["nose", "left_eye", "right_eye"], [(1, 2)]),
        (["R superior LMS", "L superior LMS", "AC"], [(1, 0)]),
        (["earLeft", "earRight", "eyeR", "eyeL"], [(0, 1), (3, 2)]),
        (["L1", "L2", "L3"], []),
        (["left", "middle"], []),
        (["lip", "rip", "roof", "loof"], []),
    ],
)
def test_left_and_right_are_found_by_name(names, pairs):
    assert sides.flip_pairs(names) == pairs


def test_real_markups_and_fiducials_lie_where_they_were_set(real_data, tmp_path, capfd):
    out, _ = init(capfd, real_data / "brain_afids", "--out", tmp_path / "brain")
    dataset = open_dataset(tmp_path / "brain")
    (image_id,) = dataset.landmarks
    points = dataset.truth_in_array(image_id, dataset.read(image_id))
    assert points.shape == (32, 3)
    np.testing.assert_allclose(points[:2, 0], 96, atol=2)  # in the middle plane of the head
    assert "mm in the frame of the image's header, LPS (as the format states)" in out


def test_label_maps_of_a_folder_of_their_own_are_annotations(tmp_path, capfd):
    rng = np.random.default_rng(0)
    for number in range(2):
        image = sitk.GetImageFromArray(rng.integers(-900, 900, (9, 12, 14)).astype("int16"))
        image.SetSpacing((2, 2, 3))
        labels = np.zeros((9, 12, 14), "uint8")
        labels[5, 6, 7 + number], labels[2, 3, 4] = 1, 2
        for folder, content in (("images", image), ("labels", sitk.GetImageFromArray(labels))):
            (tmp_path / "raw" / folder).mkdir(parents=True, exist_ok=True)
            content.CopyInformation(image)
            sitk.WriteImage(content, str(tmp_path / "raw" / folder / f"c{number}.nii.gz"))
    out, _ = init(capfd, tmp_path / "raw", "--out", tmp_path / "set")
    assert "2 files of format labelmap" in out
    same_points(tmp_path / "set", {f"c{number}": [[2 * (7 + number), 12, 15], [8, 6, 6]] for number in range(2)})


def test_markups_of_a_dicom_slice_are_in_the_frame_of_its_header(tmp_path, capfd):
    place = {"ImagePositionPatient": [-20.0, 30.0, 7.0], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "PixelSpacing": [0.5, 2.0]}
    (tmp_path / "raw").mkdir()
    dicom_files.write(tmp_path / "raw" / "a.dcm", np.random.default_rng(3).integers(0, 900, (42, 31)).astype("uint16"), **place)
    markups(tmp_path / "raw" / "a.mrk.json", POINTS * [2.0, 0.5] + [-20, 30])
    init(capfd, tmp_path / "raw", "--out", tmp_path / "set")
    dataset = open_dataset(tmp_path / "set")
    assert dataset.description.coordinates == "physical"
    np.testing.assert_allclose(dataset.truth_in_array("a", dataset.read("a")), POINTS, atol=1e-6)
