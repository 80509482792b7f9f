"""The images most in need of a human: pictures, worst first, and a table with the reasons."""

import contextlib
import csv
import heapq
import itertools
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scn_tf.data.images import Source, shown
from scn_tf.errors import ConfigError, WriteError
from scn_tf.prediction import outputs as beside
from scn_tf.prediction.outputs import Outputs
from scn_tf.prediction.streaming import stream
from scn_tf.prediction.tables import Found
from scn_tf.runs.info import ModelInfo
from scn_tf.storage import files, tables
from scn_tf.types import Array, Estimates, Locate, Vector
from scn_tf.uncertainty.doubt import TIMES

TABLE = "review.csv"
COLUMNS = ("rank", "id", "picture", "reasons")
PICTURE = re.compile(r"\d{3,}_[^/\\]+\.png")
COUNT = 20
STRIKING = 4.0  # a landmark taken for absent, or a misplaced point, needs a look like an error four times as large as usual
LISTED = 3  # landmarks in the reasons of an image
UNLIKE = "not like the training images"


class Review(NamedTuple):
    """What to write. Fields:

    * ``folder``: of the pictures and the table.
    * ``images``: how many to show at most.
    """

    folder: Path
    images: int = COUNT

    def picture(self, rank: int, image_id: str) -> str:
        """Name of a picture. Names sort in the order of ranks."""
        return f"{rank:0{max(3, len(str(self.images)))}d}_{image_id}.png"


def chosen(folder: Path | None, count: int | None) -> Review | None:
    """The review of a command's options.

    Raises:
        ConfigError: there is no folder for it, or no image to show.
    """
    if folder is None:
        if count is not None:
            raise ConfigError("`review_count`: needs `review`, a folder.")
        return None
    if count is not None and count < 1:
        raise ConfigError(f"`review_count`: expected at least 1 image, received {count}.")
    return Review(folder, COUNT if count is None else count)


def check(review: Review, outputs: Outputs, image_ids: Sequence[str], out: Path) -> None:
    """Check before any work that all files can be written.

    Raises:
        WriteError: the folder is that of other outputs, holds other programs' files of these names, or is not writable.
    """
    folder = os.path.realpath(review.folder)
    for other, option in ((outputs.overlay, "overlay"), (outputs.folder, "to_dir")):
        if other is not None and os.path.realpath(other) == folder:
            raise WriteError(f"{review.folder}: is also the folder of `{option}`; choose another `review` folder.")
    if os.path.realpath(out) == os.path.join(folder, TABLE):
        raise WriteError(f"{out}: is also the table of `review`; choose another `out`.")
    files.make_folder(review.folder)
    beside.check_own([review.folder / TABLE, *_pictures(review.folder)], "review")
    _earlier(review.folder)
    files.check_writable(review.folder / TABLE)
    if image_ids:
        files.check_writable(review.folder / review.picture(1, max(image_ids, key=lambda image_id: len(os.fsencode(image_id)))))


def write(
    review: Review, found: Iterable[Found], locate: Locate, info: ModelInfo, spacing: Vector | None, report: Callable[[str], None]
) -> str:
    """Write the table and the pictures in place of those of an earlier call.

    The images are read again, since only the last one decides which are worst. Memory holds the points of ``review.images`` images.

    Args:
        review: what to write.
        found: all predictions of a calibrated model.
        locate, info: of the model.
        spacing: see :meth:`scn_tf.predict.Predictor.predict`.
        report: receives one line per image without a picture.

    Returns:
        one line about the review.

    Raises:
        WriteError: a file cannot be written.
    """
    stated = ((one, one.estimates) for one in found if one.estimates is not None)
    worst = heapq.nlargest(review.images, stated, key=lambda pair: need(pair[1]))
    names = [review.picture(rank, one.id) for rank, (one, _) in enumerate(worst, start=1)]
    rows = [(rank, one.id, names[rank - 1], reasons(info.landmarks, said)) for rank, (one, said) in enumerate(worst, start=1)]
    for path in _earlier(review.folder):
        path.unlink(missing_ok=True)
    files.write_text(review.folder / TABLE, tables.write([COLUMNS, *rows]))  # first: it names the pictures that the next call removes
    sources = [Source(one.id, one.facts.path, one.facts.series) for one, _ in worst]
    with contextlib.closing(stream(locate, info, sources, spacing=spacing, keep_pixels=True)) as batches:
        for outcome, name in zip(itertools.chain.from_iterable(batches), names, strict=True):
            if outcome.prediction is None:
                report(f"{shown(review.folder / name)}: no picture. {outcome.error}")
            else:
                beside.write_overlay(review.folder / name, outcome.prediction)
    doubtful = sum(need(said)[:2] > (False, 0.0) for _, said in worst)
    return f"review: {files.counted(len(worst), 'image')}, {doubtful} of them doubtful: {review.folder / TABLE}"


def need(estimates: Estimates) -> tuple[bool, float, float]:
    """How much an image needs a human; larger is more.

    Images unlike the training images come first. The others are ordered by the sum over their doubtful landmarks of the error, as a
    multiple of the usual one. Where no landmark is doubtful, the largest multiple decides.
    """
    severity = severities(estimates)
    return estimates.image_ok is False, float(severity[severity >= TIMES].sum()), float(severity.max())


def severities(estimates: Estimates) -> Array:
    """Expected errors (N,) as multiples of the usual ones; ``STRIKING`` for absent landmarks, and at least that for misplaced points."""
    times = _times_usual(estimates)
    if estimates.misplaced is not None:
        times = np.where(estimates.misplaced, np.maximum(times, STRIKING), times)
    return times if estimates.present is None else np.where(estimates.present, times, STRIKING)


def _times_usual(estimates: Estimates) -> Array:
    return estimates.expected_error / (estimates.expected_error if estimates.usual_error is None else estimates.usual_error)


def reasons(names: Sequence[str], estimates: Estimates) -> str:
    """Why an image needs a human, in words, the sharpest reason first.

    Args:
        names: N landmark names.
        estimates: of the image.
    """
    severity = severities(estimates)
    order = [int(number) for number in np.argsort(-severity, kind="stable")]
    doubtful = [number for number in order if severity[number] >= TIMES]
    parts = [UNLIKE] if estimates.image_ok is False else []
    parts += [_about(names[number], number, estimates) for number in doubtful[:LISTED]]
    if len(doubtful) > LISTED:
        parts.append(f"{len(doubtful) - LISTED} more in doubt")
    return "; ".join(parts) or f"no doubt; largest of all: {_about(names[order[0]], order[0], estimates)}"


def _about(name: str, number: int, estimates: Estimates) -> str:
    if estimates.present is not None and not estimates.present[number]:
        return f"{name}: taken for absent"
    place = "" if estimates.misplaced is None or not estimates.misplaced[number] else "not where the other points say, "
    radius = f"95 % radius {estimates.radius95[number]:.3g} {estimates.unit}"
    return f"{name}: {place}{radius}, expected error {_times_usual(estimates)[number]:.1f} times the usual"


def _pictures(folder: Path) -> list[Path]:
    """Files of a folder that have the name of a picture."""
    return sorted(path for path in folder.glob("*.png") if PICTURE.fullmatch(path.name))


def _earlier(folder: Path) -> list[Path]:
    """Pictures that the table of an earlier call names.

    Raises:
        WriteError: the table is damaged.
    """
    table = folder / TABLE
    if not table.is_file():
        return []
    try:
        names = [row[2] for row in tables.read(table) if len(row) == len(COLUMNS)]
    except (csv.Error, ValueError):
        raise WriteError(f"{table}: is damaged; remove it and the pictures beside it, or choose another `review` folder.") from None
    return [folder / name for name in names if PICTURE.fullmatch(name)]
