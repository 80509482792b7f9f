"""From raw files to a model and back, with three commands per kind of data: `python benchmarks/doors.py [--minutes M] [--data FOLDER]`.

Six kinds: hands as COCO with absent points, cephalograms as ISBI text, mouse heads as Slicer markups, a brain as fiducial list, drawn
wings as TPS, drawn fish as a table of fractions. Each is written as its tool leaves it, and then goes through the command line alone:
`scn-tf init`, `scn-tf train`, `scn-tf predict`. Prints what `init` understood, the error on the images of `val`, and the times.
Kinds whose data are absent are left out.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from scn_tf.data.dataset import open_dataset
from tests import drawn_sets

ABSENT = 3  # landmarks that each hand lacks


def command(*arguments, folder):
    """Run scn-tf; returns its output, and ends the benchmark with its message if it fails."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "scn_tf", *map(str, arguments)], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"scn-tf {' '.join(map(str, arguments))}: status {done.returncode}\n{done.stderr[-3000:]}")
    return done.stdout


def hands(folder, data):
    command("convert", data / "hand_xray", folder / "hands.json", "--to", "coco", folder=folder)
    content = json.loads((folder / "hands.json").read_text())
    rng = np.random.default_rng(0)
    for one in content["annotations"]:
        for number in rng.choice(len(one["keypoints"]) // 3, ABSENT, replace=False):
            one["keypoints"][3 * number : 3 * number + 3] = [0, 0, 0]
    (folder / "hands.json").write_text(json.dumps(content))
    return [data / "hand_xray" / "images", folder / "hands.json"], []


def cephalograms(folder, data):
    command("convert", data / "cephalo", folder / "points", "--to", "isbi", folder=folder)
    return [data / "cephalo" / "images", folder / "points"], ["--spacing", "0.3023438", "0.3"]


def mice(folder, data):
    return [data / "mouse_ct" / "raw"], []


def brain(folder, data):
    return [data / "brain_afids"], []


def wings(folder, data):
    drawn_sets.wings(folder / "raw", count=60, size=(400, 280), seed=1)
    return [folder / "raw"], []


def fish(folder, data):
    drawn_sets.fish(folder / "raw", count=60, seed=1)
    return [folder / "raw"], []


KINDS = {  # kind -> (writes raw files, data that it needs, format of the answers)
    "hands, COCO": (hands, "hand_xray", "coco"),
    "cephalograms, ISBI": (cephalograms, "cephalo", "isbi"),
    "mouse heads, Slicer": (mice, "mouse_ct", "slicer"),
    "brain, fcsv": (brain, "brain_afids", "fcsv"),
    "wings, TPS": (wings, None, "tps"),
    "fish, fractions": (fish, None, "csv-wide"),
}


def timed(*arguments, folder):
    started = time.perf_counter()
    said = command(*arguments, folder=folder)
    return said, time.perf_counter() - started


def tried(kind, data, minutes):
    """One row of the table: what was understood, error, seconds of each command."""
    prepare, _, tool = KINDS[kind]
    with tempfile.TemporaryDirectory(prefix="doors-") as name:
        folder = Path(name)
        sources, options = prepare(folder, data)
        said, opening = timed("init", *sources, "--out", "set", *options, folder=folder)
        facts = {line[:14].strip(): line[14:] for line in said.splitlines() if line[:1].strip()}
        _, training = timed("train", "--data.root", "set", "--minutes", minutes, "--run-dir", "run", folder=folder)
        dataset = open_dataset(folder / "set")
        chosen = [dataset.files[image_id] for image_id in dataset.split("val")]
        back = ["--to", tool, "--to-dir", "back"]
        _, predicting = timed("predict", "run", *chosen, "--out", "answers.csv", *back, folder=folder)
        files = [path for path in (folder / "back").rglob("*") if path.is_file()]
        if not files:
            sys.exit(f"{kind}: predict wrote nothing in format {tool}")
        command("evaluate", "run", "--split", "val", folder=folder)
        summary = json.loads((folder / "run" / "evaluation" / "val" / "summary.json").read_text())
        unit = summary["unit"]
        error = summary["pe_mean_mm" if unit == "mm" else "pe_mean_px"]
        understood = f"{facts['landmarks'].split(':')[0].split(',')[0]}; {facts['coordinates']}"
        return len(dataset.landmarks), understood, f"{error:.2f} {unit}", f"{len(files)} {tool}", (opening, training, predicting)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2.0, help="of each training (default: 2)")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SCN_TF_DATA", "../shared/data")), help="folder of the real sets")
    parser.add_argument("--kinds", nargs="+", metavar="WORD", help="only kinds with one of these words")
    options = parser.parse_args()
    print("| kind | images | understood | error on val | back | init, train, predict |\n|---|---|---|---|---|---|", flush=True)
    for kind, (_, needs, _) in KINDS.items():
        if options.kinds and not any(word in kind for word in options.kinds):
            continue
        if needs is not None and not (options.data / needs).is_dir():
            print(f"| {kind} | no data in {options.data} | | | | |", flush=True)
            continue
        images, understood, error, back, seconds = tried(kind, options.data.resolve(), options.minutes)
        times = ", ".join(f"{value:.0f} s" for value in seconds)
        print(f"| {kind} | {images} | {understood} | {error} | {back} | {times} |", flush=True)


if __name__ == "__main__":
    main()
