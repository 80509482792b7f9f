"""Faults of data sets: each is planted into a copy of a set (:class:`benchmarks.copied_sets.Copy`).

A planter changes a copy. It returns the ID of the image that has the fault, a tuple of IDs if either may be named, None if the
fault is of the whole set. Planters that edit the table as text save the copy before.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from PIL import Image

from benchmarks.copied_sets import Copy

SETS = ("hand_xray", "cephalo", "mouse_ct")


class Fault(NamedTuple):
    """A planter, the kinds of findings that fit its fault, and the sets it is for."""

    plant: Callable[[Copy], str | tuple[str, ...] | None]
    kinds: set[str]
    sets: tuple[str, ...]


def cut_file(copy):
    image_id = copy.any_id()
    path = copy.path(image_id)
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: int(len(content) * copy.rng.uniform(0.3, 0.97))])
    return image_id


def cut_other_format(copy):
    image_id = copy.any_id()
    ending = str(copy.rng.choice([".tif", ".dcm", ".mha", ".bmp"] if copy.dims == 2 else [".mhd", ".nii", ".nrrd", ".tif"]))
    path = copy.write(image_id, copy.array(image_id), ending)
    path = path.with_suffix(".raw") if ending == ".mhd" else path
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * copy.rng.uniform(0.3, 0.97))])
    return image_id


def wrong_bytes(copy):
    image_id = copy.any_id()
    path = copy.path(image_id)
    path.unlink()
    path.write_bytes(b"" if copy.rng.random() < 0.5 else b"<!doctype html><title>404 Not Found</title>")
    return image_id


def grey_half(copy):
    image_id = copy.any_id()
    array = copy.array(image_id).copy()
    array[int(len(array) * copy.rng.uniform(0.4, 0.8)) :] = 128
    copy.write(image_id, array)
    return image_id


def other_size(copy):
    image_id = copy.any_id()
    array = copy.array(image_id)
    factor = 0.5
    if copy.dims == 3:
        array = array[::2, ::2, ::2]
        copy.points[image_id] = copy.points[image_id] * factor
    else:
        array = np.asarray(Image.fromarray(array).resize([int(side * factor) for side in array.shape[::-1]], Image.Resampling.BOX))
        copy.points[image_id] = (copy.points[image_id] + 0.5) * factor - 0.5
    copy.write(image_id, array)
    return image_id


def resized_alone(copy):
    image_id = copy.any_id()
    array = copy.array(image_id)
    factor = float(copy.rng.choice([0.5, 2.0]))
    copy.write(
        image_id, np.asarray(Image.fromarray(array).resize([int(side * factor) for side in array.shape[::-1]], Image.Resampling.BILINEAR))
    )
    return image_id


def other_depth(copy):
    image_id = copy.any_id()
    array = copy.array(image_id).astype("uint16") * 257
    copy.write(image_id, array, ".png" if copy.dims == 2 else None)
    return image_id


def colour(copy):
    image_id = copy.any_id()
    array = np.repeat(copy.array(image_id)[..., None], 3, axis=-1)
    array[:40, :40] = (255, 220, 0)
    copy.write(image_id, array)
    return image_id


def same_file(copy, across):
    image_id = copy.any_id("train")
    copy.duplicate(image_id, f"new{image_id}", "val" if across else "train")
    return image_id, f"new{image_id}"


def same_pixels(copy, across):
    pair = same_file(copy, across)
    copy.write(pair[1], copy.array(pair[1]), ".png" if copy.dims == 2 else ".mha")
    return pair


def near_copy(copy, across):
    pair = same_file(copy, across)
    array = copy.array(pair[1])
    how = str(copy.rng.choice(["encoded", "resized", "brightened"])) if copy.dims == 2 else "brightened"
    if how == "resized":
        factor = copy.rng.uniform(0.5, 0.8)
        array = np.asarray(Image.fromarray(array).resize([int(side * factor) for side in array.shape[::-1]], Image.Resampling.LANCZOS))
        copy.points[pair[1]] = (copy.points[pair[1]] + 0.5) * factor - 0.5
    if how == "brightened":
        values = array / 255.0
        array = (255 * np.clip(values ** copy.rng.uniform(0.7, 1.4) * copy.rng.uniform(0.8, 1.15), 0, 1)).astype("uint8")
    copy.write(pair[1], array, ".jpg" if copy.dims == 2 else None, quality=int(copy.rng.integers(40, 80)))
    return pair


def patient(copy):
    one, other = copy.any_id("train"), copy.any_id("val")
    names = [("p012_left", "p012_right"), ("8134_1", "8134_2"), ("case7-pre", "case7-post")][int(copy.rng.integers(3))]
    copy.rename(one, names[0])
    copy.rename(other, names[1])
    return names


def outside(copy):
    image_id = copy.any_id()
    pixels, back = copy.to_pixels(image_id)
    axis, size = int(copy.rng.integers(copy.dims)), copy.size(image_id)
    pixels[int(copy.rng.integers(len(pixels))), axis] = (
        -copy.rng.uniform(5, 40) if copy.rng.random() < 0.5 else size[axis] + copy.rng.uniform(5, 40)
    )
    copy.points[image_id] = back(pixels)
    return image_id


def change(copy, image_id, how):
    pixels, back = copy.to_pixels(image_id)
    copy.points[image_id] = back(how(pixels, copy.size(image_id)))


def reversed_axes(copy, whole):
    chosen = list(copy.points) if whole else [copy.any_id()]
    for image_id in chosen:
        copy.points[image_id] = copy.points[image_id][:, ::-1].copy()
    return None if whole else chosen[0]


def flipped_points(copy, axis, whole=False):
    def flip(pixels, size):
        pixels[:, axis] = size[axis] - 1 - pixels[:, axis]
        return pixels

    chosen = list(copy.points) if whole else [copy.any_id()]
    for image_id in chosen:
        change(copy, image_id, flip)
    return None if whole else chosen[0]


def flipped_image(copy):
    image_id = copy.any_id()
    copy.write(image_id, np.ascontiguousarray(copy.array(image_id)[..., ::-1]))
    return image_id


def flipped_both(copy):
    image_id = copy.any_id()
    pixels, back = copy.to_pixels(image_id)
    pixels[:, 0] = copy.size(image_id)[0] - 1 - pixels[:, 0]
    copy.points[image_id] = back(pixels)
    copy.write(image_id, np.ascontiguousarray(copy.array(image_id)[..., ::-1]))
    return image_id


def list_shift(copy, whole):
    image_id = copy.any_id()
    points = copy.points[image_id]
    start = 0 if whole else int(copy.rng.integers(1, max(2, len(points) - 5)))
    points[start:] = np.roll(points[start:], int(copy.rng.choice([1, -1])), axis=0)
    return image_id


def rows_exchanged(copy):
    one, other = (str(name) for name in copy.rng.choice(sorted(copy.points), 2, replace=False))
    copy.points[one], copy.points[other] = copy.points[other], copy.points[one]
    return one, other


def other_unit(copy, whole):
    chosen = list(copy.points) if whole else [copy.any_id()]
    spacing = copy.source.description.spacing_mm or (0.25,) * copy.dims
    for image_id in chosen:
        if copy.source.description.coordinates == "pixel":
            copy.points[image_id] = copy.points[image_id] * np.array(spacing)
        else:
            copy.points[image_id] = copy.to_pixels(image_id)[0]
    return None if whole else chosen[0]


def wrong_spacing_mm(copy):
    if copy.dims == 3:
        copy.description(spacing_mm=[float(0.2 * copy.rng.choice([0.1, 0.5, 2.0, 10.0]))] * 3)
    elif copy.source.description.normalization:  # the known distance says that a pixel is about 0.25 mm
        copy.description(spacing_mm=[float(0.25 * copy.rng.choice([0.1, 0.3, 4.0, 10.0]))] * 2)
    else:
        copy.description(
            spacing_mm=[float(s * copy.rng.choice([10.0, 100.0, 1000.0])) for s in [copy.source.description.spacing_mm[0]]] * 2
        )


def header_spacing(copy):
    image_id = copy.any_id()
    path = copy.path(image_id)
    image = sitk.ReadImage(str(path))
    factor = float(copy.rng.choice([0.5, 2.0, 10.0]))
    copy.points[image_id] = np.array([image.TransformPhysicalPointToContinuousIndex(p.tolist()) for p in copy.points[image_id]])
    image.SetSpacing([s * factor for s in image.GetSpacing()])
    copy.points[image_id] = np.array([image.TransformContinuousIndexToPhysicalPoint(p.tolist()) for p in copy.points[image_id]])
    path.unlink()
    sitk.WriteImage(image, str(path))
    return image_id


def header_without_spacing(copy):
    """One image as a format that states a pixel size, in a set whose others state none."""
    copy.description(spacing_mm=None, normalization=None)
    image_id = copy.any_id()
    copy.write(image_id, copy.array(image_id), ".mha")
    return image_id


def no_spacing(copy):
    copy.description(spacing_mm=None, normalization=None)


def exchanged(copy):
    """Two landmarks that are apart by at least a tenth of the shape."""
    image_id = copy.any_id()
    points = copy.points[image_id]
    extent = np.linalg.norm(np.ptp(points, axis=0))
    while True:
        one, other = copy.rng.choice(len(points), 2, replace=False)
        if np.linalg.norm(points[one] - points[other]) > 0.1 * extent:
            points[[one, other]] = points[[other, one]]
            return image_id


def neighbours_exchanged(copy):
    """A landmark and its next one in the list, which are often close together."""
    image_id = copy.any_id()
    points = copy.points[image_id]
    extent = np.linalg.norm(np.ptp(points, axis=0))
    while True:
        one = int(copy.rng.integers(len(points) - 1))
        if np.linalg.norm(points[one] - points[one + 1]) > 0.03 * extent:
            points[[one, one + 1]] = points[[one + 1, one]]
            return image_id


def odd_shape(copy):
    image_id = copy.any_id()

    def deform(pixels, size):
        middle = pixels.mean(axis=0)
        if copy.rng.random() < 0.5:  # stretched along one axis
            factors = np.ones(copy.dims)
            factors[int(copy.rng.integers(copy.dims))] = copy.rng.choice([0.55, 1.6])
            return middle + (pixels - middle) * factors
        extent = np.linalg.norm(np.ptp(pixels, axis=0))
        return pixels + copy.rng.normal(0, 0.08 * extent, pixels.shape)

    change(copy, image_id, deform)
    return image_id


def displaced(copy):
    image_id = copy.any_id()
    points = copy.points[image_id]
    extent = np.linalg.norm(np.ptp(points, axis=0))
    direction = copy.rng.normal(size=copy.dims)
    points[int(copy.rng.integers(len(points)))] += direction / np.linalg.norm(direction) * extent * copy.rng.uniform(0.08, 0.25)
    return image_id


def inverted(copy):
    image_id = copy.any_id()
    copy.write(image_id, 255 - copy.array(image_id))
    return image_id


def clipped(copy):
    image_id = copy.any_id()
    array = copy.array(image_id).astype(float)
    high = np.percentile(array[array > np.percentile(array, 30)], 40)
    copy.write(image_id, (255 * np.clip(array / max(high, 1), 0, 1)).astype("uint8"))
    return image_id


def constant(copy):
    image_id = copy.any_id()
    copy.write(image_id, np.full_like(copy.array(image_id), int(copy.rng.integers(256))))
    return image_id


def narrow(copy):
    image_id = copy.any_id()
    copy.write(image_id, (copy.array(image_id) // 16 + 40).astype("uint8"))
    return image_id


def few(copy, split):
    copy.splits[split] = copy.splits[split][: 4 if split == "train" else 1]


def overlap(copy):
    image_id = copy.any_id("train")
    copy.splits["val"].append(image_id)
    return image_id


def unknown_id(copy):
    copy.splits["val"].append("nobody")
    return "nobody"


def without_row(copy):
    image_id = copy.any_id()
    del copy.points[image_id]
    return image_id


def without_image(copy):
    image_id = copy.any_id()
    copy.path(image_id).unlink()
    return image_id


def all_absent(copy):
    image_id = copy.any_id()
    copy.points[image_id][:] = np.nan
    return image_id


def never_trained(copy):
    number = int(copy.rng.integers(len(copy.names)))
    for image_id in copy.splits["train"]:
        copy.points[image_id][number] = np.nan


def placeholder(copy):
    image_id = copy.any_id()
    copy.points[image_id][int(copy.rng.integers(len(copy.names)))] = copy.rng.choice([0.0, -1.0])
    return image_id


def edited(copy, image_id, edit):
    """Edit the row of an image as text, after the table is written."""
    copy.save()
    path = copy.root / copy.source.description.annotations
    lines = path.read_text().splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith(f"{image_id},"))
    lines[place] = edit(lines[place])
    path.write_text("\n".join(lines) + "\n")
    copy.save = lambda: None
    return image_id


def row_twice(copy):
    return edited(copy, copy.any_id(), lambda line: f"{line}\n{line}")


def non_finite(copy):
    word = str(copy.rng.choice(["inf", "nan", "-inf"]))

    def edit(line):
        cells = line.split(",")
        start = 1 + copy.dims * int(copy.rng.integers(len(copy.names)))
        cells[start : start + copy.dims] = [word] * copy.dims
        return ",".join(cells)

    return edited(copy, copy.any_id(), edit)


def bad_row(copy):
    cuts = [lambda line: line.rsplit(",", 3)[0], lambda line: line.replace(",", ";"), lambda line: line.replace(".", ",")]
    if copy.source.root.name == "cephalo":
        cuts = cuts[:2]
    edit = cuts[int(copy.rng.integers(len(cuts)))]
    return edited(copy, copy.any_id(), edit)


def bad_description(copy):
    copy.description(**[{"spacing": [1, 1]}, {"chanels": 3}, {"flip_pairs": [[0, 999]]}][int(copy.rng.integers(3))])


def on(function, **options):
    return lambda copy: function(copy, **options)


ALL, FLAT, MICE = SETS, ("hand_xray", "cephalo"), ("mouse_ct",)
COPIES = {"duplicate", "near_duplicate"}
ACROSS = {"duplicate_across_splits", "near_duplicate_across_splits"}
SHAPES = {"odd_shape", "displaced", "names_shifted", "names_exchanged"}
FAULTS = {
    "file cut short": Fault(cut_file, {"unreadable"}, ALL),
    "file of another format cut short": Fault(cut_other_format, {"unreadable"}, ALL),
    "file is empty or no image": Fault(wrong_bytes, {"unreadable"}, ALL),
    "grey half, saved again": Fault(grey_half, {"blank_area"}, FLAT),
    "image and points of half the size": Fault(other_size, {"mixed_size", "spacing_odd"}, ALL),
    "image resized, points not": Fault(resized_alone, {"unit", "mixed_size", "far_outside", "points_off"}, FLAT),
    "16 bits among 8": Fault(other_depth, {"mixed_depth"}, ALL),
    "colour among grey": Fault(colour, {"mixed_channels"}, FLAT),
    "same file in one split": Fault(on(same_file, across=False), {"duplicate"}, ALL),
    "same file across splits": Fault(on(same_file, across=True), {"duplicate_across_splits"}, ALL),
    "same pixels across splits": Fault(on(same_pixels, across=True), {"duplicate_across_splits"}, ALL),
    "near copy in one split": Fault(on(near_copy, across=False), COPIES, ALL),
    "near copy across splits": Fault(on(near_copy, across=True), ACROSS, ALL),
    "patient in two splits": Fault(patient, {"patient_in_two_splits"}, ALL),
    "landmark outside": Fault(outside, {"outside", "far_outside"}, ALL),
    "x and y exchanged, one image": Fault(on(reversed_axes, whole=False), {"xy_exchanged"}, ALL),
    "x and y exchanged, all": Fault(on(reversed_axes, whole=True), {"xy_exchanged"}, ALL),
    "image mirrored": Fault(flipped_image, {"image_mirrored"}, ALL),
    "points mirrored": Fault(on(flipped_points, axis=0), {"points_mirrored", "other_frame"}, ALL),
    "image and points mirrored": Fault(flipped_both, {"mirrored"}, ALL),
    "list of landmarks shifted": Fault(on(list_shift, whole=True), {"names_shifted"}, ALL),
    "part of the list shifted": Fault(on(list_shift, whole=False), {"names_shifted"}, ALL),
    "two rows exchanged": Fault(rows_exchanged, {"foreign_points"}, ALL),
    "y from the bottom, one image": Fault(on(flipped_points, axis=1), {"y_from_bottom"}, FLAT),
    "y from the bottom, all": Fault(on(flipped_points, axis=1, whole=True), {"y_from_bottom"}, FLAT),
    "y of the points mirrored": Fault(on(flipped_points, axis=1), {"points_mirrored", "other_frame"}, MICE),
    "other unit, one image": Fault(on(other_unit, whole=False), {"unit"}, ALL),
    "other unit, all": Fault(on(other_unit, whole=True), {"unit"}, ALL),
    "spacing_mm wrong by a factor": Fault(wrong_spacing_mm, {"spacing_contradicts", "spacing_implausible"}, ALL),
    "pixel size of a header wrong": Fault(header_spacing, {"spacing_odd"}, MICE),
    "pixel size stated by one image alone": Fault(header_without_spacing, {"spacing_mixed"}, FLAT),
    "no pixel size": Fault(no_spacing, {"spacing_missing"}, FLAT),
    "two distant names exchanged": Fault(exchanged, {"names_exchanged"}, ALL),
    "two neighbours exchanged": Fault(neighbours_exchanged, {"names_exchanged"}, ALL),
    "deformed shape": Fault(odd_shape, {*SHAPES, "points_off"}, ALL),
    "one landmark displaced": Fault(displaced, {"displaced"}, ALL),
    "inverted": Fault(inverted, {"inverted"}, ALL),
    "clipped": Fault(clipped, {"clipped", "low_contrast"}, ALL),
    "constant": Fault(constant, {"constant"}, ALL),
    "nearly empty range": Fault(narrow, {"low_contrast"}, ALL),
    "few training images": Fault(on(few, split="train"), {"few_images"}, ALL),
    "few validation images": Fault(on(few, split="val"), {"few_images"}, ALL),
    "splits overlap": Fault(overlap, {"split_overlap"}, ALL),
    "split names an unknown ID": Fault(unknown_id, {"unknown_id"}, ALL),
    "image without a row": Fault(without_row, {"no_annotation"}, ALL),
    "row without an image": Fault(without_image, {"no_image"}, ALL),
    "all landmarks of an image absent": Fault(all_absent, {"all_absent"}, ALL),
    "landmark never trained": Fault(never_trained, {"landmark_not_trained"}, ALL),
    "0,0 or -1,-1 for absent": Fault(placeholder, {"placeholder"}, ALL),
    "row twice": Fault(row_twice, {"row_twice"}, ALL),
    "number not finite": Fault(non_finite, {"non_finite"}, ALL),
    "row damaged": Fault(bad_row, {"table"}, ALL),
    "bad key in dataset.yaml": Fault(bad_description, {"description"}, ALL),
}
