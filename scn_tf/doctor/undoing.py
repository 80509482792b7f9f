"""The points of one image with a usual mistake undone: another frame or unit, mirrored, inverted, shifted or exchanged names."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scn_tf import geometry
from scn_tf.data import evidence
from scn_tf.doctor import surroundings
from scn_tf.types import Array, Example

if TYPE_CHECKING:
    from scn_tf.doctor.inspection import Inspection

MOST_STARTS = 100  # of a shifted part of the list


@dataclass(frozen=True)
class Cause:
    """Likely mistake of one image. ``kind``: of the finding. ``text``: one sentence. ``fix``: None for that of the check."""

    kind: str
    text: str
    fix: str | None = None


class Undone(NamedTuple):
    """An image with a mistake undone: its cause, patches (N, P), and points (N, d) as they then stand."""

    cause: Cause
    patches: Array
    points: Array


def tries(inspection: "Inspection", log_scale: float, number: int) -> Iterator[Undone]:
    """One image with one mistake after the other undone, common ones first.

    Args:
        inspection: of the set.
        log_scale: logarithm of the size of its shape, of the usual size.
        number: of the image.
    """
    one, coordinates = inspection.examples[number], inspection.coordinates
    points = one["landmarks"]
    dims = points.shape[1]
    stated = surroundings.patches_at(one, points)
    yield Undone(Cause("inverted", "bright and dark are exchanged against the other images."), -stated, points)
    for frame, other in evidence.other_frames(one, coordinates):
        yield Undone(_of_frame(frame, coordinates), surroundings.patches_at(one, other), other)
    for axes, name in (((0,), "left and right"), ((1,), "top and bottom"), ((0, 1), "turned by 180 degrees:")):
        text = "the image alone is turned by 180 degrees" if len(axes) > 1 else f"{name} of the image are exchanged"
        patches = surroundings.patches_at(one, points, flipped=axes)
        yield Undone(Cause("image_mirrored", f"{text}, but not of its points."), patches, points)
        if len(axes) == 1:
            other = surroundings.mirrored(points, axes, dims)
            text = f"image and points are mirrored ({name} exchanged) against the other images, as a right hand among left ones."
            yield Undone(Cause("mirrored", text), surroundings.patches_at(one, other, flipped=axes), other)
    for shift in (1, -1):
        order = np.roll(np.arange(len(points)), shift)
        text = f"the list of its landmarks is shifted by one ({inspection.names[0]} stands where {inspection.names[order[0]]} belongs)."
        back = np.argsort(order)
        yield Undone(Cause("names_shifted", text), stated[back], points[back])
    yield from _partly_shifted(inspection, stated, points)
    exchange = exchanged_sides(inspection)
    if exchange is not None:
        text = "the names of its left and right landmarks are exchanged."
        yield Undone(Cause("sides_exchanged", text), stated[exchange], points[exchange])
    yield from _scaled(inspection, log_scale, number)


def _partly_shifted(inspection: "Inspection", stated: Array, points: Array) -> Iterator[Undone]:
    """Points whose list is shifted by one from some landmark on."""
    count = len(points)
    for start in range(1, min(count - 2, MOST_STARTS)):
        for shift in (1, -1):
            order = np.concatenate([np.arange(start), start + np.roll(np.arange(count - start), shift)])
            back = np.argsort(order)
            text = f"from {inspection.names[start]} on, the list of its landmarks is shifted by one."
            yield Undone(Cause("names_shifted", text), stated[back], points[back])


def _scaled(inspection: "Inspection", log_scale: float, number: int) -> Iterator[Undone]:
    """Points of other units: the factors of the pixel size, of the image's size, and that of the usual size of a shape."""
    one = inspection.examples[number]
    pixels = geometry.apply(np.linalg.inv(_input_from_pixel(one)), one["landmarks"])
    factors: list[tuple[str, Array]] = []
    if np.isfinite(one["spacing"]).all():
        factors.append(("multiplied by the pixel size", 1.0 / one["spacing"]))
        factors.append(("divided by the pixel size", np.asarray(one["spacing"])))
    if abs(log_scale) > 0.1:
        factor = np.exp(-log_scale)
        factors.append(
            (f"{1 / factor:.3g} times as large as usual: mm for pixels, or of a copy of another size", np.full(len(one["size"]), factor))
        )
    factors.append(("fractions of the image (0 to 1)", np.asarray(one["size"])))
    factors.append(("percent of the image", np.asarray(one["size"]) / 100.0))
    for text, factor in factors:
        other = geometry.apply(_input_from_pixel(one), pixels * factor)
        yield Undone(Cause("unit", f"its points seem to be {text}."), surroundings.patches_at(one, other), other)


def _input_from_pixel(one: Example) -> Array:
    """Matrix (d + 1, d + 1) from pixels of the image, axes as loaded, to pixels of its small copy."""
    dims = len(one["size"])
    matrix = np.eye(dims + 1)
    matrix[:dims, :dims] = np.diag(1.0 / one["file_per_pixel"])
    matrix[:dims, -1] = evidence.first_pixel(one)
    return matrix


def _of_frame(frame: evidence.Frame, coordinates: str) -> Cause:
    kind, detail = frame
    cause, fix = evidence.explain(frame, coordinates)
    kinds = {"reverse": "xy_exchanged", "negate": "other_frame", "mm": "unit", "index": "unit", "scale": "unit", "square": "unit"}
    if kind == "flip" and detail == (1,) and coordinates == "pixel":
        name = "y_from_bottom"
    elif kind == "flip":
        name = "points_mirrored" if len(detail) == 1 else "turned"
    else:
        name = kinds.get(kind, "other_frame")
    return Cause(name, cause, fix.replace("in the table", "in its row"))


def exchanged_sides(inspection: "Inspection") -> Array | None:
    """Order (N,) of the landmarks with left and right exchanged, by ``flip_pairs`` or the names. None if no sides are known."""
    description = inspection.folder.description
    if description is None:
        return None
    if description.flip_pairs:
        return np.array(description.exchange)
    places = {name.lower(): number for number, name in enumerate(description.names)}
    order = np.arange(len(description.names))
    for name, number in places.items():
        for one, other in (("left", "right"), ("_l", "_r"), ("l_", "r_"), ("-l", "-r")):
            for pair in ((one, other), (other, one)):
                changed = name.replace(*pair)
                whole = pair[0] in ("left", "right") or (name.endswith(pair[0]) if pair[0][0] in "_-" else name.startswith(pair[0]))
                if changed != name and whole and changed in places:
                    order[number] = places[changed]
    return order if (order != np.arange(len(order))).any() and (order[order] == np.arange(len(order))).all() else None
