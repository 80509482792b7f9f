"""Report of a study: tables and the paper's two figures."""

import itertools
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from scn_tf.errors import ConfigError, DataWarning
from scn_tf.figures import canvas, pictures
from scn_tf.scoring.run_errors import RunErrors
from scn_tf.storage import files, ownership, tables
from scn_tf.storage.files import counted
from scn_tf.study import error_table, run_settings
from scn_tf.study.error_table import key_of
from scn_tf.study.execute import errors_file, left_out, settings_of, stored_settings
from scn_tf.study.plan import Run
from scn_tf.study.statistics import Errors, collect, difference, figures
from scn_tf.types import PathName

Row: TypeAlias = dict[str, Any]  # a line of a table: names, counts and figures by column
Found: TypeAlias = Mapping[tuple[str, str], Errors]  # by (system, size)

MEASURES = {
    True: "share of points within a radius, and number beyond it, mean over the seeds",
    False: "error relative to a length of each image (its diagonal, or the distance of two landmarks), share of points below parts of it",
}
FILES = ("results.md", "results.csv", "differences.csv", "systems.png", "sizes.png")


def write_report(out: PathName, runs: Sequence[Run], *, sizes_figure: Sequence[str] | None = None) -> str:
    """Write ``results.csv``, ``results.md``, ``differences.csv``, ``systems.png`` and ``sizes.png`` of all finished runs.

    Errors are read from the run folders, or from the long table, ``errors.csv.gz``, for runs without them. The long table is
    written first, with ``settings.yaml``. Both suffice for the same report.

    Args:
        out: folder of the study.
        runs: all its :class:`scn_tf.study.plan.Run`, in order. Each system is compared with those before it; the text shows the
            comparisons with the first.
        sizes_figure: names of the systems in ``sizes.png``; all if None.

    Returns:
        text of ``results.md``.

    Raises:
        ConfigError: no system has finished all folds of a seed, or as in :func:`scn_tf.study.statistics.collect` and
            :func:`scn_tf.study.error_table.read`.
    """
    out = Path(out)
    stored = check_out(out)
    errors_of = _errors_of_runs(out, runs, stored)
    found: dict[tuple[str, str], Errors] = {}
    systems = list(dict.fromkeys(run.system for run in runs))
    absent = [run.name for run in runs if run.name in left_out(out)]
    runs = [run for run in runs if run.name not in absent]
    for size in dict.fromkeys(run.size for run in runs):
        for system in systems:
            own = {(r.fold, r.seed): errors_of[r.name] for r in runs if (r.system, r.size) == (system, size)}
            errors = collect(own)
            if errors is not None:
                found[system, size] = errors
    if not found:
        raise ConfigError(f"{out}: no system has finished all folds of a seed yet.")
    rows = [{"system": system, "size": size, **figures(errors)} for (system, size), errors in found.items()]
    unit = next(iter(found.values())).unit
    compared = _differences(found)
    with_first = [row for row in compared if row["minus"] == runs[0].system]
    done = sum(isinstance(errors, RunErrors) or errors.is_file() for errors in (errors_of[run.name] for run in runs))
    text = _markdown(rows, with_first, unit, done=done, planned=len(runs) + len(absent))
    if absent:
        text += f"\nLeft out, without any image: {', '.join(absent)}.\n"
    files.write_text(out / "results.csv", _csv(rows))
    files.write_text(out / "differences.csv", _csv(compared))
    files.write_text(out / "results.md", text)
    _write_figures(out, found, unit, systems, runs[-1].size, sizes_figure)
    return text


def _write_figures(out: Path, found: Found, unit: str, systems: list[str], last_size: str, sizes_figure: Sequence[str] | None) -> None:
    last = {key: errors for key, errors in found.items() if key[1] == last_size}
    by_size = {key: errors for key, errors in found.items() if sizes_figure is None or key[0] in sizes_figure}
    for name, curves in (("systems", last), ("sizes", by_size)):
        if curves:
            values = {key: errors.images.ravel() for key, errors in curves.items()}
            figure = pictures.image_error_curves(values, unit=unit, systems=systems)
            with files.replaced(out / f"{name}.png", ours=ownership.anything) as temporary:
                temporary.write_bytes(canvas.png(figure))


def check_out(out: PathName) -> dict[error_table.Key, RunErrors]:
    """Check before long work that a study's report can be written to a folder. Returns the content of its long table.

    Raises:
        WriteError: another program wrote a file with one of these names, or the folder is not writable.
        ConfigError: its long table is damaged.
    """
    out = Path(out)
    files.check_folder(out, FILES, witness="results.md")
    stored = error_table.read(out / error_table.NAME)
    files.check_writable(out / error_table.NAME, ours=ownership.anything)  # whoever wrote it: it has just been read as one
    files.check_writable(out / run_settings.NAME, ours=run_settings.is_ours)
    return stored


def _errors_of_runs(out: Path, runs: Sequence[Run], stored: dict[error_table.Key, RunErrors]) -> dict[str, Path | RunErrors]:
    """Errors of each run by its name: its file, or else its part of the long table. Both tables are rewritten."""
    done = {run.name: errors_file(out, run) for run in runs if errors_file(out, run).is_file()}
    kept = {run.name: stored[key_of(run)] for run in runs if run.name not in done and key_of(run) in stored}
    if done and kept:
        warnings.warn(
            f"{out / error_table.NAME}: the errors of {counted(len(kept), 'run')} are from this file, since their folders have none.",
            DataWarning,
            stacklevel=3,
        )
    if done:
        settings = stored_settings(out)
        for run in runs:
            known = settings.pop(run.name, None)
            # In the study's order, those of other runs before them.
            if run.name in done:
                settings[run.name] = settings_of(out, run)
            elif run.name in kept and known is not None:
                settings[run.name] = known
        own = {key_of(run): done[run.name] for run in runs if run.name in done}
        error_table.write(out / error_table.NAME, own, stored, map(key_of, runs))
        run_settings.write(out / run_settings.NAME, settings)
    return {**{run.name: errors_file(out, run) for run in runs}, **kept}


def _differences(found: Found) -> list[Row]:
    """Each system minus every one before it, size by size."""
    rows = []
    for size in dict.fromkeys(size for _, size in found):
        for reference, system in itertools.combinations([system for system, other in found if other == size], 2):
            compared = difference(found[system, size], found[reference, size])
            if compared is not None:
                rows.append({"system": system, "size": size, "minus": reference, **compared})
    return rows


def _csv(rows: Sequence[Row]) -> str:
    return tables.write_dicts([{name: f"{v:.6g}" if isinstance(v, float | np.floating) else v for name, v in row.items()} for row in rows])


def _markdown(rows: Sequence[Row], compared: Sequence[Row], unit: str, *, done: int, planned: int) -> str:
    several = any(row["seeds"] > 1 for row in rows)
    lines = [
        f"{done} of {planned} runs. Errors in {unit}: of points mean +- std and median; of images the mean with its 95 % bootstrap",
        f"interval over images; {MEASURES[unit == 'mm']}. A seed counts once",
        "all its folds are done.",
        "",
        *_head(
            *("system", "training images", "seeds", "images", "point error", "median", "image error"),
            *(["std over seeds"] if several else []),
            *(("< 2", "< 4", "< 10", ">= 2", ">= 10") if unit == "mm" else ("relative error", "< 0.5 %", "< 1 %", "< 2 %", "< 5 %")),
        ),
    ]
    for row in rows:
        cells = [
            f"{row['system']} | {row['size']} | {row['seeds']} | {row['images']}",
            f"{row['pe_mean']:.3f} +- {row['pe_std']:.3f} | {row['pe_median']:.3f}",
            f"{row['ipe_mean']:.3f} ({row['ipe_low']:.3f} to {row['ipe_high']:.3f})",
            *(["" if np.isnan(row["seed_std"]) else f"{row['seed_std']:.3f}"] if several else []),
            *_shares(row, unit),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    if compared:
        lines += [
            "",
            "The interval is over images alone, for these trainings"
            + ("; the last column has the differences of single seeds." if several else "."),
            "",
            *_head(
                *("system", "training images", "image error minus that of", "difference", "95 % interval, paired"),
                *(["of the seeds"] if several else []),
            ),
        ]
        for row in compared:
            cells = [f"{row['system']} | {row['size']} | {row['minus']} | {row['mean']:+.3f} | {row['low']:+.3f} to {row['high']:+.3f}"]
            cells += [f"{row['least']:+.3f} to {row['most']:+.3f}"] if several else []
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _shares(row: Row, unit: str) -> list[str]:
    """Cells of the shares within thresholds. Thresholds in mm do not apply to errors in pixels."""
    if unit == "mm":
        shares = [f"{row[f'sdr_{radius}']:.2f} %" for radius in (2, 4, 10)]
        return [*shares, f"{row['outliers_2']:.1f}", f"{row['outliers_10']:.1f}"]
    values = [row["nme_percent"], *(row[f"pck_{limit}"] for limit in ("0.5", "1", "2", "5"))]
    return ["" if np.isnan(value) else f"{value:.2f} %" for value in values]


def _head(*columns: str) -> tuple[str, str]:
    """Head of a table: the line of titles and the rule below it."""
    return f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"
