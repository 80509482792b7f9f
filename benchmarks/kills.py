"""Kills a training and a prediction at random moments, resumes them, and compares their ends with those of undisturbed ones.

`python benchmarks/kills.py [--kills 20] [--seed 0]`

A fifth of the kills come while the program starts. The others come while it works, and as many runs are made as the kills need.
Weights, optimizer, history and tables must be equal to the last bit; of the history, all but the time.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import scn_tf  # noqa: F401
from benchmarks import machine
from scn_tf.data import synthetic
from scn_tf.runs import checkpoints
from scn_tf.storage import journal

REPOSITORY = Path(__file__).resolve().parents[1]
EPOCHS, IMAGES = 40, 300
SETTINGS = {"data.val_split": "val", "model.image_size": "48,32", "model.filters": 6, "model.levels": 2, "model.spatial_pooling": 4}
SETTINGS |= {"train.epochs": EPOCHS, "train.validate_every": 4, "train.batch_size": 2, "train.minutes": "none"}


def undisturbed(folder):
    """Make a small set in ``hands``, train in ``run`` and predict ``images`` into ``found.csv``. Returns the folder."""
    synthetic.generate(folder / "hands", dims=2, train=6, val=3, seed=5)
    (folder / "images").mkdir()
    for number in range(IMAGES):
        (folder / "images" / f"image_{number:03d}.png").symlink_to(folder / "hands" / "images" / f"hand_{number % 9:03d}.png")
    for command in (training(folder, folder), prediction(folder, folder)):
        assert started(command).wait() == 0, command
    return folder


def training(folder, whole):
    """Command that trains a run in a folder with the set of :func:`undisturbed`."""
    settings = [word for name, value in SETTINGS.items() for word in (f"--{name}", str(value))]
    return ["train", "--data.root", str(whole / "hands"), "--run-dir", str(folder / "run"), "--config", "hand_xray_quick", *settings]


def prediction(folder, whole):
    """Command that predicts the images of :func:`undisturbed` with its run."""
    return ["predict", str(whole / "run"), str(whole / "images"), "--out", str(folder / "found.csv")]


def started(command):
    """A process of the command. It takes Ctrl-C, also where this one is in the background."""
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); from scn_tf.__main__ import run; sys.exit(run())"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen([sys.executable, "-c", program, *command], cwd=REPOSITORY, env=environment, stdout=subprocess.DEVNULL)


def epochs(run):
    """Epochs in the history of a run so far."""
    path = run / "history.csv"
    return path.read_text().count("\n") - 1 if path.exists() else 0


def wait_for(condition, process):
    """Wait until a condition holds. False if the process has ended before."""
    while not condition():
        if process.poll() is not None:
            return False
        time.sleep(0.01)
    return True


def killed(command, ready, kills, longest, rng):
    """Start a command again and again, kill it ``kills`` times, and let it end. Returns the number of kills: it may end earlier."""
    for number in range(kills):
        process, resume = started(command), ["--resume"]
        if number and rng.random() < 0.2:
            time.sleep(rng.uniform(0, 4))
        elif wait_for(ready, process):
            time.sleep(rng.uniform(0, longest))
        if process.poll() is not None:
            assert process.returncode == 0, command
            return number
        process.kill()
        process.wait()
        command = [*(word for word in command if word != "--resume"), *resume]
    assert started(command).wait() == 0, command
    return kills


def trainings_killed(folder, whole, *, kills, seed=0):
    """Kill trainings in new folders in a folder. Returns what differs at the end from the undisturbed one."""
    return _all(folder, kills, seed, lambda one, left, rng: _training(one, whole, left, rng))


def predictions_killed(folder, whole, *, kills, seed=0):
    """The same of predictions."""
    return _all(folder, kills, seed, lambda one, left, rng: _prediction(one, whole, left, rng))


def _all(folder, kills, seed, make):
    rng, differing = np.random.default_rng(seed), []
    while kills > 0:
        one = Path(tempfile.mkdtemp(dir=folder))
        done, found = make(one, kills, rng)
        kills -= max(done, 1)
        differing += found
    return differing


def _training(folder, whole, kills, rng):
    begun = time.time()
    lock = folder / "run" / "checkpoints" / "last.npz"
    done = killed(training(folder, whole), lambda: lock.exists() and lock.stat().st_mtime > begun, kills, 8, rng)
    print(f"training   killed {done} times", flush=True)
    return done, differences(whole / "run", folder / "run")


def _prediction(folder, whole, kills, rng):
    log, sizes = journal.path_for(folder / "found.csv"), [0]

    def ready():  # once it has added something to what earlier ones left
        size = log.stat().st_size if log.exists() else 0
        grown = size > sizes[-1] > 0
        sizes.append(size)
        return grown

    done = killed(prediction(folder, whole), ready, kills, 0.6, rng)
    print(f"prediction killed {done} times", flush=True)
    same = (whole / "found.csv").read_bytes() == (folder / "found.csv").read_bytes()
    return done, [] if same else ["found.csv"]


def differences(first, second):
    """Names of what differs between two finished runs."""
    found = [
        name
        for name, (one, other) in zip(("state", "model"), zip(*map(arrays, (first, second)), strict=True), strict=True)
        if not all(map(np.array_equal, one, other))
    ]
    return found + (["history"] if history(first) != history(second) else [])


def arrays(run):
    """Arrays of the state, and of the model."""
    with np.load(run / "checkpoints" / "last.npz", allow_pickle=False) as archive:
        state = [archive[name] for name in sorted(archive.files) if name != "progress"]
    return state, checkpoints.load_model(run / "model.keras")[0].get_weights()


def history(run):
    """Rows of the history without their times."""
    rows = csv.DictReader((run / "history.csv").read_text().splitlines())
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="of each of the two commands")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(machine.describe())
    with tempfile.TemporaryDirectory() as name:
        whole = Path(name) / "whole"
        whole.mkdir()
        undisturbed(whole)
        for what, kill in (("training", trainings_killed), ("prediction", predictions_killed)):
            differing = kill(Path(name), whole, kills=options.kills, seed=options.seed)
            print(f"{what}: {options.kills} kills, {'equal ends' if not differing else 'DIFFERENT: ' + ', '.join(differing)}")


if __name__ == "__main__":
    start = time.monotonic()
    main()
    print(f"({time.monotonic() - start:.0f} s)")
