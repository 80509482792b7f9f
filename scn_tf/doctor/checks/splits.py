"""Splits: lists that overlap, name unknown images or are too short, patients in several, landmarks that are never trained."""

import itertools
from collections.abc import Iterator

import numpy as np

from scn_tf.data.coverage import FEW, MANY_IMAGES
from scn_tf.doctor.finding import Check, Found
from scn_tf.doctor.folder import shown
from scn_tf.doctor.inspection import Inspection
from scn_tf.doctor.patients import patients

ROLES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test", "testing": "test"}
FEW_TRAIN, FEW_VAL = 10, 3
MANY_SHARED = 10  # images of two lists that are one finding


def split_of(inspection: Inspection) -> dict[str, str]:
    """ID -> the first of train, val and test that lists it. Other lists may be parts of these."""
    found: dict[str, str] = {}
    for name, ids in inspection.folder.splits.items():
        if role := ROLES.get(name.lower()):
            for image_id in ids:
                found.setdefault(image_id, role)
    return found


def _overlap(inspection: Inspection) -> Iterator[Found]:
    named = [(name, ids) for name, ids in inspection.folder.splits.items() if name.lower() in ROLES]
    for (first, ids), (second, others) in itertools.combinations(named, 2):
        if ROLES[first.lower()] == ROLES[second.lower()]:
            continue
        shared = sorted(set(ids) & set(others))
        if len(shared) > MANY_SHARED:
            yield Found(f"{first}.txt and {second}.txt share {len(shared)} images, the first: {shown(shared[0])}.")
            continue
        for image_id in shared:
            yield Found(f"{shown(image_id)} is in {first}.txt and in {second}.txt.", image_id)


def _without(inspection: Inspection, *, row: bool) -> Iterator[Found]:
    folder = inspection.folder
    if not (folder.landmarks if row else folder.files):
        return  # said once: there is no table, or no folder of images
    for name, ids in folder.splits.items():
        for image_id in ids:
            has_row, has_file = image_id in folder.landmarks, image_id in folder.files
            if (has_row or has_file) and not (has_row if row else has_file):
                what = f"has no row in {folder.table_name}" if row else "has no image file"
                yield Found(f"splits/{name}.txt: {shown(image_id)} {what}.", image_id)


def _few(inspection: Inspection) -> Iterator[Found]:
    usable = set(inspection.ids)
    for name, least in (("train", FEW_TRAIN), ("val", FEW_VAL)):
        ids = inspection.folder.splits.get(name)
        if ids is not None and (count := len(usable & set(ids))) < least:
            yield Found(f"{name} has {count} images with landmarks; results are uncertain with fewer than {least}.")


def _patients(inspection: Inspection) -> Iterator[Found]:
    splits = split_of(inspection)
    for patient, ids in patients(inspection.pictures.values()).items():
        places = {image_id: splits[image_id] for image_id in ids if image_id in splits}
        if len(set(places.values())) < 2:
            continue
        listed = ", ".join(f"{shown(image_id)} ({place})" for image_id, place in list(places.items())[:4])
        usual = "train" if "train" in places.values() else next(iter(places.values()))
        for image_id, place in places.items():
            if place != usual:
                yield Found(f"patient {shown(patient)} is in several splits: {listed}.", image_id)


def _never_trained(inspection: Inspection) -> Iterator[Found]:
    folder = inspection.folder
    train = [folder.landmarks[image_id] for image_id in folder.splits.get("train", []) if image_id in folder.landmarks]
    if not train or (folder.description and folder.description.labels and not any(np.isfinite(one).any() for one in train)):
        return
    counts = np.isfinite(np.stack(train)).all(axis=2).sum(axis=0)
    for name, count in zip(inspection.names, counts, strict=True):
        if count == 0:
            yield Found(f"no training image has landmark {shown(name)}: the model cannot learn it.", landmark=name)
        elif count <= FEW and len(train) >= MANY_IMAGES:
            yield Found(f"{count} of {len(train)} training images have landmark {shown(name)}: expect large errors.", landmark=name)


MISSING = Check(
    "missing_split", "error", "there is no list of training or validation images",
    "Write one ID per line into splits/train.txt and splits/val.txt.",
    lambda inspection: inspection.problems("missing_split"), rank=5,
)  # fmt: skip
SPLIT_FILE = Check(
    "split_file", "error", "a list cannot be read",
    "Save it as plain text (UTF-8), one ID per line.",
    lambda inspection: inspection.problems("split_file"), rank=5,
)  # fmt: skip
UNKNOWN = Check(
    "unknown_id", "error", "a list names an image that does not exist",
    "Correct or remove the line. An ID is the name of the image file without its ending.",
    lambda inspection: inspection.problems("unknown_id"), rank=6,
)  # fmt: skip
TWICE = Check(
    "listed_twice", "error", "a list names an image twice",
    "Remove one of the two lines.",
    lambda inspection: inspection.problems("listed_twice"), rank=7,
)  # fmt: skip
OVERLAP = Check(
    "split_overlap", "error", "an image is in two of the lists train, val and test, so its error says nothing about new images",
    "Remove its line from one of the two lists.",
    _overlap, rank=8,
)  # fmt: skip
LISTED_WITHOUT_ROW = Check(
    "listed_without_row", "error", "a list names an image that has no row",
    "Annotate it, or remove its line from the list.",
    lambda inspection: _without(inspection, row=True), rank=9,
)  # fmt: skip
LISTED_WITHOUT_IMAGE = Check(
    "listed_without_image", "error", "a list names a row that has no image",
    "Add the image, or remove its line from the list.",
    lambda inspection: _without(inspection, row=False), rank=9,
)  # fmt: skip
PATIENT = Check(
    "patient_in_two_splits", "error", "images of one patient are in different splits, as their IDs or DICOM headers tell",
    "Put all images of a patient into one list. scn-tf init does so.",
    _patients, rank=10,
)  # fmt: skip
FEW_IMAGES = Check(
    "few_images", "warning", "a split has very few images",
    "Annotate more images, or move some from one list to the other.",
    _few, rank=30,
)  # fmt: skip
NEVER_TRAINED = Check(
    "landmark_not_trained", "warning", "no training image, or hardly one, has a landmark",
    "Annotate it, move images that have it into splits/train.txt, or remove the landmark from dataset.yaml and the table.",
    _never_trained, rank=31,
)  # fmt: skip
