"""Images that are in the set twice."""

from collections.abc import Iterator

from scn_tf.doctor.checks.splits import split_of
from scn_tf.doctor.finding import Check, Found, Severity
from scn_tf.doctor.folder import shown
from scn_tf.doctor.inspection import Inspection

HOW = {
    "file": "is the same file as",
    "pixels": "has the same pixels as",
    "near": "shows the same as",
}


def _copies(inspection: Inspection, *, near: bool, across: bool) -> Iterator[Found]:
    splits = split_of(inspection)
    for first, second, how, correlation, mirrored in inspection.copies:
        places = splits.get(first), splits.get(second)
        is_across = None not in places and places[0] != places[1]
        if (how == "near") != near or is_across != across:
            continue
        # The copy that is not trained on is named: it is the one to remove.
        image, other = (second, first) if places[1] != "train" or not is_across else (first, second)
        where = {image_id: f" ({splits[image_id]})" if image_id in splits else "" for image_id in (image, other)}
        how_near = f", correlation {correlation:.2f}{', mirrored' if mirrored else ''}" if near else ""
        yield Found(f"{shown(image)}{where[image]} {HOW[how]} {shown(other)}{where[other]}{how_near}.", image)


def _row(name: str, severity: Severity, meaning: str, fix: str, *, near: bool, across: bool, rank: int) -> Check:
    return Check(name, severity, meaning, fix, lambda inspection: _copies(inspection, near=near, across=across), rank)


ACROSS = _row(
    "duplicate_across_splits", "error", "one image is in two splits under two IDs",
    "Remove one of the two: its file, its row and its line in the split.", near=False, across=True, rank=11,
)  # fmt: skip
NEAR_ACROSS = _row(
    "near_duplicate_across_splits", "error", "an image in another split is a copy: saved again, resized, brightened or mirrored",
    "Look at both. If they are one image, remove one: its file, its row and its line in the split.", near=True, across=True, rank=12,
)  # fmt: skip
DUPLICATE = _row(
    "duplicate", "warning", "one image is in the set twice under two IDs",
    "Remove one of the two: its file, its row and its line in the split.", near=False, across=False, rank=32,
)  # fmt: skip
NEAR = _row(
    "near_duplicate", "warning", "an image is a copy of another one: saved again, resized, brightened or mirrored",
    "Look at both. If they are one image, remove one: its file, its row and its line in the split.", near=True, across=False, rank=33,
)  # fmt: skip
