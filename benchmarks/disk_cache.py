"""Reading time and memory of a set's epochs, with prepared images on disk, in memory, or nowhere.

`python benchmarks/disk_cache.py [--images 60] [--width 1000] [--height 1200] [--ending png] [--epochs 3] [--step-ms 0]
[--kinds disk,disk,none,memory]`

A generator writes images with random points into `--folder` (default: a temporary one), unless they are there already. Each kind is a
process of its own, so that memory (resident, MiB) is its own. The first pass reads and checks every image, and fills the cache. Epochs read
shuffled batches of one, each followed by a step that sleeps for `--step-ms`. `first` is the first pass and the first epoch over the
median of the later epochs. `processor` is its time in all threads, which other programs lengthen less. `disk` twice: the second process
finds the files of the first.

A large set, such as `--images 10000 --width 2000 --height 2400 --ending jpg --kinds disk,disk`, takes 9 GB and 15 minutes. As PNG it takes
35 GB.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import tensorflow as tf

from scn_tf import config
from scn_tf.data import batching, disk_cache, pipeline
from scn_tf.data.dataset import open_dataset

LANDMARKS = 19


def generate(root, images, width, height, ending):
    """Write a set of images of noise over a gradient, which all differ and pack like radiographs."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    (root / "splits").mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    base = np.linspace(0, 180, width) * np.linspace(0.3, 1, height)[:, None] + rng.integers(0, 12, (height, width))
    base = base.astype("uint8")
    names = [f"image_{number:05d}" for number in range(images)]
    for number, name in enumerate(names):
        if not (path := root / "images" / f"{name}.{ending}").exists():
            pixels = np.roll(base, (7 * number, 13 * number), axis=(0, 1))[..., None]
            content = tf.io.encode_png(pixels, compression=1) if ending == "png" else tf.io.encode_jpeg(pixels, quality=85)
            temporary = path.with_suffix(".part")
            temporary.write_bytes(content.numpy())
            temporary.replace(path)
    points = rng.uniform(0.1, 0.9, (images, LANDMARKS, 2)) * (width, height)
    rows = [",".join([name, *(f"{value:.2f}" for value in row.ravel())]) for name, row in zip(names, points, strict=True)]
    listed = ", ".join(f"p{number}" for number in range(LANDMARKS))
    (root / "dataset.yaml").write_text(f"name: large\ndims: 2\nlandmarks: [{listed}]\nspacing_mm: [0.1, 0.1]\n")
    (root / "landmarks.csv").write_text("\n".join(rows) + "\n")
    (root / "splits" / "train.txt").write_text("\n".join(names) + "\n")


def resident():
    """MiB of memory that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def measure(root, kind, size, epochs, step, workers):
    """Seconds of the first pass and of each epoch, and memory after each."""
    settings = config.from_dict({"data": {"root": str(root), "cache": kind, "workers": workers}, "model": {"image_size": size}}).resolved(2)
    dataset = open_dataset(root)
    ids = dataset.split("train")
    seconds, processor, memory = [], [], []
    start = time.perf_counter(), time.process_time()

    def note():
        nonlocal start
        now = time.perf_counter(), time.process_time()
        seconds.append(now[0] - start[0])
        processor.append(now[1] - start[1])
        memory.append(resident())
        start = now

    split = pipeline.opened(dataset, ids, settings)
    note()
    batches = iter(batching.training_batches(split.data, count=len(ids), batch_size=1, seed=0, load=split.load))
    for _ in range(epochs):
        for _ in range(len(ids)):
            next(batches)
            time.sleep(step)
        note()
    return {"seconds": seconds, "processor": processor, "memory": memory, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--width", type=int, default=1000)
    parser.add_argument("--height", type=int, default=1200)
    parser.add_argument("--ending", choices=("png", "jpg"), default="png", help="kind of the image files")
    parser.add_argument("--size", type=int, nargs=2, default=[352, 256], help="sides of the network's input")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--step-ms", type=float, default=0.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kinds", default="disk,disk,none,memory")
    parser.add_argument("--measure", help=argparse.SUPPRESS)  # in a process of its own
    options = parser.parse_args(arguments)
    if options.measure:
        found = measure(options.folder, options.measure, options.size, options.epochs, options.step_ms / 1000, options.workers)
        print(json.dumps(found))
        return
    with tempfile.TemporaryDirectory() as name:
        root = options.folder or Path(name)
        generate(root, options.images, options.width, options.height, options.ending)
        shutil.rmtree(root / "cache", ignore_errors=True)
        own = [__file__, "--folder", str(root), "--epochs", str(options.epochs), "--step-ms", str(options.step_ms)]
        own += ["--workers", str(options.workers), "--size", *map(str, options.size)]
        for kind in options.kinds.split(","):
            environment = {**os.environ, disk_cache.FOLDER: str(root / "cache"), "TF_CPP_MIN_LOG_LEVEL": "2"}
            ended = subprocess.run([sys.executable, *own, "--measure", kind], capture_output=True, text=True, env=environment)
            if ended.returncode:
                sys.exit(ended.stderr)
            found = json.loads(ended.stdout.splitlines()[-1])
            first, *later = found["seconds"]
            each = ", ".join(f"{1000 * seconds / options.images:.2f}" for seconds in later)
            ratio = f", first {(first + later[0]) / np.median(later[1:]):.2f} times the later" if len(later) > 1 else ""
            print(f"{kind:7} first pass {1000 * first / options.images:.2f} ms an image, epochs {each}{ratio}")
            print(f"        processor {', '.join(f'{1000 * one / options.images:.2f}' for one in found['processor'])} ms")
            print(f"        memory {', '.join(f'{one:.0f}' for one in found['memory'])} MiB, at most {found['peak']:.0f}", flush=True)


if __name__ == "__main__":
    main()
