"""Image files: can they be read, and are they alike?"""

from collections import Counter
from collections.abc import Hashable, Iterator

import numpy as np

from scn_tf.doctor.finding import Check, Found
from scn_tf.doctor.inspection import Inspection
from scn_tf.presence import known

MOST_ODD = 0.2  # share of the images that are called odd ones; more are one finding of the set
SIZE_FACTOR, ASPECT_FACTOR = 1.8, 1.35  # from the usual size and proportions
DEVIATIONS = 6.0  # robust ones


def _unreadable(inspection: Inspection) -> Iterator[Found]:
    for image_id, picture in inspection.pictures.items():
        if not picture.is_read:
            yield Found(picture.error, image_id)


def _remarks(inspection: Inspection) -> Iterator[Found]:
    for image_id, picture in inspection.pictures.items():
        for remark in picture.remarks:
            yield Found(remark, image_id)


def odd_ones(inspection: Inspection, values: dict[str, Hashable], what: str) -> Iterator[Found]:
    """Findings about images with another value than most: each of them, or one for the set if they are many."""
    counts = Counter(values.values()).most_common()
    if len(counts) < 2:
        return
    usual, number = counts[0]
    odd = [image_id for image_id, value in values.items() if value != usual]
    if len(odd) > max(1, MOST_ODD * len(values)):
        listed = ", ".join(f"{value} ({count} images)" for value, count in counts[:4])
        yield Found(f"the images have several {what}: {listed}.")
        return
    for image_id in odd:
        message = f"{inspection.file(image_id)}: {values[image_id]}, but {number} of {len(values)} images are {usual}."
        yield Found(message, image_id)


def _mixed_channels(inspection: Inspection) -> Iterator[Found]:
    colours = {1: "grey", 2: "grey with opacity", 3: "colour", 4: "colour with opacity"}
    read = inspection.pictures.items()
    yield from odd_ones(
        inspection, {i: colours.get(p.stored_channels, str(p.stored_channels)) for i, p in read if p.is_read}, "kinds of pixels"
    )


def _mixed_depth(inspection: Inspection) -> Iterator[Found]:
    yield from odd_ones(inspection, {i: p.depth for i, p in inspection.pictures.items() if p.is_read and p.depth}, "types of numbers")


def _mixed_size(inspection: Inspection) -> Iterator[Found]:
    sizes = {i: tuple(map(int, known(p.size))) for i, p in inspection.pictures.items() if p.is_read}
    if len(sizes) < 3:
        return
    _, count = Counter(sizes.values()).most_common(1)[0]
    shown = {image_id: f"{' x '.join(map(str, size))} pixels" for image_id, size in sizes.items()}
    if count >= (1 - MOST_ODD) * len(sizes):
        yield from odd_ones(inspection, dict(shown), "sizes")
        return
    logs = np.log(np.array(list(sizes.values()), float))
    measures = np.column_stack([logs, logs[:, 1:] - logs[:, :1]])
    limits = np.log([*[SIZE_FACTOR] * logs.shape[1], *[ASPECT_FACTOR] * (logs.shape[1] - 1)])
    away = np.abs(measures - np.median(measures, axis=0))
    limits = np.maximum(limits, DEVIATIONS * 1.4826 * np.median(away, axis=0))
    median = " x ".join(str(round(float(side))) for side in np.exp(np.median(logs, axis=0)))
    for image_id, odd in zip(sizes, (away > limits).any(axis=1), strict=True):
        if odd:
            yield Found(f"{inspection.file(image_id)}: {shown[image_id]}; the usual size is about {median}.", image_id)


UNREADABLE = Check(
    "unreadable", "error", "an image file is cut short, damaged, empty, or of a kind that is not read",
    "Copy the file again from its source, or export it again. If it is lost, remove its row and its line in the splits.",
    _unreadable, rank=1,
)  # fmt: skip
FOLDER = Check(
    "images_folder", "error", "the folder of the images is missing",
    "Put the images into the folder images/ of the data set.",
    lambda inspection: inspection.problems("images_folder"), rank=1,
)  # fmt: skip
SAME_ID = Check(
    "same_id", "error", "two image files differ in their ending alone, so they have one ID",
    "Rename or remove one of the two files.",
    lambda inspection: inspection.problems("same_id"), rank=4,
)  # fmt: skip
OTHER_FILE = Check(
    "other_file", "note", "a file in images/ is no image that is read",
    "Remove it, or convert it to a format that is read (docs/data.md has the table).",
    lambda inspection: inspection.problems("other_file"), rank=90,
)  # fmt: skip
REMARK = Check(
    "reader_remark", "warning", "the reader of an image had to ignore or assume something, such as an EXIF orientation",
    "Read the message. If viewers turn the image, save it turned and check that its landmarks belong to the pixels as stored.",
    _remarks, rank=60,
)  # fmt: skip
MIXED_SIZE = Check(
    "mixed_size", "warning", "an image has another size or other proportions than the others",
    "Open it: is it turned, cropped, or a copy of another size? Replace it, or make sure that its landmarks are in its own pixels.",
    _mixed_size, rank=50,
)  # fmt: skip
MIXED_DEPTH = Check(
    "mixed_depth", "warning", "an image has numbers of another type than the others, such as 8 instead of 16 bits",
    "Export it again like the others. Eight bits of a 16-bit image may have lost its contrast.",
    _mixed_depth, rank=51,
)  # fmt: skip
MIXED_CHANNELS = Check(
    "mixed_channels", "warning", "an image is in colour and the others are grey, or the other way",
    "Is it a screenshot, or does it have drawn marks? Export the original image.",
    _mixed_channels, rank=52,
)  # fmt: skip
