"""Splits of a data set by a seed, with the images of one patient together: train, val and test, or parts of equal size."""

from collections.abc import Mapping

import numpy as np

SHARE = 0.15  # of val, and of test
SHARE_OF_TWO = 0.2  # of val without test
LEAST_FOR_TEST = 20  # images


def split(patients: Mapping[str, str], seed: int) -> dict[str, list[str]]:
    """Draw the splits.

    Args:
        patients: image ID -> patient, in the order of the table.
        seed: seed of the draw.

    Returns:
        name -> IDs in that order. With fewer than 20 images there is no ``test``. A single image is in ``train`` and in ``val``.
    """
    ids = list(patients)
    if len(ids) == 1:
        return {"train": ids, "val": ids}
    groups: dict[str, list[str]] = {}
    for image_id, patient in patients.items():
        groups.setdefault(patient, []).append(image_id)
    if len(groups) == 1:  # nothing to keep together
        groups = {image_id: [image_id] for image_id in ids}
    order = np.random.default_rng(seed).permutation(len(groups))
    waiting = [list(groups.values())[number] for number in order]
    names = {"val": SHARE, "test": SHARE} if len(ids) >= LEAST_FOR_TEST and len(groups) > 2 else {"val": SHARE_OF_TWO}
    chosen: dict[str, set[str]] = {}
    for name, share in names.items():
        wanted = max(1, round(share * len(ids)))
        chosen[name] = set(_fill(waiting, wanted, keep=len(names) - len(chosen)))
    chosen = {"train": {image_id for group in waiting for image_id in group}, **chosen}
    return {name: [image_id for image_id in ids if image_id in those] for name, those in chosen.items()}


def folds(patients: Mapping[str, str], count: int, seed: int) -> list[list[str]]:
    """Draw parts of about equal size. The images of one patient are in one part.

    Args:
        patients: image ID -> patient.
        count: number of parts.
        seed: seed of the draw.

    Returns:
        IDs of each part, in the given order. Fewer patients than ``count`` leave parts empty.
    """
    groups: dict[str, list[str]] = {}
    for image_id, patient in patients.items():
        groups.setdefault(patient, []).append(image_id)
    shuffled = [list(groups.values())[number] for number in np.random.default_rng(seed).permutation(len(groups))]
    parts: list[set[str]] = [set() for _ in range(count)]
    for group in sorted(shuffled, key=len, reverse=True):  # the largest first: small ones then fill up
        min(parts, key=len).update(group)
    return [[image_id for image_id in patients if image_id in part] for part in parts]


def _fill(waiting: list[list[str]], wanted: int, *, keep: int) -> list[str]:
    """Take groups until there are about ``wanted`` images. At least ``keep`` groups remain."""
    taken: list[str] = []
    for group in list(waiting):
        if len(waiting) <= keep:
            break
        if not taken or len(taken) + len(group) / 2 <= wanted:
            taken += group
            waiting.remove(group)
        if len(taken) >= wanted:
            break
    return taken
