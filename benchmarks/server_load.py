"""The server under load, against the same export called directly: `python benchmarks/server_load.py`.

Random weights: speed does not depend on them. The direct rate is measured before and after the load, in a
process of its own and with batches of the server's size. Aims: no error; at least 80 % of the direct rate;
99 % of the answers within twice the mean; memory at the end within 5 % of that after the first 200 requests.
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from base64 import b64encode
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

SETTLED = 200  # requests after which memory should stay as it is
LANDMARKS = 37
QUIET = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}


def untrained(size, filters):
    """(network, facts of its file): a network with random weights."""
    from scn_tf import build, config
    from scn_tf.runs.info import ModelInfo

    settings = config.from_dict({"model": {"preset": "small", "image_size": [size, size], "filters": filters}}).resolved(2)
    info = ModelInfo(
        name="untrained",
        labels=(),
        dims=2,
        channels=1,
        landmarks=tuple(f"landmark_{number}" for number in range(LANDMARKS)),
        coordinates="pixel",
        unit="px",
        spacing_mm=None,
        config=settings,
    )
    return build.from_config(settings.model, num_maps=LANDMARKS, channels=1), info


def export(folder, size, filters):
    """Write an untrained network as a SavedModel and the pictures to ask about; all into ``folder``."""
    from scn_tf.export import export_saved_model
    from scn_tf.runs import checkpoints
    from scn_tf.runs.folder import RunFolder

    network, info = untrained(size, filters)
    checkpoints.save_model(network, RunFolder(folder).model, info)
    export_saved_model(RunFolder(folder).model, folder / "served")
    write_pictures(folder, size)


def write_pictures(folder, size):
    """Write PNG files of four sizes."""
    import tensorflow as tf

    for number in range(4):
        # Smooth, so that the files are as small as radiographs are; of different sizes.
        shape = (size * (2 + number) // 2, size * (3 + number) // 3)
        grey = tf.image.resize(tf.random.stateless_uniform((8, 8, 1), [number, 1], 0, 255), shape, method="bicubic")
        (folder / f"{number}.png").write_bytes(tf.io.encode_png(tf.saturate_cast(grey, tf.uint8)).numpy())


def direct(folder, batch, seconds):
    """Print images a second of the export's own signature, called with batches."""
    import tensorflow as tf

    import scn_tf  # noqa: F401

    module = tf.saved_model.load(str(folder / "served" / "1"))
    files = [path.read_bytes() for path in sorted(folder.glob("*.png"))]
    images = tf.constant([files[number % len(files)] for number in range(batch)])
    for _ in range(3):
        module.signatures["serving_default"](image_bytes=images)["landmarks"].numpy()
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        module.signatures["serving_default"](image_bytes=images)["landmarks"].numpy()
        count += batch
    print(count / (time.perf_counter() - start))


def load(port, folder, clients, count):
    """Ask from several threads at once.

    Returns:
        seconds of each request, texts of errors, memory after the first :data:`SETTLED` and at the end (bytes), images a second.
    """
    bodies = [json.dumps({"instances": [{"b64": b64encode(path.read_bytes()).decode()}]}) for path in sorted(folder.glob("*.png"))]
    numbers, lock = iter(range(count)), threading.Lock()
    seconds, errors, memory = [], [], []

    def client():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return connection.close()
            start = time.perf_counter()
            try:
                connection.request("POST", "/v1/models/scn:predict", bodies[number % len(bodies)])
                answer = connection.getresponse()
                text = answer.read()
                failure = None if answer.status == 200 and len(json.loads(text)["predictions"][0]["landmarks"]) == LANDMARKS else text[:200]
            except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
                failure = repr(error)
                connection.close()
            with lock:
                seconds.append(time.perf_counter() - start)
                if failure:
                    errors.append(failure)
                if len(seconds) == min(SETTLED, count):
                    memory.append(resident(port))

    start = time.perf_counter()
    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = count / (time.perf_counter() - start)
    return seconds, errors, [*memory, resident(port)], rate


def resident(port):
    """Resident memory of the server in bytes, as its metrics tell."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    return float(next(line.split()[1] for line in lines if line.startswith("process_resident_memory_bytes ")))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--filters", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--direct_seconds", type=float, default=60.0, help="of each of the two direct measurements")
    parser.add_argument("--part", choices=("export", "direct"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part == "export":
        return export(options.folder, options.size, options.filters)
    if options.part == "direct":
        return direct(options.folder, options.batch, options.direct_seconds)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def part(which):
            arguments = ["--size", options.size, "--filters", options.filters, "--batch", options.batch]
            arguments += ["--direct_seconds", options.direct_seconds, "--folder", folder, "--part", which]
            command = [sys.executable, __file__, *map(str, arguments)]
            return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=QUIET).stdout

        part("export")
        rates = [float(part("direct"))]
        command = [sys.executable, str(REPOSITORY / "export" / "serve.py"), str(folder / "served"), "--port", "0"]
        with subprocess.Popen([*command, "--max_batch", str(options.batch)], stdout=subprocess.PIPE, text=True) as server:
            try:
                port = int(server.stdout.readline().split(" (")[0].rsplit(":", 1)[1])
                seconds, errors, memory, rate = load(port, folder, options.clients, options.requests)
            finally:
                server.terminate()
        rates.append(float(part("direct")))
    report(options, rates, seconds, errors, memory, rate, server.returncode)


def report(options, rates, seconds, errors, memory, rate, status):
    """Print what was measured; the machine last, since that itself computes."""
    import numpy as np

    import scn_tf  # noqa: F401
    from benchmarks import machine

    mean, p99 = np.mean(seconds), np.percentile(seconds, 99)
    own = float(np.mean(rates))
    mebibytes = [value / 2**20 for value in memory]
    print(f"{options.size} px, F = {options.filters}, {options.clients} clients, {options.requests} requests, batches of {options.batch}")
    print(f"errors         {len(errors)} {errors[:3] if errors else ''}")
    print(f"direct         {own:.2f} images/s ({rates[0]:.2f} before, {rates[1]:.2f} after)")
    print(f"server         {rate:.2f} images/s, {100 * rate / own:.0f} % of it (aim: 80)")
    print(f"mean           {mean:.3f} s")
    print(f"99th percent   {p99:.3f} s, {p99 / mean:.2f} times the mean (aim: 2)")
    print(
        f"memory         {mebibytes[0]:.0f} MiB after {SETTLED}, {mebibytes[1]:.0f} at the end: {memory[1] / memory[0] - 1:+.1%} (aim: 5)"
    )
    print(f"exit status    {status}")
    print(machine.describe())


if __name__ == "__main__":
    main()
