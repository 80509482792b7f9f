"""Time and memory of a training step as one size grows: `python benchmarks/scaling.py [--out FOLDER]`.

Sizes are pixels, landmarks and filters. Each point is a process of its own, so that its memory is its own. The processes of a size
are measured in turns, three times. Time is that of the processors, which other programs do not lengthen. Images are whole epochs.
Writes a table and a picture with the straight line through the first and the last point of each size.
"""

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

HERE = Path(__file__).resolve().parent
BASE = {"pixels": 256 * 192, "landmarks": 37, "filters": 32, "images": 1}
SIZES = {
    "pixels": (96 * 72, 128 * 96, 192 * 144, 256 * 192, 384 * 288, 512 * 384),
    "landmarks": (19, 37, 68, 100, 150, 200),
    "filters": (16, 32, 48, 64, 96, 128),
    "images": (25, 50, 100, 200),
}
COLUMNS = ("size", "value", "milliseconds", "mebibytes")
STEPS, ROUNDS = 6, 3


def measured(values):
    """Milliseconds of a step (of all steps of an epoch, for images) and the largest memory of this process in MiB."""
    import numpy as np
    import tensorflow as tf

    from scn_tf import config
    from scn_tf.training.landmarks import landmark_objective
    from scn_tf.training.trainer import build_trainer

    height = round((values["pixels"] * 4 / 3) ** 0.5)
    size, count = (height, height * 3 // 4), values["landmarks"]
    settings = config.from_dict(
        {
            "model": {"image_size": size, "filters": values["filters"], "spatial_filters": 16, "spatial_pooling": 8},
            "heatmap": {"sigma_mode": "fixed"},
            "train": {"batch_size": 1},
        }
    ).resolved(2)
    trainer = build_trainer(settings, landmark_objective, num_maps=count, channels=1)
    shown, rng = tf.ones((1, count)), np.random.default_rng(0)
    images = rng.normal(size=(values["images"], *size, 1)).astype("float32")
    points = rng.uniform(4.0, size[1] - 4.0, (values["images"], count, 2)).astype("float32")
    step, times = tf.function(trainer.train_step), []
    for repeat in range(STEPS if len(images) == 1 else 2):
        started = time.process_time()
        for image, own in zip(images[: 2 if len(images) > 1 and repeat == 0 else None], points, strict=False):
            step({"image": image[None], "landmarks": own[None], "visible": shown, "absent": 0.0 * shown})["loss"].numpy()
        times.append(time.process_time() - started)
    return {
        "milliseconds": 1000 * float(np.median(times[1:] if len(images) > 1 else times[2:])),
        "mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def of_process(values):
    """Result of :func:`measured` in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), "--one", json.dumps(values)]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    lines = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return json.loads(lines.strip().splitlines()[-1])


def rows_of(name):
    """Rows of a size: medians of the rounds."""
    found = {value: [] for value in SIZES[name]}
    for _ in range(ROUNDS):
        for value in SIZES[name]:
            found[value].append(of_process({**BASE, name: value}))
    for value, several in found.items():
        middle = {key: sorted(one[key] for one in several)[ROUNDS // 2] for key in COLUMNS[2:]}
        yield {"size": name, "value": value, **{key: round(number, 1) for key, number in middle.items()}}


def draw(rows, path):
    """A picture: time and memory over each size."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * len(SIZES), 5), layout="constrained")
    axes = figure.subplots(2, len(SIZES))
    for column, name in enumerate(SIZES):
        own = [row for row in rows if row["size"] == name]
        x = [row["value"] for row in own]
        for axis, key, label in zip(axes[:, column], COLUMNS[2:], ("ms of the processors", "MiB"), strict=True):
            y = [row[key] for row in own]
            axis.plot([x[0], x[-1]], [y[0], y[-1]], color="silver")
            axis.plot(x, y, "o", color="tab:blue")
            axis.set_ylim(0)
            axis.set_xlim(0)
            axis.set_ylabel(label)
            axis.set_xlabel(name)
            axis.locator_params(axis="x", nbins=3)
    figure.savefig(path, metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "scaling")
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measured(options.one)))
        return
    rows = []
    for name in SIZES:
        for row in rows_of(name):
            rows.append(row)
            print(f"{row['size']} {row['value']}: {row['milliseconds']} ms, {row['mebibytes']} MiB", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    with open(options.out / "results.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    draw(rows, options.out / "scaling.svg")


if __name__ == "__main__":
    main()
