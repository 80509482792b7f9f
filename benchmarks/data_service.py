"""Can tf.data service read images for this training? `python benchmarks/data_service.py`

Starts a dispatcher and a worker of tf.data service, the worker in a process of its own, as on another host. Asks it for the examples of a
small synthetic set, and for numbers that TensorFlow's own operations make. Then prints how long a training waits for its next image once
images are prepared, in memory and on disk, beside the time to read and prepare one.
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def work(dispatcher):
    """A worker, as on a host that has TensorFlow alone."""
    import tensorflow as tf

    worker = tf.data.experimental.service.WorkerServer(tf.data.experimental.service.WorkerConfig(dispatcher_address=dispatcher))
    worker.join()


def through(data, dispatcher):
    """What comes of a dataset through the service: the number of elements, or the first line of the error."""
    import tensorflow as tf

    service = tf.data.experimental.service.distribute(
        tf.data.experimental.service.ShardingPolicy.DYNAMIC, f"grpc://{dispatcher}", max_outstanding_requests=1
    )
    try:
        return f"{sum(1 for _ in data.apply(service))} elements"
    except tf.errors.OpError as error:
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:160]}"


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    import tensorflow as tf

    from benchmarks import machine
    from scn_tf import config
    from scn_tf.data import batching, pipeline, synthetic
    from scn_tf.data.dataset import open_dataset

    dispatcher = tf.data.experimental.service.DispatchServer()
    address = dispatcher.target.split("://")[1]
    process = multiprocessing.get_context("spawn").Process(target=work, args=(address,), daemon=True)
    process.start()
    root = Path(tempfile.mkdtemp())
    os.environ["SCN_TF_CACHE_DIR"] = str(root / "prepared")
    synthetic.generate(root / "hands", train=12, val=1)
    dataset = open_dataset(root / "hands")
    ids = dataset.split("train")

    def opened(place):
        values = {"model": {"image_size": [352, 256]}, "data": {"cache": place}}
        started = time.perf_counter()
        found = pipeline.opened(dataset, ids, config.from_dict(values).resolved(2), measured=False)
        return found, (time.perf_counter() - started) / len(ids)

    print(f"numbers              {through(tf.data.Dataset.range(12), address)}")
    found, _ = opened("none")
    print(f"examples             {through(found.data, address)}")
    for place in ("memory", "disk"):
        found, first = opened(place)
        batches = iter(batching.training_batches(found.data, count=len(ids), batch_size=1, seed=0, load=found.load))
        later = machine.median_seconds(lambda: next(batches), repeats=50)  # noqa: B023  (asked at once)
        print(f"{place:20s} {1000 * first:.2f} ms to read and prepare an image, {1000 * later:.3f} ms for each later one")
    process.terminate()


if __name__ == "__main__":
    main()
