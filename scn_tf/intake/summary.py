"""What was understood, in a few lines for a person."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scn_tf.data.annotations import absent_of
from scn_tf.messages import cut, visible
from scn_tf.storage.files import counted

if TYPE_CHECKING:
    from scn_tf.intake.making import NewSet

SHOWN = 5  # names of a list
WIDTH = 14  # characters of the first column


def lines(plan: NewSet) -> list[str]:
    """One line per fact: the fact's name, then what was found."""
    return [f"{name:{WIDTH}s}{text}" for name, text in _facts(plan)]


def _facts(plan: NewSet) -> Iterable[tuple[str, str]]:
    gathered, points = plan.gathered, plan.annotations.points
    files = _names([part.path for part in gathered.parts])
    yield "annotations", f"{counted(len(files), 'file')} of format {gathered.row.name}: {listed(files)}"
    yield "images", _images(plan)
    stacked = np.stack(list(points.values()))
    absent = sum(int(absent_of(plan.annotations, image_id).sum()) for image_id in points)
    unknown = int(np.isnan(stacked).any(axis=-1).sum()) - absent
    names = plan.description["landmarks"]
    named = f": {listed(names)}" if isinstance(names, list) else ", without names"
    yield (
        "landmarks",
        f"{stacked.shape[1]} per image{named}{f'; {unknown} of {stacked.shape[0] * stacked.shape[1]} not annotated' if unknown else ''}",
    )
    if absent:
        yield "", f"{absent} of {stacked.shape[0] * stacked.shape[1]} absent from their image (`empty` unknown: take them as not annotated)"
    if plan.placeholders:
        yield "", f"{plan.placeholders} are -1,-1 or 0,0, which count as no point"
    yield "coordinates", f"{plan.decision.how} ({plan.decision.reason})"
    if gathered.flat:
        yield "", "z of the points is dropped: the images are 2D"
    if gathered.sides:
        yield "", f"{counted(len(gathered.sides), 'image')}: the points were set on a copy of another size, as the file states; scaled"
    yield "written as", "mm (LPS) of the images' headers" if plan.annotations.frame == "physical" else "pixels of the images"
    yield "pixel size", _spacing(plan)
    if pairs := plan.description.get("flip_pairs"):
        assert isinstance(pairs, list)
        assert isinstance(names, list)
        yield "left, right", f"{counted(len(pairs), 'pair')} by name: {listed([f'{names[a]} and {names[b]}' for a, b in pairs], 2)}"
    if plan.patients.source:
        yield "patients", f"{plan.patients.number}, by {plan.patients.source}; the images of one stay in one split"
    else:
        yield "patients", "every image counts as a patient of its own (`patient` names the part of the ID that tells them apart)"
    sizes = ", ".join(f"{name} {len(ids)}" for name, ids in plan.splits.items())
    yield "splits", f"{sizes} (seed {plan.seed})"
    yield from _left_out(plan)


def _names(paths: Sequence[Path]) -> list[str]:
    """Names of files, with their folders if names are equal."""
    names = [path.name for path in paths]
    if len({*names}) < len(names) > 1:
        above = os.path.commonpath([path.absolute().parent for path in paths])
        names = [os.path.relpath(path.absolute(), above) for path in paths]
    return list(map(visible, names))


def _images(plan: NewSet) -> str:
    looks = plan.gathered.looks.values()
    sizes = np.array([look.facts.size for look in looks])
    low, high = (" x ".join(map(str, side)) for side in (sizes.min(axis=0), sizes.max(axis=0)))
    colours = ", in colour" if plan.description.get("channels") == 3 else ""
    return f"{len(sizes)}, {plan.gathered.dims}D, {low if low == high else f'{low} to {high}'} pixels{colours}"


def _spacing(plan: NewSet) -> str:
    if (given := plan.description.get("spacing_mm")) is not None:
        assert isinstance(given, list)
        return f"{' x '.join(f'{mm:g}' for mm in given)} mm, as asked"
    found = [look.facts.spacing for look in plan.gathered.looks.values()]
    known = np.array([spacing for spacing in found if spacing is not None])
    if not len(known):
        return "not stated: errors will be in pixels (`spacing` states the mm)"
    low, high = (" x ".join(f"{mm:.4g}" for mm in side) for side in (known.min(axis=0), known.max(axis=0)))
    share = "the" if len(known) == len(found) else f"{len(known)} of {len(found)}"
    return f"{low if low == high else f'{low} to {high}'} mm, of {share} headers"


def _left_out(plan: NewSet) -> Iterable[tuple[str, str]]:
    gathered = plan.gathered
    if gathered.matched.unused:
        names = [visible(entry.name) for entry in gathered.matched.unused]
        yield "left out", f"{counted(len(names), 'annotation')} without an image: {listed(names)}"
    if gathered.matched.bare:
        names = [source.id for source in gathered.matched.bare]
        yield "left out", f"{counted(len(names), 'image')} without annotations: {listed(names)}"
    for path, reason in plan.found.skipped.items():
        yield "left out", f"{visible(str(path))}: {reason}"
    for line in gathered.unread[:SHOWN]:
        yield "left out", line.removesuffix(".")


def warnings(plan: NewSet) -> Iterable[str]:
    """Sentences on what will be a problem later."""
    gathered = plan.gathered
    for reason in gathered.failed.values():
        yield f"{reason.removesuffix('.')}. The image is left out."
    states = [look.facts.spacing is not None for look in gathered.looks.values()]
    if any(states) and not all(states) and "spacing_mm" not in plan.description:
        yield f"{states.count(False)} of the {len(states)} images state no pixel size, so errors would mix mm and pixels. Add `spacing`."
    if set(plan.splits["train"]) & set(plan.splits["val"]):
        yield "There is one image: it is in train and in val. Errors on it say nothing about new images."
    elif plan.patients.source and plan.patients.number == 1:
        yield "All images are of one patient: errors on val say little about new patients."
    if near_size(plan):
        yield (
            "Points lie at the image's last column or row plus one, none at 0. Are they counted from 1? The images do not tell; `first` 1 "
            "says so."
        )


def near_size(plan: NewSet) -> bool:
    """Whether pixels look as if the first one had number 1: some are equal to the image's side, and none is 0."""
    how = plan.decision.how
    if how.unit != "pixel" or how.first or how.bottom or how.set_on:
        return False
    high = low = False
    for image_id, points in plan.gathered.witness().points.items():
        values = points[np.isfinite(points).all(axis=1)]
        high = high or bool((values == np.array(plan.gathered.looks[image_id].facts.size)).any())
        low = low or bool((values < 1).any())
    return high and not low


def listed(names: Sequence[str], most: int = SHOWN) -> str:
    """The first names of a list, and the number of the others."""
    shown = cut(", ".join(names[:most]), 160)
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
