"""Automatic settings against tuned configurations at equal minutes.

`python benchmarks/automatic_settings.py --minutes 30 [--sets hand_xray cephalo ...] [--seeds 0 1 2] [--side-by-side]`

Trains every set, seed and side, evaluates on `val` and writes a table. What is finished is not trained again, so it can be stopped
and started. A run has all cores to itself; with `--side-by-side` the two runs of a seed go at the same time with half of the cores each.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks import drawn_sets

HERE = Path(__file__).resolve().parent
# Set -> the configuration tuned for it, or of the bundled ones that which is made for the most similar images, with what it needs to run.
TUNED = {
    "hand_xray": ["hand_xray"],
    "cephalo": ["cephalo"],
    "mouse_ct": ["mouse_ct"],
    "wings": ["hand_xray_quick"],
    "tubes": ["mouse_ct", "--model.spacing_mm", "none"],  # with its 0.4 mm the input would be a small part of the volume
}
DRAWN = ("wings", "tubes")
SIDES = ("automatic", "tuned")


def command(side, name, root, run, *, minutes, seed):
    """Words of the training of one run."""
    words = [sys.executable, "-m", "scn_tf", "train", "--data.root", str(root), "--train.seed", str(seed), "--run-dir", str(run)]
    return [*words, "--minutes", f"{minutes:g}", *(["--config", *TUNED[name]] if side == "tuned" else [])]


def summary(run):
    """Figures of a finished run, else None."""
    path = run / "evaluation" / "val" / "summary.json"
    return json.loads(path.read_text()) if path.is_file() else None


def start(words, run, cores):
    """Start a training on some cores; what an interrupted one left is removed first."""
    shutil.rmtree(run, ignore_errors=True)
    run.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    pinned = ["taskset", "-c", ",".join(map(str, cores)), *words]
    with open(run.with_suffix(".log"), "w") as log:
        return subprocess.Popen(pinned, stdout=log, stderr=subprocess.STDOUT, env=environment)


def train(jobs, *, side_by_side):
    """Train all jobs (words, run), two at a time with half of the cores each, or one at a time with all."""
    cores = sorted(os.sched_getaffinity(0))
    parts = [cores[: len(cores) // 2], cores[len(cores) // 2 :]] if side_by_side and len(cores) > 1 else [cores]
    for first in range(0, len(jobs), len(parts)):
        pair = list(zip(jobs[first:], parts, strict=False))
        running = [(start(words, run, part), run) for (words, run), part in pair]
        for process, run in running:
            if process.wait():
                print(f"failed: {run.with_suffix('.log')}", flush=True)


def rows_of(runs, sets, seeds):
    """One row per finished run: set, seed, side, epochs, input, filters, error in its unit."""
    import yaml

    for name in sets:
        for seed in seeds:
            for side in SIDES:
                run = runs / name / f"{side}_seed{seed}"
                if (found := summary(run)) is None:
                    continue
                settings = yaml.safe_load((run / "config.yaml").read_text())
                last = (run / "history.csv").read_text().splitlines()[-1].split(",")
                unit = found["unit"]
                error = found["pe_mean_mm"] if unit == "mm" else found["pe_mean_px"]
                size = " x ".join(map(str, settings["model"]["image_size"]))
                yield {
                    "set": name, "seed": seed, "side": side, "input": size, "filters": settings["model"]["filters"],
                    "epochs": int(last[0]), "minutes": round(float(last[1]) / 60, 1), "pe_mean": round(error, 4), "unit": unit,
                }  # fmt: skip


def table(rows, minutes, machine):
    """Markdown table of means over seeds, with the ratio of both sides."""
    lines = [
        f"# Automatic settings against tuned configurations, {minutes:g} minutes each", "", f"Machine: {machine}.",
        "Mean point error on `val`; each seed, then the mean over the seeds that both sides have.", "",
        "| set | tuned | automatic, input and filters | automatic | tuned | ratio |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name in dict.fromkeys(row["set"] for row in rows):
        own = [row for row in rows if row["set"] == name]
        both = {row["seed"] for row in own if row["side"] == "automatic"} & {row["seed"] for row in own if row["side"] == "tuned"}
        if not both:
            continue
        cells = {}
        for side in SIDES:
            errors = [row["pe_mean"] for row in own if row["side"] == side and row["seed"] in both]
            cells[side] = (float(np.mean(errors)), f"{', '.join(f'{e:.3f}' for e in errors)}; {np.mean(errors):.3f} {own[0]['unit']}")
        inputs = sorted({f"{row['input']}, {row['filters']}" for row in own if row["side"] == "automatic"})
        ratio = cells["automatic"][0] / cells["tuned"][0]
        lines.append(
            f"| `{name}` | `{TUNED[name][0]}` | {'; '.join(inputs)} | {cells['automatic'][1]} | {cells['tuned'][1]} | {ratio:.3f} |"
        )
    return "\n".join(lines) + "\n"


def write(rows, out, minutes, machine):
    """Write ``results.csv`` and ``results.md``."""
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "results.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    (out / "results.md").write_text(table(rows, minutes, machine))
    print((out / "results.md").read_text())


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--sets", nargs="+", choices=list(TUNED), default=list(TUNED))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SCN_TF_DATA", HERE.parents[1] / "shared" / "data")))
    parser.add_argument("--runs", type=Path, help="default: runs/automatic_settings_MINUTES")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/automatic_settings_MINUTES")
    parser.add_argument("--side-by-side", action="store_true")
    options = parser.parse_args(arguments)
    label = f"automatic_settings_{options.minutes:g}"
    runs, out = options.runs or Path("runs") / label, options.out or HERE / "results" / label
    drawn_sets.ensure(runs.parent / "drawn_sets")
    jobs = []
    for seed in options.seeds:
        for name in options.sets:
            root = runs.parent / "drawn_sets" / name if name in DRAWN else options.data / name
            for side in SIDES:
                run = runs / name / f"{side}_seed{seed}"
                if summary(run) is None:
                    jobs.append((command(side, name, root, run, minutes=options.minutes, seed=seed), run))
    print(f"{len(jobs)} runs to train, {options.minutes:g} minutes each", flush=True)
    train(jobs, side_by_side=options.side_by_side)
    if rows := list(rows_of(runs, options.sets, options.seeds)):
        import scn_tf  # noqa: F401  (sets the log level before TensorFlow is imported)
        from benchmarks import machine

        write(rows, out, options.minutes, machine.describe())


if __name__ == "__main__":
    main()
