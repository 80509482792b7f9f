"""Compare trained runs on the same images of a split, with paired tests."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from scn_tf import evaluate_run
from scn_tf.data.description import read_description
from scn_tf.errors import CheckpointError, ConfigError, DatasetError
from scn_tf.figures import charts, pages
from scn_tf.scoring import comparison
from scn_tf.scoring.comparison import Pair
from scn_tf.scoring.run_errors import RunErrors, read_run
from scn_tf.storage import files, tables
from scn_tf.systems import opening
from scn_tf.types import PathName

FILES = ("comparison.csv", "comparison.html")
ERRORS = "errors.csv"
MAX_RUNS = 20
EXPLAINED = (
    "A difference is the second run minus the first, on the points that both have: below 0 the second errs less. Intervals are 95 % "
    "bootstrap intervals over the images. p is of a sign-flip test over the images, p (Holm) corrected for all pairs of that figure. "
    "Both hold for these trainings: other seeds give other differences."
)


class Comparison(NamedTuple):
    """Result of a comparison: ``pairs``, the ``text`` of its tables, and the folder with its files."""

    pairs: list[Pair]
    text: str
    out: Path


def compare(
    runs: Sequence[PathName],
    split: str = "val",
    *,
    root: PathName | None = None,
    out: PathName | None = None,
    missing: Literal["refuse", "skip"] | None = None,
) -> Comparison:
    """Compare the evaluations of runs on a split. A run that has none yet, or an outdated one, is evaluated first.

    Args:
        runs: run folders, model files, names of bundled models, or folders of evaluations (with ``errors.csv``); at least two.
        split: name of a split.
        root: data set folder. With it every run is evaluated on this set, into a folder of ``out``; evaluations of the runs stay.
        out: folder to write; ``comparison/SPLIT`` if None.
        missing: what to do about missing images, see :func:`scn_tf.evaluate_run.evaluate`.

    Raises:
        ConfigError: fewer than two runs, or evaluations of other images, units or landmarks.
        CheckpointError, DatasetError, ImageError, WriteError: see :func:`scn_tf.evaluate_run.evaluate`.
    """
    paths = [Path(run) for run in runs]
    out = Path("comparison") / split if out is None else Path(out)
    _check_runs(paths)
    files.check_folder(out, FILES)
    named = dict(zip(_names(paths), paths, strict=True))
    found = comparison.aligned({name: _errors_of(path, name, split, root, out, missing) for name, path in named.items()})
    pairs = comparison.pairs(found)
    files.write_text(out / "comparison.csv", tables.write(comparison.rows(pairs)))
    files.write_text(out / "comparison.html", _page(found, pairs, split))
    text = f"{_text(comparison.overview(found), 1)}\n\n{_text(comparison.table(pairs), 2)}"
    return Comparison(pairs, text, out)


def _check_runs(paths: Sequence[Path]) -> None:
    if not 2 <= len(paths) <= MAX_RUNS:
        raise ConfigError(f"`runs`: expected 2 to {MAX_RUNS} runs to compare, received {len(paths)}.")
    resolved = [path.resolve() for path in paths]
    for number, path in enumerate(paths):
        if resolved[number] in resolved[:number]:
            raise ConfigError(f"{path}: is named twice; name each run once.")


def _names(paths: Sequence[Path]) -> list[str]:
    """Short names of the runs; the whole paths where two are alike, or where a folder is that of an evaluation."""
    short = [path.name or str(path) for path in paths]
    if len(set(short)) < len(short) or any((path / ERRORS).is_file() for path in paths):
        short = [str(path) for path in paths]
    return list(map(pages.name, short)) if len(set(map(pages.name, short))) == len(short) else [f"run {n + 1}" for n in range(len(paths))]


def _errors_of(path: Path, name: str, split: str, root: PathName | None, out: Path, missing: Literal["refuse", "skip"] | None) -> RunErrors:
    """Errors of a run; it is evaluated where needed."""
    if (path / ERRORS).is_file():
        if root is not None:
            raise ConfigError(f"{path}: is the folder of an evaluation, which has its own images; name the run, or leave out `data.root`.")
        return read_run(path / ERRORS)
    model = opening.existing_file(path)
    if root is None:
        folder = evaluate_run.folder_of(path, split)
        table = folder / ERRORS
        if table.is_file() and table.stat().st_mtime >= _changed(model, split):
            return read_run(table)
    else:
        folder = out / "evaluations" / "".join(character if character.isalnum() or character in "-_." else "_" for character in name)
    try:
        _, folder = evaluate_run.evaluate(path, split, root=root, out=folder, missing=missing)
    except DatasetError as error:
        raise DatasetError(f"{path}: has no evaluation of split {split} yet, and cannot be evaluated. {error}") from None
    if not (folder / ERRORS).is_file():
        raise CheckpointError(f"{path}: finds label maps; only models of landmarks can be compared.")
    return read_run(folder / ERRORS)


def _changed(model: Path, split: str) -> float:
    """When a model, or the annotations of its data set, changed last. An evaluation before it is outdated."""
    stated = opening.read_info(model).config.data.root
    if stated is None:
        return model.stat().st_mtime
    root = Path(stated)
    annotated = [root / "dataset.yaml", root / "landmarks.csv", *(root / "splits" / f"{name}.txt" for name in split.split("+"))]
    with contextlib.suppress(DatasetError):  # the data set may be elsewhere by now
        annotated.append(root / str(read_description(root / "dataset.yaml").annotations))
    return max(path.stat().st_mtime for path in (model, *annotated) if path.is_file())


def _page(runs: dict[str, RunErrors], pairs: Sequence[Pair], split: str) -> str:
    unit = next(iter(runs.values())).unit
    curves = {name: run.points[np.isfinite(run.points)] for name, run in runs.items()}
    parts = {
        "Runs": pages.table(comparison.overview(runs)),
        "Comparisons": pages.table(comparison.table(pairs), texts=(0, 1)) + pages.paragraph(EXPLAINED, note=True),
        "Distribution of errors": pages.picture(charts.error_curves(curves, unit=unit), "png", "cumulative error distributions"),
        "Landmarks": pages.table(comparison.per_landmark(runs)),
    }
    title = f"Comparison of {len(runs)} runs, split {split}"
    return pages.page(title, pages.links(parts) + "".join(pages.section(name, content) for name, content in parts.items()))


def _text(rows: Sequence[Sequence[object]], texts: int) -> str:
    """A table as text, the first ``texts`` columns to the left, the numbers to the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [[cell.ljust(w) if n < texts else cell.rjust(w) for n, (cell, w) in enumerate(zip(row, widths, strict=True))] for row in cells]
    return "\n".join("  ".join(line).rstrip() for line in lines)
