"""Rate of ``scn-tf predict`` with several processes against one: whole commands in turn, so that both see the same machine.

The start of the processes is a part of the time. ``--images`` decides how much of it.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import scn_tf  # noqa: F401
from benchmarks import machine
from benchmarks.predict_rate import REPOSITORY, generate


def seconds(model, images, table, processes):
    command = [sys.executable, "-m", "scn_tf", "predict", model, str(images), "--out", str(table), "--processes", str(processes)]
    start = time.perf_counter()
    subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="hand_xray")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--width", type=int, default=1000)
    parser.add_argument("--height", type=int, default=1400)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(machine.describe())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "images").mkdir()
        generate(folder / "images", options.images, options.width, options.height)
        ratios = []
        for number in range(options.rounds):
            one, several = (seconds(options.model, folder / "images", folder / f"{count}.csv", count) for count in (1, options.processes))
            ratios.append(one / several)
            print(
                f"round {number + 1}: {options.images / one:.2f} images/s with 1, {options.images / several:.2f} with {options.processes}"
            )
        print(f"ratio, median of {options.rounds}: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
