"""Compare trained runs on the same images of a split, with paired tests."""

import contextlib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from scn_tf import evaluate_run
from scn_tf.data.description import read_description
from scn_tf.errors import CheckpointError, ConfigError, DatasetError, DataWarning
from scn_tf.figures import charts, pages
from scn_tf.presence import known
from scn_tf.scoring import comparison, evaluated_data
from scn_tf.scoring.comparison import Pair
from scn_tf.scoring.evaluated_data import EvaluatedData
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


Missing: TypeAlias = Literal["refuse", "skip"] | None


class Evaluation(NamedTuple):
    """Errors of a run, and the data that they are of; None if the evaluation does not state them."""

    errors: RunErrors
    data: EvaluatedData | None


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
    missing: Missing = None,
) -> Comparison:
    """Compare the evaluations of runs on a split. A run that has none yet, or an outdated one, is evaluated first.

    Evaluations must be of the same data. A run that was evaluated on other data than its own is then evaluated on its own, into a
    folder of ``out``. If the runs' own data differ, a warning says so.

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
    evaluated = {name: _evaluation_of(path, name, split, root, out, missing) for name, path in named.items()}
    evaluated = _of_same_data(evaluated, named, split, out, missing)
    found = comparison.aligned({name: one.errors for name, one in evaluated.items()})
    _warn_of_other_data(evaluated)
    pairs = comparison.pairs(found)
    files.write_text(out / "comparison.csv", tables.write(comparison.rows(pairs)))
    files.write_text(out / "comparison.html", _page(found, pairs, split))
    places = dict.fromkeys(str(one.data) for one in evaluated.values() if one.data is not None)
    text = "".join(f"Data     {place}\n" for place in places) + "\n" * bool(places)
    text += f"{_text(comparison.overview(found), 1)}\n\n{_text(comparison.table(pairs), 2)}"
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


def _evaluation_of(path: Path, name: str, split: str, root: PathName | None, out: Path, missing: Missing) -> Evaluation:
    """Evaluation of a run, which is made where needed."""
    if (path / ERRORS).is_file():
        if root is not None:
            raise ConfigError(f"{path}: is the folder of an evaluation, which has its own images; name the run, or leave out `data.root`.")
        return _read(path)
    folder = evaluate_run.folder_of(path, split) if root is None else _beside(out, name)
    if root is None and _is_current(folder, path, split):
        return _read(folder)
    try:
        return _evaluated(path, split, root, folder, missing)
    except DatasetError as error:
        raise DatasetError(f"{path}: has no evaluation of split {split} yet, and cannot be evaluated. {error}") from None


def _read(folder: Path) -> Evaluation:
    return Evaluation(read_run(folder / ERRORS), evaluated_data.read(folder))


def _evaluated(path: Path, split: str, root: PathName | None, folder: Path, missing: Missing) -> Evaluation:
    """Evaluate a run into a folder."""
    _, folder = evaluate_run.evaluate(path, split, root=root, out=folder, missing=missing)
    if not (folder / ERRORS).is_file():
        raise CheckpointError(f"{path}: finds label maps; only models of landmarks can be compared.")
    return _read(folder)


def _beside(out: Path, name: str) -> Path:
    """Folder of an evaluation for this comparison alone."""
    return out / "evaluations" / "".join(character if character.isalnum() or character in "-_." else "_" for character in name)


def _is_current(folder: Path, run: Path, split: str) -> bool:
    """Whether a folder has an evaluation that is not older than the model and the annotations that it is of."""
    table, model = folder / ERRORS, opening.existing_file(run)
    if not table.is_file():
        return False
    info, data = opening.read_info(model), evaluated_data.read(folder)
    roots = [info.config.data.root] if data is None or data.is_of(info) else []
    roots += [Path(data.root)] if data is not None else []
    return table.stat().st_mtime >= max(model.stat().st_mtime, *(_annotated(root, split) for root in roots if root is not None))


def _annotated(root: Path, split: str) -> float:
    """When the annotations in the folder of a data set changed last; 0 if there are none, as the set may be elsewhere by now."""
    changed = [root / "dataset.yaml", root / "landmarks.csv", *(root / "splits" / f"{name}.txt" for name in split.split("+"))]
    with contextlib.suppress(DatasetError):
        changed += [root / place for place in read_description(root / "dataset.yaml").tables]
    return max((path.stat().st_mtime for path in changed if path.is_file()), default=0.0)


def _of_same_data(found: dict[str, Evaluation], paths: dict[str, Path], split: str, out: Path, missing: Missing) -> dict[str, Evaluation]:
    """Evaluations of the same data, or each of its run's own. New ones are made beside the old ones, whose files stay.

    Raises:
        DatasetError: a run was evaluated on other data, and its own cannot be read.
    """
    if all(one.data is not None for one in found.values()) and _differing(found) is None:
        return found
    chosen = dict(found)
    for name, one in found.items():
        path = paths[name]
        if one.data is None or (path / ERRORS).is_file() or one.data.is_of(opening.read_info(opening.existing_file(path))):
            continue
        try:
            chosen[name] = _evaluated(path, split, None, _beside(out, name), missing)
        except DatasetError as error:
            raise DatasetError(
                f"{one.errors.source}: is of {one.data}, not of the run's own data, which cannot be used. {error} "
                "Evaluate all runs on one set with `data.root`."
            ) from None
    return chosen


def _differing(found: Mapping[str, Evaluation]) -> tuple[Evaluation, Evaluation] | None:
    """Two evaluations of different data, as far as they state their data; None if there are none."""
    stated = [one for one in found.values() if one.data is not None]
    return next(((stated[0], other) for other in stated[1:] if not known(stated[0].data).is_same(known(other.data))), None)


def _warn_of_other_data(found: Mapping[str, Evaluation]) -> None:
    if pair := _differing(found):
        first, other = pair
        warnings.warn(
            f"{other.errors.source}: is of {other.data}, but {first.errors.source} of {first.data}. Images, annotations or units differ, "
            "so a difference may be one of the data. Evaluate all runs on one set with `data.root`.",
            DataWarning,
            stacklevel=3,
        )


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
