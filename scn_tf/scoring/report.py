"""``report.html`` of an evaluation: figures, tables and the worst images with true and found points, in one file."""

import base64
import html
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from scn_tf import geometry
from scn_tf.data.dataset import Dataset
from scn_tf.figures import pictures, sheets
from scn_tf.messages import cut, visible
from scn_tf.scoring import scores
from scn_tf.types import Array

WORST_IMAGES, WORST_POINTS, LISTED_POINTS = 6, 6, 10
STYLE = (
    "body{font:15px sans-serif;max-width:64em;margin:2em auto;padding:0 1em}td,th{padding:.2em .8em;text-align:right}"
    "table{border-collapse:collapse}tr:nth-child(even){background:#eee}figure{display:inline-block;margin:.4em;vertical-align:top}"
    "figure img{max-width:100%}figcaption{font-size:13px;max-width:30em}"
)


class Evaluated(NamedTuple):
    """Result of an evaluation.

    ``own``: points (I, N, d) in the set's own coordinates. ``errors``: (I, N) in ``unit``, NaN for points that are not annotated.
    ``trained``: (N,) bool. ``percent``: errors (I, N) relative to a length of the image.
    """

    ids: Sequence[str]
    names: Sequence[str]
    own: Array
    errors: Array
    unit: str
    trained: Array
    percent: Array | None


def write(title: str, summary: dict[str, Any], found: Evaluated, dataset: Dataset, curve: bytes) -> str:
    """HTML text of the report. Images are read again, one at a time.

    Args:
        title: of the page.
        summary: of :func:`scn_tf.scoring.scores.summarize`.
        found: points and errors.
        dataset: the evaluated data set.
        curve: PNG of the errors' distribution.
    """
    rows = scores.per_landmark(found.names, found.errors, found.unit, errors_percent=found.percent, trained=found.trained)
    worst = [("image", "landmark", f"error ({found.unit})")]
    worst += [
        (found.ids[i], found.names[n], f"{found.errors[i, n]:.2f}") for i, n in worst_points(found.errors, found.trained, LISTED_POINTS)
    ]
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{_text(title)}</title><style>{STYLE}</style>"
        f"<h1>{_text(title)}</h1><pre>{html.escape(scores.table(summary))}</pre>"
        f"{_picture(curve, 'png', 'cumulative error distribution', '')}"
        f"<h2>Worst images</h2><p>True points are green (+), found ones red (x).</p>{_images(found, dataset)}"
        f"<h2>Landmarks</h2>{_table(rows)}<h2>Largest errors</h2>{_table(worst)}</html>\n"
    )


def worst_images(errors: Array, trained: Array, most: int) -> list[int]:
    """Numbers of the images with the largest mean errors, worst first. Images without annotated points are left out."""
    shown = np.where(trained, errors, np.nan)
    measured = np.any(np.isfinite(shown), axis=1)
    means = np.full(len(errors), -np.inf)
    means[measured] = np.nanmean(shown[measured], axis=1)
    return [int(number) for number in np.argsort(-means, kind="stable")[:most] if measured[number]]


def worst_points(errors: Array, trained: Array, most: int) -> list[tuple[int, int]]:
    """(image, landmark) numbers of the largest errors, worst first."""
    shown = np.where(trained & np.isfinite(errors), errors, -1.0)
    order = np.argsort(-shown, axis=None, kind="stable")[:most]
    images, landmarks = np.unravel_index(order, errors.shape)
    return [pair for pair in zip(images.tolist(), landmarks.tolist(), strict=True) if shown[pair] >= 0]


def _images(found: Evaluated, dataset: Dataset) -> str:
    """Figures of the worst images and of the worst points, HTML."""
    whole = worst_images(found.errors, found.trained, WORST_IMAGES)
    single = worst_points(found.errors, found.trained, WORST_POINTS)
    parts: dict[int | tuple[int, int], str] = {}  # of images and of points
    for number in dict.fromkeys([*whole, *(image for image, _ in single)]):  # every image is read once
        image_id = found.ids[number]
        image = dataset.read(image_id)
        array_from_own = dataset.array_from_own(image)
        truth = np.where(found.trained[:, None], geometry.apply(array_from_own, dataset.landmarks[image_id]), np.nan)
        points = geometry.apply(array_from_own, found.own[number])
        pixel_size = dataset.pixel_size(image)
        errors = np.where(found.trained, found.errors[number], np.nan)
        if number in whole:
            labels = [name if error >= 2 * np.nanmean(errors) else "" for name, error in zip(found.names, errors, strict=True)]
            caption = f"{_name(image_id)}: mean error {np.nanmean(errors):.2f} {found.unit}, largest {np.nanmax(errors):.2f}"
            parts[number] = _picture(sheets.compared(image.array, truth, points, labels, pixel_size), "jpeg", image_id, caption)
        for place, landmark in [pair for pair in single if pair[0] == number]:
            caption = f"{_name(image_id)}, {_name(found.names[landmark])}: {errors[landmark]:.2f} {found.unit}"
            picture = sheets.close_up(image.array, truth, points, landmark, found.names, pixel_size)
            parts[place, landmark] = _picture(picture, "jpeg", found.names[landmark], caption)
    return "".join(parts[key] for key in whole) + "<h2>Worst points</h2>" + "".join(parts[key] for key in single)


def _picture(content: bytes, kind: str, alternative: str, caption: str) -> str:
    encoded = base64.b64encode(content).decode()
    image = f'<img alt="{_text(alternative)}" src="data:image/{kind};base64,{encoded}">'
    return f"<figure>{image}<figcaption>{_text(caption)}</figcaption></figure>"


def _table(rows: Iterable[Sequence[object]]) -> str:
    head, *body = rows
    cells = "".join(f"<th>{_text(cell)}</th>" for cell in head)
    lines = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in body)
    return f"<table><tr>{cells}</tr>{lines}</table>"


def _name(text: str) -> str:
    return cut(visible(str(text)), 80)


def _text(value: object) -> str:
    return html.escape(visible(str(value)), quote=True)


def curve(errors: Array, unit: str, label: str) -> bytes:
    """PNG of the cumulative distribution of errors (I, N), which may contain NaN."""
    return pictures.png(pictures.error_curve(errors[np.isfinite(errors)], unit=unit, label=cut(visible(label), 80)))
