"""Training on two devices and in two processes against one device: `python benchmarks/strategies.py [--rounds 3]`.

Whole trainings of a synthetic set with the same global batch, in turn: one device, MirroredStrategy on two logical devices of the
processor, and two worker processes with one core each. Each is a process of its own. The figure is the median time of an epoch after
the first, without validation. Two cores are needed, and nothing else should run.
"""

import argparse
import contextlib
import csv
import itertools
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import scn_tf  # noqa: F401
from benchmarks import machine
from scn_tf.data import synthetic

REPOSITORY = Path(__file__).resolve().parents[1]
TWO_DEVICES = """
import sys, scn_tf, tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from scn_tf import cli
sys.exit(cli.main(sys.argv[1:]))
"""
ONE, MIRRORED, WORKERS = "one device", "mirrored", "two workers"


def free_addresses(number):
    """Addresses at which nothing listens."""
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [f"127.0.0.1:{listener.getsockname()[1]}" for listener in listeners]


def train(kind, folder, given):
    """Train in one of the three ways. Returns seconds of an epoch."""
    command = [sys.executable, "-c", TWO_DEVICES] if kind == MIRRORED else [sys.executable, "-m", "scn_tf"]
    strategy = {ONE: "single", MIRRORED: "mirrored", WORKERS: "multi_worker"}[kind]
    command += ["train", *given, "--train.strategy", strategy]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    cores = sorted(os.sched_getaffinity(0))[:2]
    own = [{}]
    if kind == WORKERS:
        addresses = ",".join(free_addresses(2))
        own = [{"SCN_TF_WORKERS": addresses, "SCN_TF_RANK": str(rank)} for rank in range(2)]
    started = []
    for rank, variables in enumerate(own):
        place = folder / str(rank)
        place.mkdir(parents=True)
        bound = {cores[rank]} if kind == WORKERS else cores
        with (place / "output.txt").open("w") as output:
            process = subprocess.Popen(
                [*command, "--run-dir", str(place / "run")],
                env={**environment, **variables},
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=lambda bound=bound: os.sched_setaffinity(0, bound),
            )
        started.append(process)
    for rank, process in enumerate(started):
        if process.wait():
            raise SystemExit((folder / str(rank) / "output.txt").read_text())
    with (folder / "0" / "run" / "history.csv").open() as file:
        ends = [float(row["seconds"]) for row in csv.DictReader(file)]
    return statistics.median(after - before for before, after in itertools.pairwise(ends))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="352,256", help="pixels of the network's input (default: 352,256)")
    parser.add_argument("--filters", type=int, default=48)
    parser.add_argument("--batch", type=int, default=4, help="global batch (default: 4)")
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(machine.describe())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        synthetic.generate(folder / "hands", dims=2, train=options.images, val=2, seed=5)
        settings = {"data.root": folder / "hands", "data.val_split": "val"}
        settings |= {"model.image_size": options.size, "model.filters": options.filters}
        settings |= {"train.batch_size": options.batch, "train.epochs": options.epochs, "train.minutes": "none"}
        settings |= {"train.validate_every": options.epochs, "train.precision": "auto"}
        given = [text for name, value in settings.items() for text in (f"--{name}", str(value))]
        times = {ONE: [], MIRRORED: [], WORKERS: []}
        for number in range(options.rounds):
            for kind, found in times.items():
                found.append(train(kind, folder / f"{kind} {number}", given))
                print(f"{kind:12s} {found[-1]:.2f} s per epoch", flush=True)
    for kind in (MIRRORED, WORKERS):
        ratios = [own / one for own, one in zip(times[kind], times[ONE], strict=True)]
        several = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"{kind}: {statistics.median(ratios):.2f} times as long as one device ({several})")


if __name__ == "__main__":
    main()
