"""Seconds from the command ``scn-tf predict`` to its first answer, and to its end, with one image. Files are in the cache (warm).

An answer counts when it is in the journal, from which the table is written. On a busy machine look at the processor time.
"""

import argparse
import resource
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
from scn_tf.storage import journal


def timed(model, image, table):
    """(seconds to the first answer, seconds to the end, processor seconds) of one command."""
    log, first = journal.path_for(table), None
    log.unlink(missing_ok=True)
    command = [sys.executable, "-m", "scn_tf", "predict", model, str(image), "--out", str(table)]
    start, spent = time.perf_counter(), processor_seconds()
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            if first is None and log.exists() and log.read_bytes().count(b"\n") > 1:
                first = time.perf_counter() - start
            time.sleep(0.005)
    assert process.returncode == 0
    whole = time.perf_counter() - start
    return first or whole, whole, processor_seconds() - spent


def processor_seconds():
    """Of the commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=["hand_xray"])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    print(machine.describe())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generate(folder, 1, 1000, 1400)
        image = folder / "image_00000.png"
        for model in options.models:
            timed(model, image, folder / "p.csv")  # fills the cache
            found = [timed(model, image, folder / "p.csv") for _ in range(options.repeats)]
            for what, times in zip(("first answer after", "end after", "processor time"), zip(*found, strict=True), strict=True):
                print(f"{model}: {what} {statistics.median(times):.2f} s ({min(times):.2f} to {max(times):.2f})")


if __name__ == "__main__":
    main()
