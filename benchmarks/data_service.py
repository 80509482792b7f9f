"""How long a training waits for its next image, with and without a tf.data service. `python benchmarks/data_service.py`

[--images 40] [--width 1000] [--height 1200] [--size 352 256] [--workers 1] [--step-ms 0] [--folder FOLDER]

Writes a set like that of `disk_cache.py`. A dispatcher and workers of tf.data service run in processes of their own, which have TensorFlow
alone, as on other hosts. After the first pass, `--rounds` epochs are read in batches of one, each followed by a step that sleeps for
`--step-ms`. The line of each kind has the median wait, and the processor time of the training's process per image, which is what a
service can save on its host. On one machine the workers take theirs from the training. All kinds must yield equal batches.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks import disk_cache, machine
from scn_tf import config
from scn_tf.data import batching, pipeline, service
from scn_tf.data.dataset import open_dataset
from scn_tf.storage import caches

PROGRAM = """
import sys
import tensorflow as tf
service, (kind, port) = tf.data.experimental.service, sys.argv[1:]
if kind == "dispatcher":
    server = service.DispatchServer(service.DispatcherConfig(port=int(port)))
else:
    server = service.WorkerServer(service.WorkerConfig(f"localhost:{port}"))
server.join()
"""


def measure(root, kind, address, options):
    """(seconds of each wait, processor seconds per image, sum of all pixels of the first epoch)."""
    place = "disk" if kind == "service" else kind
    settings = config.from_dict({"data": {"root": str(root), "cache": place}, "model": {"image_size": options.size}}).resolved(2)
    dataset, seen = open_dataset(root), service.FirstPass()
    ids = dataset.split("train")
    found = pipeline.opened(dataset, ids, settings, measured=False, observe=seen.add)
    served = service.Served(address, found, seen, parallel=settings.data.workers) if kind == "service" else None
    stream = batching.training_batches(found.data, count=len(ids), batch_size=1, seed=0, load=found.load, served=served)
    waits, total, batches = [], 0.0, iter(stream)
    for number in range((1 + options.rounds) * len(ids)):
        if number == len(ids):  # the first epoch warms up
            used = time.process_time()
        started = time.perf_counter()
        image = next(batches)["image"]
        waits.append(time.perf_counter() - started)
        if number < len(ids):
            total += float(image.numpy().sum(dtype=np.float64))
        time.sleep(options.step_ms / 1000)
    return waits[len(ids) :], (time.process_time() - used) / (options.rounds * len(ids)), total


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--width", type=int, default=1000)
    parser.add_argument("--height", type=int, default=1200)
    parser.add_argument("--size", type=int, nargs=2, default=[352, 256], help="sides of the network's input")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--step-ms", type=float, default=0.0)
    options = parser.parse_args(arguments)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    kinds = ["dispatcher", *["worker"] * options.workers]
    others = [subprocess.Popen([sys.executable, "-c", PROGRAM, kind, port], stderr=subprocess.DEVNULL) for kind in kinds]
    try:
        with tempfile.TemporaryDirectory() as name:
            root = options.folder or Path(name)
            disk_cache.generate(root, options.images, options.width, options.height, "png")
            os.environ[caches.FOLDER] = str(root / "cache")
            print(machine.describe())
            sums = set()
            for kind in ("memory", "disk", "service"):
                waits, processor, total = measure(root, kind, f"localhost:{port}", options)
                sums.add(total)
                median, longest = 1000 * np.median(waits), 1000 * np.percentile(waits, 95)
                cost = 1000 * processor
                print(f"{kind:8s} waits {median:.2f} ms (95 % below {longest:.2f}), processor {cost:.2f} ms per image", flush=True)
            print("equal pixels" if len(sums) == 1 else f"DIFFERENT PIXELS: {sums}")
    finally:
        for process in others:
            process.kill()


if __name__ == "__main__":
    main()
