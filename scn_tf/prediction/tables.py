"""Tables of predictions from a journal: CSV, JSON, and the annotations for formats with one file for all images."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scn_tf import __version__
from scn_tf.data.annotations import Annotations
from scn_tf.data.images.facts import ImageFacts
from scn_tf.measurements import Measured
from scn_tf.messages import visible
from scn_tf.prediction.steps import Prediction
from scn_tf.storage import files, tables
from scn_tf.types import Array, Estimates

ENDINGS = (".csv", ".json")
DIGITS = 4  # of coordinates and scores in JSON


class Found(NamedTuple):
    """What is kept of a prediction.

    ``points`` (N, d), ``scores`` (N,), ``coordinates``, ``measurements`` and ``estimates`` are those of
    :class:`scn_tf.predict.Prediction`.
    ``facts`` are of the image.
    """

    id: str
    points: Array
    scores: Array
    coordinates: str
    facts: ImageFacts
    measurements: Measured
    estimates: Estimates | None


class Written(NamedTuple):
    """Facts of all predictions of a table.

    Attributes:
        model: name of the data set of the model.
        checksum: SHA-256 of the model.
        names: N landmark names.
        dims: 2 or 3.
        left_out: one reason per image without a prediction.
    """

    model: str
    checksum: str
    names: tuple[str, ...]
    dims: int
    left_out: list[str]


def record(image_id: str, prediction: Prediction, facts: ImageFacts) -> dict[str, Any]:
    """What is kept of a prediction, JSON values. :func:`restored` reads it."""
    frame = facts.physical_from_pixel
    return {
        "id": image_id,
        "points": np.asarray(prediction.landmarks, float).tolist(),
        "scores": np.asarray(prediction.scores, float).tolist(),
        "coordinates": prediction.coordinates,
        "size": list(facts.size),
        "spacing": None if facts.spacing is None else list(facts.spacing),
        "frame": None if frame is None else frame.tolist(),
        "plane": None if facts.plane is None else facts.plane.tolist(),
        "measurements": prediction.measurements,
        "estimates": _estimates_as_json(prediction.estimates),
    }


def _estimates_as_json(estimates: Estimates | None) -> dict[str, Any] | None:
    if estimates is None:
        return None
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in estimates._asdict().items()}


def _estimates(values: dict[str, Any] | None) -> Estimates | None:
    if values is None:
        return None
    arrays = {name: np.array(value) for name, value in values.items() if isinstance(value, list)}
    return Estimates(**{**values, **arrays})


def restored(values: dict[str, Any], path: Path, series: str | None = None) -> Found:
    """A prediction from the journal's values; ``path`` and ``series`` are those of the image."""
    spacing, frame, plane = values["spacing"], values["frame"], values["plane"]
    facts = ImageFacts(
        path,
        tuple(values["size"]),
        None if spacing is None else tuple(spacing),
        None if frame is None else np.array(frame, float),
        series,
        None if plane is None else np.array(plane, float),
    )
    points, scores = np.array(values["points"], float), np.array(values["scores"], float)
    return Found(values["id"], points, scores, values["coordinates"], facts, values["measurements"], _estimates(values.get("estimates")))


def write(path: Path, found: Iterable[Found], about: Written, origin: Callable[[Path], str] = str) -> None:
    """Write a table, CSV or JSON by its ending, image by image. ``origin`` gives the name of an image file in JSON.

    Raises:
        WriteError: the file cannot be written.
    """
    lines = _json_lines(found, about, origin) if path.suffix.lower() == ".json" else _csv_lines(found, about)
    with files.replaced(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(lines)


def annotations(found: Iterable[Found], names: tuple[str, ...]) -> tuple[Annotations, dict[str, ImageFacts]]:
    """Predictions as annotations, with the facts of their images by ID. All are in the same coordinates.

    A landmark that the model states to be absent is so there, without a point. Its coordinates are in the tables alone.
    """
    all_found = list(found)
    absent = {one.id: ~one.estimates.present for one in all_found if one.estimates is not None and one.estimates.present is not None}
    physical = any(one.coordinates == "physical" for one in all_found)
    result = Annotations(
        points={one.id: np.where(absent[one.id][:, None], np.nan, one.points) if one.id in absent else one.points for one in all_found},
        rows=dict.fromkeys((one.id for one in all_found), 1),
        names=names,
        frame="physical" if physical else "pixel",
        images={one.id: one.facts.path.name for one in all_found},
        sizes={one.id: one.facts.size for one in all_found},
        scores={one.id: one.scores for one in all_found},
        absent=absent,
        estimates={one.id: one.estimates for one in all_found if one.estimates is not None},
    )
    return result, {one.id: one.facts for one in all_found}


def _csv_lines(found: Iterable[Found], about: Written) -> Iterator[str]:
    return tables.point_lines(((one.id, one.points, one.scores, one.estimates) for one in found), about.names, about.dims)


def _json_lines(found: Iterable[Found], about: Written, origin: Callable[[Path], str]) -> Iterator[str]:
    """One line per image, so that a reader of lines needs little memory."""
    head = {
        "scn_tf": __version__,
        "kind": "predictions",
        "model": about.model,
        "model_sha256": about.checksum,
        "dims": about.dims,
        "landmarks": list(about.names),
    }
    yield json.dumps(head)[:-1] + ', "images": ['
    comma = "\n"
    for one in found:
        yield comma + json.dumps(image_as_json(one, about, origin))
        comma = ",\n"
    yield f'\n], "left_out": {json.dumps(about.left_out)}}}\n'


def image_as_json(one: Found, about: Written, origin: Callable[[Path], str] = str) -> dict[str, Any]:
    """An image of a JSON table. ``origin`` gives the name of its file."""
    axes = ("x", "y", "z")[: about.dims]
    landmarks = []
    for number, (name, point, score) in enumerate(zip(about.names, one.points, one.scores, strict=True)):
        place = {axis: round(float(value), DIGITS) for axis, value in zip(axes, point, strict=True)}
        landmarks.append({"name": name, **place, "score": float(f"{score:.5g}"), **_json_point(one.estimates, number)})
    return {
        "id": one.id,
        "file": visible(origin(one.facts.path)),
        "coordinates": one.coordinates,
        "unit": "mm" if one.coordinates == "physical" else "px",
        "size": list(one.facts.size),
        "landmarks": landmarks,
        **({"measurements": one.measurements} if one.measurements else {}),
        **_json_estimates(one.estimates),
    }


def _json_point(estimates: Estimates | None, number: int) -> dict[str, Any]:
    """Estimates of one landmark."""
    if estimates is None:
        return {}
    found: dict[str, Any] = {name: round(float(getattr(estimates, name)[number]), DIGITS) for name in ("expected_error", "radius95")}
    if estimates.ellipse95 is not None:
        found["ellipse95"] = estimates.ellipse95[number].round(DIGITS).tolist()
    flags = {name: bool(values[number]) for name in ("present", "misplaced") if (values := getattr(estimates, name)) is not None}
    return {**found, **flags}


def _json_estimates(estimates: Estimates | None) -> dict[str, Any]:
    """Estimates of the image. ``error_unit`` is that of its landmarks' errors, which may differ from that of their coordinates."""
    if estimates is None:
        return {}
    return {"error_unit": estimates.unit, **({} if estimates.image_ok is None else {"image_ok": estimates.image_ok})}
