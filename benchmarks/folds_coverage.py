"""Coverage of radii that networks without parts of few training images calibrated.

`python benchmarks/folds_coverage.py [--images 10 20] [--folds 5] [--seeds 0 1 2] [--config hand_xray_quick] [--data FOLDER]`

For each number of images and each seed: train on images drawn from `train`, `calibrate --folds`, and judge on `val`, which neither
trains, calibrates nor chooses an epoch. What is finished is not done again, so it can be stopped and started.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
COLUMNS = ("images", "seed", "error", "expected_error", "coverage", "thirds", "radius_mean", "radius_median", "unit")


def call(words, log):
    """Run a command of scn-tf; its output goes to a file."""
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    with open(log, "a") as file:
        if subprocess.run([sys.executable, "-m", "scn_tf", *words], stdout=file, stderr=subprocess.STDOUT, env=environment).returncode:
            sys.exit(f"failed: {log}")


def judged(run, count, seed, options):
    """Row of the table of a run, which is made if it is not there."""
    summary, log = run / "evaluation" / "val" / "summary.json", run.with_suffix(".log")
    if not summary.is_file():
        run.parent.mkdir(parents=True, exist_ok=True)
        words = ["train", "--config", options.config, "--data.root", str(options.data), "--data.train_count", str(count)]
        words += ["--data.val_split", "train", "--train.seed", str(seed), "--run-dir", str(run), *options.more]
        call([*words, "--resume"] if (run / "config.yaml").is_file() else words, log)
        call(["calibrate", str(run), "--folds", str(options.folds)], log)
        call(["evaluate", str(run), "--split", "val"], log)
    found = json.loads(summary.read_text())
    trust, unit = found["trust"], found["unit"]
    thirds = [round(part["coverage95_percent"], 1) for part in trust["by_radius"]]
    values = (
        count, seed, found[f"pe_mean_{unit}"], trust["expected_error_mean"], found["coverage95_percent"], thirds, found["radius95_mean"],
        trust["radius95_median"], unit,
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def line(row):
    """Line of the table."""
    unit, figures = row["unit"], [f"{row[name]:.2f}" for name in ("error", "expected_error", "radius_mean", "radius_median")]
    error, expected, mean, median = figures
    thirds = ", ".join(map(str, row["thirds"]))
    cells = (
        row["images"],
        row["seed"],
        f"{error} {unit}",
        f"{expected} {unit}",
        f"{row['coverage']:.1f} %",
        thirds,
        f"{mean}, {median} {unit}",
    )
    return f"| {' | '.join(map(str, cells))} |"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", nargs="+", type=int, default=[10, 20])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--config", default="hand_xray_quick")
    parser.add_argument("--data", type=Path, help="data set (default: hand_xray of SCN_TF_DATA or ../shared/data)")
    parser.add_argument("--runs", type=Path, default=Path("runs") / "folds_coverage")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "folds_coverage")
    options, options.more = parser.parse_known_args(arguments)
    options.data = options.data or Path(os.environ.get("SCN_TF_DATA", HERE.parents[1] / "shared" / "data")) / "hand_xray"
    head = "| images | seed | mean error | expected | coverage | by thirds of the radius | radius: mean, median |"
    print(f"{head}\n|---|---|---|---|---|---|---|", flush=True)
    rows = []
    for count in options.images:
        for seed in options.seeds:
            rows.append(judged(options.runs / f"images{count}_seed{seed}", count, seed, options))
            print(line(rows[-1]), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    with open(options.out / "results.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
