"""Description and table: damaged rows, and rows and images without each other."""

from collections.abc import Iterator

import numpy as np

from scn_tf.doctor.finding import Check, Found
from scn_tf.doctor.folder import shown
from scn_tf.doctor.inspection import Inspection

FEW_WITHOUT = 0.5  # share of the images that may lack a row and still be named one by one


def _without_row(inspection: Inspection) -> Iterator[Found]:
    folder = inspection.folder
    if not folder.landmarks:
        return
    bad = {found.image for found in inspection.problems("table")}
    missing = [image_id for image_id in folder.files if image_id not in folder.landmarks and image_id not in bad]
    listed = {image_id for ids in folder.splits.values() for image_id in ids}
    if len(missing) > FEW_WITHOUT * len(folder.files) and not listed & set(missing):
        yield Found(f"{len(missing)} of the {len(folder.files)} images have no row in {folder.table_name}, and are in no list.")
        return
    for image_id in missing:
        yield Found(f"images/{shown(folder.files[image_id].name)}: has no row in {folder.table_name}.", image_id)


def _without_image(inspection: Inspection) -> Iterator[Found]:
    folder = inspection.folder
    for image_id in folder.landmarks if folder.files else ():
        if image_id not in folder.files:
            yield Found(f"{inspection.line(image_id)}: there is no image file of this ID in images/.", image_id)


def _without_points(inspection: Inspection) -> Iterator[Found]:
    folder, known = inspection.folder, inspection.folder.description
    empty = [image_id for image_id, points in folder.landmarks.items() if not np.isfinite(points).any()]
    if known and known.labels and len(empty) == len(folder.landmarks):
        return  # a set of label maps alone
    ruled = bool(known and known.empty == "absent")  # then a forgotten image looks like one without landmarks
    for image_id in empty:
        if ruled or not folder.absent[image_id].all():
            yield Found(f"{inspection.line(image_id)}: has no landmark.", image_id)


def _always_absent(inspection: Inspection) -> Iterator[Found]:
    folder = inspection.folder
    if not folder.absent:
        return
    for number in np.flatnonzero(np.all(list(folder.absent.values()), axis=0)).tolist():
        message = f"{folder.table_name}: {inspection.landmark(number)} is absent in every image: it is trained to be found nowhere."
        yield Found(message, landmark=inspection.names[number])


DESCRIPTION = Check(
    "description", "error", "dataset.yaml cannot be read or has an invalid key",
    "Correct the line that the message names. docs/data.md lists all keys.",
    lambda inspection: inspection.problems("description"), rank=0,
)  # fmt: skip
TABLE = Check(
    "table", "error", "the landmark table, or a row of it, cannot be read",
    "Correct the row that the message names: ID, then x and y (and z) of every landmark, separated by commas.",
    lambda inspection: inspection.problems("table"), rank=2,
)  # fmt: skip
ROW_TWICE = Check(
    "row_twice", "error", "an image has two rows",
    "Remove the row that is wrong.",
    lambda inspection: inspection.problems("row_twice"), rank=3,
)  # fmt: skip
NON_FINITE = Check(
    "non_finite", "warning", "a coordinate is infinite, or NaN where every other landmark has its point",
    "Write the coordinate, or leave the fields of a landmark that is not annotated empty.",
    lambda inspection: inspection.problems("non_finite"), rank=20,
)  # fmt: skip
HALF_POINT = Check(
    "half_point", "warning", "a landmark has some of its coordinates only",
    "Write the missing coordinate, or leave all fields of the landmark empty.",
    lambda inspection: inspection.problems("half_point"), rank=21,
)  # fmt: skip
WITHOUT_ROW = Check(
    "no_annotation", "warning", "an image has no row in the table",
    "Annotate it, or move the file out of images/. Is the ID in the table spelt like the file?",
    _without_row, rank=22,
)  # fmt: skip
WITHOUT_IMAGE = Check(
    "no_image", "warning", "a row of the table has no image",
    "Add the image, or remove the row. Is the ID spelt like the file, without its ending?",
    _without_image, rank=23,
)  # fmt: skip
ALL_ABSENT = Check(
    "all_absent", "warning", "an image has a row without any landmark",
    "Annotate it, or remove its row and its line in the splits. If nothing is in the image, write absent in every field.",
    _without_points, rank=24,
)  # fmt: skip
ALWAYS_ABSENT = Check(
    "always_absent", "warning", "a landmark is absent in every image",
    "If it is only not annotated, leave its fields empty. Else remove it from dataset.yaml and the table.",
    _always_absent, rank=25,
)  # fmt: skip
