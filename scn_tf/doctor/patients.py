"""Which images are of one patient, as far as their IDs or DICOM headers tell."""

import re
from collections import defaultdict
from collections.abc import Iterable

from scn_tf.doctor.picture import Picture

MOST_IMAGES = 12  # of one patient: a name that more images share is that of a study or a device
MOST_SHARE = 0.4  # of all images, if there are more than a few
SEVERAL = 2  # images that may share an ID whatever their share of the set
# What follows a patient's ID in names such as p012_left, 1234_1, 17-b, A03_pre, 12_visit2, 0815.ap
SIDES = r"left|right|l|r|li|re|links|rechts|ap|pa|lat|lateral|frontal|os|od|sin|dex"
TIMES = (
    r"pre|post|baseline|followup|follow-up|fu|bl|"
    r"(?:visit|scan|img|image|view|slice|time|session|ses|series|exam|study|week|month|year|day|v|t|s|m|w|y)[-_]?\d{1,4}"
)
ENDING = re.compile(rf"^(?P<patient>.*?\d.*?|.*?\d)[-_. ]+(?:(?:{SIDES}|{TIMES}|[a-d]|\d{{1,2}})(?:[-_. ]+|$))+$", re.IGNORECASE)
NAMED = re.compile(r"^(?P<patient>(?:sub|subj|subject|pat|patient|pt|p|case|person|participant)[-_]?\d+)[-_. ]+.+$", re.IGNORECASE)


def patients(pictures: Iterable[Picture]) -> dict[str, list[str]]:
    """Patient -> IDs of the images, for patients with two or more images."""
    pictures = list(pictures)
    for keys in ({picture.image_id: picture.patient for picture in pictures}, {p.image_id: of_name(p.image_id) for p in pictures}):
        groups: defaultdict[str, list[str]] = defaultdict(list)
        for image_id, patient in keys.items():
            if patient:
                groups[patient].append(image_id)
        # An ID that stands for the patient alone belongs to the group, too: 1234 beside 1234_1.
        for image_id in keys:
            if image_id in groups and image_id not in groups[image_id]:
                groups[image_id].append(image_id)
        found = {patient: ids for patient, ids in groups.items() if len(ids) > 1 and _is_plausible(len(ids), len(pictures))}
        if found:
            return found
    return {}


def of_name(image_id: str) -> str:
    """Patient's part of an ID, empty if the ID has no such part."""
    match = NAMED.match(image_id) or ENDING.match(image_id)
    return match["patient"].rstrip("-_. ") if match else ""


def _is_plausible(count: int, total: int) -> bool:
    return count <= SEVERAL or (count <= MOST_IMAGES and count <= MOST_SHARE * total)
