"""A data set whose training points are what networks make of them: `python tools/relabel.py RUN RUN --data.root FOLDER --out NEW`.

A student trained on NEW learns the mean of its teachers, so one network costs what one costs and may err as little as their mean. All other
points stay as annotated, so validation is the same as ever. Images are links.
"""

import argparse
import csv
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import scn_tf
from scn_tf.data.dataset import open_dataset


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teachers", type=Path, nargs="+", metavar="RUN", help="run folders or model files")
    parser.add_argument("--data.root", type=Path, dest="root", required=True)
    parser.add_argument("--split", default="train", help="whose points change")
    parser.add_argument("--weight", type=float, default=1.0, help="of the teachers; the annotation has the rest")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    dataset = open_dataset(options.root)
    teachers = [scn_tf.load(str(path)) for path in options.teachers]
    changed = {}
    for identity in dataset.split(options.split):
        found = np.mean([teacher.predict(dataset.files[identity]).landmarks for teacher in teachers], axis=0)
        own = dataset.landmarks[identity]
        changed[identity] = own + options.weight * (found - own)  # absent landmarks stay absent: NaN
    shutil.copytree(options.root / "splits", options.out / "splits")
    (options.out / "dataset.yaml").write_text((options.root / "dataset.yaml").read_text())
    (options.out / "images").symlink_to((options.root / "images").resolve())
    with open(options.out / dataset.description.annotations, "w", newline="") as file:
        for identity, points in dataset.landmarks.items():
            points = changed.get(identity, points)
            csv.writer(file).writerow([identity, *("" if np.isnan(value) else f"{value:.3f}" for value in points.ravel())])
    moved = np.concatenate([np.linalg.norm(changed[i] - dataset.landmarks[i], axis=-1) for i in changed])
    print(f"{len(changed)} images: points moved by {np.nanmean(moved):.2f} pixels in the mean, {np.nanmax(moved):.1f} at most")


if __name__ == "__main__":
    main()
