"""Does `scn-tf next` choose better images to annotate than chance does?

`python benchmarks/next_images.py [--minutes 4] [--seeds 0 1 2] [--sizes 10 20 40] [--data FOLDER] [setting of scn-tf train ...]`

For each seed, ten training images are drawn and a network is trained. Then images are added up to each size: those of `scn-tf next`, or
random ones. A new network is trained each time and judged on `val` of the whole set, which neither trains, calibrates nor chooses.
Some training images are held out: they choose the epoch and calibrate. What is finished is not done again, so it can be stopped
and started.
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

HERE = Path(__file__).resolve().parent
ARMS = ("next", "random")
HELD = "held"  # split of the images that are held out


def call(words, log):
    """Run a command of scn-tf; its output goes to a file."""
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    with open(log, "a") as file:
        if subprocess.run([sys.executable, "-m", "scn_tf", *words], stdout=file, stderr=subprocess.STDOUT, env=environment).returncode:
            sys.exit(f"failed: {log}")


def write_set(folder, source, pool, held, annotated):
    """Write a data set of the pool and the held images, with points for the held and the annotated ones. Nothing if it is there."""
    from scn_tf.data.dataset import open_dataset

    train = folder / "splits" / "train.txt"  # written last
    if train.is_file():
        return
    shutil.rmtree(folder, ignore_errors=True)
    dataset = open_dataset(source)
    (folder / "images").mkdir(parents=True)
    (folder / "splits").mkdir()
    for image_id in (*pool, *held):
        (folder / "images" / dataset.files[image_id].name).symlink_to(dataset.files[image_id].resolve())
    shutil.copy(source / "dataset.yaml", folder)
    unknown = {*dataset.landmarks} - {*held, *annotated}
    lines = dataset.table.read_text().splitlines(keepends=True)
    (folder / dataset.description.annotations).write_text("".join(line for line in lines if line.split(",")[0].strip() not in unknown))
    (folder / "splits" / f"{HELD}.txt").write_text("\n".join(held) + "\n")
    train.write_text("\n".join(annotated) + "\n")


def trained(place, source, seed, options):
    """Train on the set of a place and judge on the whole set; returns its error and the unit."""
    run = place / "run"
    judged = run / "evaluation" / "val" / "summary.json"
    if not judged.is_file():
        if not (run / "evaluation" / HELD / "summary.json").is_file():
            shutil.rmtree(run, ignore_errors=True)
            words = ["train", "--config", options.config, "--data.root", str(place / "set"), "--data.val_split", HELD]
            words += ["--train.seed", str(seed), "--run-dir", str(run), "--minutes", f"{options.minutes:g}", *options.more]
            call(words, place / "log.txt")
        call(["calibrate", str(run), "--split", HELD], place / "log.txt")
        call(["evaluate", str(run), "--split", "val", "--data.root", str(source)], place / "log.txt")
    found = json.loads(judged.read_text())
    error, unit = found[f"pe_mean_{found['unit']}"], found["unit"]
    print(f"{place.parent.name} {place.name}: {error:.3f} {unit}", flush=True)
    return round(error, 4), unit


def asked(place, count):
    """The images that `scn-tf next` chooses with the run of a place."""
    out = place / f"next_{count}.csv"
    if not out.is_file():
        call(["next", str(place / "set"), "--model", str(place / "run"), "--count", str(count), "--out", str(out)], place / "log.txt")
    with open(out, newline="") as file:
        return [row["id"] for row in csv.DictReader(file)]


def rows_of(seed, source, options):
    """Train all networks of a seed; yields one row each."""
    from scn_tf.data.dataset import open_dataset

    ids = open_dataset(source).split("train")
    drawn = [ids[number] for number in np.random.default_rng(seed).permutation(len(ids))]
    held, pool = drawn[: options.held], drawn[options.held :]
    first, *further = options.sizes
    if len(pool) < max(options.sizes):
        sys.exit(f"{source}: has {len(ids)} training images; {options.held} held out and {max(options.sizes)} to annotate are too many.")
    start = options.runs / f"seed{seed}" / f"start_{first}"
    for arm in ARMS:
        place, annotated = start, pool[:first]
        for size in (first, *further):
            if size > first:
                left = [image_id for image_id in pool if image_id not in annotated]
                more = asked(place, size - len(annotated)) if arm == "next" else left
                place, annotated = start.with_name(f"{arm}_{size}"), [*annotated, *more[: size - len(annotated)]]
            write_set(place / "set", source, pool, held, annotated)
            error, unit = trained(place, source, seed, options)
            yield {"seed": seed, "arm": arm, "images": size, "pe_mean": error, "unit": unit, "ids": " ".join(annotated)}


def table(rows, options, machine):
    """Markdown table: each seed and the mean, by size."""
    unit = rows[0]["unit"]
    lines = [
        f"# `scn-tf next` against chance: {options.data.name}", "",
        f"Recipe `{options.config}`{' ' + ' '.join(options.more) if options.more else ''}, at most {options.minutes:g} minutes a training. "
        f"{options.held} training images held out.", f"Machine: {machine}.",
        f"Mean point error on `val` in {unit}: each seed, then the mean over the seeds.", "",
        "| images | next | random | next - random | seeds in which next is better |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for size in options.sizes:
        own = {arm: np.array([row["pe_mean"] for row in rows if (row["arm"], row["images"]) == (arm, size)]) for arm in ARMS}
        cells = [f"{', '.join(f'{error:.3f}' for error in errors)}; {errors.mean():.3f}" for errors in own.values()]
        apart = own["next"] - own["random"]
        better = "the same network" if size == options.sizes[0] else f"{(apart < 0).sum()} of {len(apart)}"
        lines.append(f"| {size} | {' | '.join(cells)} | {apart.mean():+.3f} | {better} |")
    return "\n".join(lines) + "\n"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=4, help="of a training at most (default: 4)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--sizes", nargs="+", type=int, default=[10, 20, 40])
    parser.add_argument("--held", type=int, default=10, help="training images that are held out (default: 10)")
    parser.add_argument("--config", default="hand_xray_quick")
    parser.add_argument("--data", type=Path, help="data set (default: hand_xray of SCN_TF_DATA or ../shared/data)")
    parser.add_argument("--runs", type=Path, help="default: runs/next_images_MINUTES")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/next_images_MINUTES")
    options, options.more = parser.parse_known_args(arguments)
    options.sizes = sorted(options.sizes)
    options.data = options.data or Path(os.environ.get("SCN_TF_DATA", HERE.parents[1] / "shared" / "data")) / "hand_xray"
    label = f"next_images_{options.minutes:g}"
    options.runs, out = options.runs or Path("runs") / label, options.out or HERE / "results" / label
    import scn_tf  # noqa: F401  (sets the log level before TensorFlow is imported)
    from benchmarks import machine

    rows = [row for seed in options.seeds for row in rows_of(seed, options.data, options)]
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "results.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    (out / "results.md").write_text(table(rows, options, machine.describe()))
    print((out / "results.md").read_text())


if __name__ == "__main__":
    main()
