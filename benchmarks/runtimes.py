"""Would another runtime answer sooner than TFLite int8? `python benchmarks/runtimes.py RUN [--threads 2]`

The same network in TFLite int8, in ONNX Runtime in float32 and with 8-bit convolutions, and in OpenVINO in float32, bfloat16 and with the
same 8-bit convolutions. Each is a process of its own, since waiting threads of one runtime slow the others, and they take turns three
times on the validation images, one at a time. Printed are the median time, and how far points are from those of ONNX Runtime in float32.
Needs `pip install openvino onnx` beside the extra `all`; without OpenVINO its rows are missing.

Convolutions alone, with their activations, pooling, enlarging and sums up to the heads, are in 8 bits, as in TFLite int8.
"""

import argparse
import importlib.util
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import scn_tf  # noqa: F401
from benchmarks import machine
from scn_tf.data import pipeline
from scn_tf.data.dataset import open_dataset
from scn_tf.export import export_onnx, export_tflite
from scn_tf.runs import checkpoints
from scn_tf.systems import opening

CALIBRATION_IMAGES, ROUNDS = 20, 3
WHOLE = ("Conv", "LeakyRelu", "AveragePool", "Resize", "Add")
BODY = ("/la_", "/sc_conv", "Resize")  # parts of the names of nodes up to the heads


def quantized(path, images, out):
    """Write the ONNX file with an 8-bit body, by ONNX Runtime's own tool."""
    import onnx
    from onnxruntime import quantization

    class Images(quantization.CalibrationDataReader):
        def __init__(self):
            self.left = iter(images)

        def get_next(self):
            image = next(self.left, None)
            return None if image is None else {"image": image[None]}

    nodes = [one.name for one in onnx.load(path).graph.node if one.op_type in WHOLE and any(part in one.name for part in BODY)]
    quantization.quantize_static(path, out, Images(), per_channel=True, nodes_to_quantize=nodes, op_types_to_quantize=list(WHOLE))
    return out


def with_onnx_runtime(path, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda image: session.run(["landmarks"], {"image": image[None]})[0][0]


def with_openvino(path, threads, precision):
    import openvino

    core = openvino.Core()
    options = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    request = core.compile_model(core.read_model(path), "CPU", options).create_infer_request()

    def find(image):
        request.infer({"image": image[None]})
        return request.get_tensor("landmarks").data[0].copy()

    return find


def with_tflite(path, threads):
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(path), num_threads=threads).get_signature_runner()
    return lambda image: runner(image=image[None])["landmarks"][0]


RUNTIMES = {
    "ONNX Runtime float32": lambda folder, threads: with_onnx_runtime(folder / "float32.onnx", threads),
    "ONNX Runtime int8": lambda folder, threads: with_onnx_runtime(folder / "int8.onnx", threads),
    "TFLite int8": lambda folder, threads: with_tflite(folder / "int8.tflite", threads),
    "OpenVINO float32": lambda folder, threads: with_openvino(folder / "float32.onnx", threads, "f32"),
    "OpenVINO bfloat16": lambda folder, threads: with_openvino(folder / "float32.onnx", threads, "bf16"),
    "OpenVINO int8": lambda folder, threads: with_openvino(folder / "int8.onnx", threads, "f32"),
}


def measure(name, folder, threads):
    """Write the seconds and the points of all images by one runtime."""
    find, seconds, points = RUNTIMES[name](folder, threads), [], []
    images = np.load(folder / "images.npy")
    for image in images[:3]:  # the first calls build
        find(image)
    for image in images:
        started = time.perf_counter()
        points.append(find(image))
        seconds.append(time.perf_counter() - started)
    np.save(folder / "seconds.npy", seconds)
    np.save(folder / "points.npy", points)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder; its own data set is read")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", help=argparse.SUPPRESS)  # in a process of its own, with a folder in place of the run
    options = parser.parse_args()
    if options.one:
        return measure(options.one, options.run, options.threads)
    print(machine.describe())
    _, info = checkpoints.load_model(opening.network_file(options.run))
    settings = info.config
    dataset = open_dataset(settings.data.root)
    training, validation = (dataset.split(name) for name in (settings.data.train_split, settings.data.val_split))
    prepared = [
        [example["image"].numpy() for example in pipeline.examples(dataset, ids, settings)]
        for ids in (training[:CALIBRATION_IMAGES], validation)
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "images.npy", np.stack(prepared[1]))
        export_onnx(options.run, folder / "float32.onnx")
        quantized(folder / "float32.onnx", prepared[0], folder / "int8.onnx")
        export_tflite(options.run, folder / "int8.tflite", quantize="int8")
        names = [name for name in RUNTIMES if "OpenVINO" not in name or importlib.util.find_spec("openvino")]
        times, points = {name: [] for name in names}, {}
        for _ in range(ROUNDS):
            for name in names:
                subprocess.run([sys.executable, __file__, str(folder), "--threads", str(options.threads), "--one", name], check=True)
                times[name].append(np.median(np.load(folder / "seconds.npy")))
                points[name] = np.load(folder / "points.npy")
    for name in names:
        apart = np.linalg.norm(points[name] - points["ONNX Runtime float32"], axis=-1)
        several = f"({', '.join(f'{1e3 * one:.1f}' for one in times[name])})"
        print(f"{name:22s} {1e3 * np.median(times[name]):6.1f} ms {several}   pixels apart: {apart.mean():.3f}, largest {apart.max():.2f}")


if __name__ == "__main__":
    main()
