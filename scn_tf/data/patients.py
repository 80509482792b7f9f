"""Images of one patient, as far as names or headers tell. A new split keeps them together, and a check looks for them in two splits."""

import re
from collections import defaultdict
from collections.abc import Mapping

MOST_IMAGES = 12  # of one patient: a name that more images share is that of a study or a device
MOST_SHARE = 0.4  # of all images, if there are more than a few
SEVERAL = 2  # images that may share a patient whatever their share of the set
MAX_NAME = 200  # characters that are looked at
# What follows a patient's ID in names such as p012_left, 1234_1, 17-b, A03_pre, 12_visit2, 0815.ap
SIDES = r"left|right|l|r|li|re|links|rechts|ap|pa|lat|lateral|front|frontal|side|os|od|sin|dex"
TIMES = (
    r"pre|post|baseline|followup|follow-up|fu|bl|"
    r"(?:visit|scan|img|image|view|slice|time|session|ses|series|exam|study|week|month|year|day|v|t|s|m|w|y)[-_]?\d{1,4}"
)
ENDING = re.compile(rf"^(?P<patient>.*?\d.*?|.*?\d)[-_. ]+(?:(?:{SIDES}|{TIMES}|[a-d]|\d{{1,2}})(?:[-_. ]+|$))+$", re.IGNORECASE)
NAMED = re.compile(r"^(?P<patient>(?:sub|subj|subject|pat|patient|pt|p|case|person|participant)[-_]?\d+)[-_. ]+.+$", re.IGNORECASE)


def of_name(image_id: str) -> str | None:
    """Patient's part of an image ID; None if it has no such part."""
    match = NAMED.match(image_id[:MAX_NAME]) or ENDING.match(image_id[:MAX_NAME])
    return match["patient"].rstrip("-_. ") or None if match else None


def grouped(patient_of: Mapping[str, str | None]) -> dict[str, list[str]]:
    """Patients with two or more images.

    Args:
        patient_of: image ID -> patient, None if unknown.

    Returns:
        patient -> image IDs. A group that is too large for one patient is left out.
    """
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for image_id, patient in patient_of.items():
        if patient:
            groups[patient].append(image_id)
    for image_id in patient_of:  # an ID that stands for the patient alone: 1234 beside 1234_1
        if image_id in groups and image_id not in groups[image_id]:
            groups[image_id].append(image_id)
    total = len(patient_of)
    return {patient: ids for patient, ids in groups.items() if len(ids) > 1 and _is_plausible(len(ids), total)}


def _is_plausible(count: int, total: int) -> bool:
    return count <= SEVERAL or (count <= MOST_IMAGES and count <= MOST_SHARE * total)
