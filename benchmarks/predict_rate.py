"""Rate and memory of `scn-tf predict` on a folder: images per second against the network's own rate, memory over time, kill and resume.

`python benchmarks/predict_rate.py [--images 1000] [--width 1000] [--height 1400] [--model hand_xray] [--chunks 8] [--skip-kill]`

Rates alternate in one process: prepared arrays through the network, then files through all of `predict`. Their ratio is the median of
the chunks. Memory and the kill are of separate processes, as users start them.
"""

import argparse
import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import tensorflow as tf

import scn_tf  # noqa: F401
from benchmarks import machine
from scn_tf import predict
from scn_tf.prediction import run, steps, streaming
from scn_tf.storage import journal

WARM_UP = 100  # images, after which memory should be flat
REPOSITORY = Path(__file__).resolve().parents[1]


def generate(folder, count, width, height, seed=0):
    """Textured grey images with bright bars, half PNG and half JPEG."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype("float32")
    noise = rng.normal(0, 6, (2 * height, 2 * width)).astype("float32")
    for number in range(count):
        image = 40 + 60 * np.exp(-(((x - width / 2) / width) ** 2 + ((y - height / 2) / height) ** 2) * 6)
        for finger in range(5):
            image += 70 * np.exp(-(((x - width * (0.2 + 0.15 * finger + 0.02 * rng.normal())) / (0.03 * width)) ** 2)) * (y < 0.6 * height)
        top, left = rng.integers(0, height), rng.integers(0, width)
        pixels = np.clip(image + noise[top : top + height, left : left + width], 0, 255).astype("uint8")[..., None]
        png = number % 2 == 0
        content = tf.io.encode_png(pixels) if png else tf.io.encode_jpeg(pixels, quality=92)
        (folder / f"image_{number:05d}.{'png' if png else 'jpg'}").write_bytes(content.numpy())


def rates(predictor, model, files, chunks):
    """Network's rates and those of predict per chunk, images per second; processor seconds per image of both."""
    batch = streaming.batch_size(predictor.info.image_size)
    prepared = np.stack([steps.prepare(path, predictor.info).network_image for path in files[:batch]])
    run.predict.load = lambda path: predictor  # opened once; its time is no part of the rate
    own, whole, spent = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        run.predict_files(model, files[: 2 * batch], Path(folder) / "warm.csv")
        for part in np.array_split(np.arange(len(files)), chunks):
            rounds = max(1, len(part) // batch)
            start, cpu = time.perf_counter(), processor_seconds()
            for _ in range(rounds):
                np.asarray(predictor.locate(prepared).landmarks)
            own.append(rounds * batch / (time.perf_counter() - start))
            own_cpu = (processor_seconds() - cpu) / (rounds * batch)
            start, cpu = time.perf_counter(), processor_seconds()
            result = run.predict_files(model, [files[number] for number in part], Path(folder) / "table.csv")
            whole.append(result.found / (time.perf_counter() - start))
            spent.append((own_cpu, (processor_seconds() - cpu) / result.found))
    return np.array(own), np.array(whole), np.median(spent, axis=0)


def processor_seconds():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def resident(pid):
    """Resident memory in MB of a process and its children."""
    total = 0
    with contextlib.suppress(OSError, IndexError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for one in (pid, *children):
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return total / 2**20


def watched(command, table, kill_at=None):
    """Run `predict`; returns (images done, memory in MB) over time. It is killed after ``kill_at`` images."""
    log, seen = journal.path_for(table), []
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            time.sleep(0.2)
            done = max(0, log.read_bytes().count(b"\n") - 1) if log.exists() else 0
            seen.append((done, resident(process.pid)))
            if kill_at is not None and done >= kill_at:
                process.send_signal(signal.SIGKILL)
    return seen


def memory(seen, count, before=0):
    """Sentence on the memory after the first images; ``before`` were done by an earlier process."""
    warm = min(WARM_UP, (count - before) // 2)
    late = np.array([used for done, used in seen if done >= before + warm and used > 0])
    if len(late) < 2:
        return "memory: too few images"
    first = float(np.median(late[: max(1, len(late) // 10)]))
    more = 100 * (late.max() / first - 1)
    return f"memory after {warm} images {first:.0f} MB, largest later {late.max():.0f} MB ({more:+.1f} %)"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--width", type=int, default=1000)
    parser.add_argument("--height", type=int, default=1400)
    parser.add_argument("--model", default="hand_xray")
    parser.add_argument("--chunks", type=int, default=8)
    parser.add_argument("--skip-kill", action="store_true", help="measure the rates alone")
    options = parser.parse_args()
    print(machine.describe())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "images").mkdir()
        generate(folder / "images", options.images, options.width, options.height)
        files = sorted((folder / "images").iterdir())
        predictor = predict.load(options.model)
        own, whole, spent = rates(predictor, options.model, files, options.chunks)
        ratio = np.median(whole / own)
        batch = streaming.batch_size(predictor.info.image_size)
        print(f"{options.images} images of {options.width} x {options.height}, {options.model}, batches of {batch}")
        print(f"network alone        {np.median(own):.2f} images/s")
        print(f"predict              {np.median(whole):.2f} images/s")
        print(f"processor time       {spent[0]:.3f} s per image alone, {spent[1]:.3f} s in predict")
        print(f"ratio, median        {100 * ratio:.1f} % (chunks {' '.join(f'{100 * r:.0f}' for r in np.sort(whole / own))})")
        if options.skip_kill:
            return
        command = [sys.executable, "-m", "scn_tf", "predict", options.model, str(folder / "images"), "--out"]
        whole_table, resumed_table = folder / "whole.csv", folder / "resumed.csv"
        print("uninterrupted:", memory(watched([*command, str(whole_table)], whole_table), options.images))
        watched([*command, str(resumed_table)], resumed_table, kill_at=options.images // 2)
        kept = journal.path_for(resumed_table).read_bytes().count(b"\n") - 1
        seen = watched([*command, str(resumed_table), "--resume"], resumed_table)
        print(f"killed after {kept} images; resumed:", memory(seen, options.images, kept))
        equal = whole_table.read_bytes() == resumed_table.read_bytes()
        print(f"tables equal         {'yes' if equal else 'NO'}")


if __name__ == "__main__":
    start = time.monotonic()
    main()
    print(f"({time.monotonic() - start:.0f} s)")
