"""Training steps and predictions on a GPU, beside the PyTorch twin: ms per image, images per second, peak memory.

    KERAS_BACKEND=jax python benchmarks/gpu.py --out FILE.json     # or tensorflow, where it sees the GPU
    python benchmarks/gpu.py --small                               # a trial on a CPU

A step is network, targets, loss, gradient and Adam, without augmentation. A prediction is network and decoder. Both sides get the same
weights and images. `float32` uses no TF32 on either side, `tf32` allows it; TensorFlow has one switch for both. The twin runs eagerly in
both memory layouts, under autocast for bfloat16: its heads are then bfloat16, those of the Keras network float32. Without PyTorch there
is no twin.
"""

import argparse
import concurrent.futures
import importlib.util
import json
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import scn_tf
from scn_tf.config import ModelConfig
from scn_tf.environment.backend import keras, ops
from scn_tf.heatmaps import gaussians, losses
from scn_tf.heatmaps.decoders.quadratic import quadratic_coordinates
from scn_tf.models import dtype_policy

LANDMARKS, SIGMA, GAMMA = 37, 2.0, 100.0
CASES = [(256, 256, 64), (256, 256, 128), (352, 256, 48)]  # H, W, filters
PRECISIONS = ["float32", "tf32", "bfloat16"]


def inputs(height, width, batch):
    """Random images (B, H, W, 1) and landmarks (B, N, 2)."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(batch, height, width, 1)).astype("float32")
    return images, rng.uniform(8, min(height, width) - 8, (batch, LANDMARKS, 2)).astype("float32")


def keras_loss(maps, landmarks):
    """The paper's loss in mean scale, up to a constant."""
    target = gaussians.render_gaussians(landmarks, ops.convert_to_tensor([SIGMA] * LANDMARKS), maps.shape[1:-1], gamma=GAMMA)
    visible = ops.ones(landmarks.shape[:2])
    return 1e-3 * losses.heatmap_loss(maps, target, visible, 0.0 * visible)


def jax_calls(network, optimizer, precision, images, landmarks, many):
    """(lowered step, lowered prediction, state, arguments) of a network under JAX."""
    import jax

    matmul = {"float32": "highest", "tf32": "tensorfloat32", "bfloat16": "tensorfloat32"}[precision]

    def step(state, images, landmarks):
        weights, rest, kept = state

        def loss(weights):
            maps, after = network.stateless_call(weights, rest, images, training=True)
            return keras_loss(maps, landmarks), after

        (_, rest_after), gradients = jax.value_and_grad(loss, has_aux=True)(weights)
        weights, kept = optimizer.stateless_apply(kept, gradients, weights)
        return weights, rest_after, kept

    def predict(weights, rest, images):
        return quadratic_coordinates(network.stateless_call(weights, rest, images, training=False)[0])

    state = tuple([v.value for v in group] for group in (network.trainable_variables, network.non_trainable_variables, optimizer.variables))
    images, landmarks, many = (jax.numpy.array(one) for one in (images, landmarks, many))
    with jax.default_matmul_precision(matmul):
        return (
            jax.jit(step).lower(state, images, landmarks),
            jax.jit(predict).lower(state[0], state[1], many),
            (state, images, landmarks, many),
        )


def seconds(call, wait, repeats):
    """Median time of a call, of three series; its memory and kernels are warmed up before."""
    for _ in range(3):
        call()
    wait()
    series = []
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        wait()
        series.append((time.perf_counter() - start) / repeats)
    return statistics.median(series)


def measure_jax(cases, batch, many, repeats):
    """Rows of the Keras network under JAX. All programs are compiled at the same time, then timed one after the other."""
    import jax

    lowered = []
    for height, width, filters, precision in cases:
        network, optimizer = keras_network(height, width, filters, precision)
        images, landmarks = inputs(height, width, batch)
        lowered.append(jax_calls(network, optimizer, precision, images, landmarks, inputs(height, width, many)[0]))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        compiled = list(pool.map(lambda one: one.compile(), [call for calls in lowered for call in calls[:2]]))
    for number, (case, (_, _, (state, images, landmarks, several))) in enumerate(zip(cases, lowered, strict=True)):
        step, predict = compiled[2 * number : 2 * number + 2]
        kept = {"state": state, "found": None}

        def train(kept=kept, step=step, images=images, landmarks=landmarks):
            kept["state"] = step(kept["state"], images, landmarks)

        def find(kept=kept, predict=predict, several=several):
            kept["found"] = predict(kept["state"][0], kept["state"][1], several)

        memory = step.memory_analysis()
        peak = memory.temp_size_in_bytes + memory.argument_size_in_bytes + memory.output_size_in_bytes
        yield row(
            "Keras, JAX",
            case,
            seconds(train, lambda kept=kept: jax.block_until_ready(kept["state"]), repeats) / batch,
            seconds(find, lambda kept=kept: jax.block_until_ready(kept["found"]), repeats) / many,
            peak,
        )


def measure_tensorflow(cases, batch, many, repeats):
    """Rows of the Keras network under TensorFlow."""
    import tensorflow as tf

    gpu = bool(tf.config.list_physical_devices("GPU"))
    for height, width, filters, precision in cases:
        tf.config.experimental.enable_tensor_float_32_execution(precision != "float32")
        network, optimizer = keras_network(height, width, filters, precision)
        images, landmarks = (tf.constant(one) for one in inputs(height, width, batch))
        several = tf.constant(inputs(height, width, many)[0])

        @tf.function
        def step(images, landmarks, network=network, optimizer=optimizer):
            with tf.GradientTape() as tape:
                loss = keras_loss(network(images, training=True), landmarks)
            optimizer.apply(tape.gradient(loss, network.trainable_variables), network.trainable_variables)
            return loss

        predict = tf.function(lambda images, network=network: quadratic_coordinates(network(images, training=False)))
        last = {}
        if gpu:
            tf.config.experimental.reset_memory_stats("GPU:0")

        def train(step=step, images=images, landmarks=landmarks, last=last):
            last["step"] = step(images, landmarks)

        def find(predict=predict, several=several, last=last):
            last["found"] = predict(several)[0]

        step_s = seconds(train, lambda last=last: last["step"].numpy(), repeats) / batch
        peak = tf.config.experimental.get_memory_info("GPU:0")["peak"] if gpu else None
        find_s = seconds(find, lambda last=last: last["found"].numpy(), repeats) / many
        yield row("Keras, TensorFlow", (height, width, filters, precision), step_s, find_s, peak)


def keras_network(height, width, filters, precision):
    """A network without dropout, and its optimizer."""
    keras.utils.set_random_seed(1)
    with dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32"):
        network = scn_tf.build_network("scn", landmarks=LANDMARKS, image_size=(height, width), filters=filters, dropout=0.0, preset="small")
    optimizer = keras.optimizers.Adam(1e-4)
    optimizer.build(network.trainable_variables)
    return network, optimizer


def measure_twin(cases, batch, many, repeats):
    """Rows of the PyTorch twin."""
    import torch

    from benchmarks.torch_twin import Twin

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cudnn.benchmark = True

    def wait():
        if device == "cuda":
            torch.cuda.synchronize()

    for height, width, filters, precision in cases:
        settings = ModelConfig(preset="small", image_size=(height, width), filters=filters, dropout=0.0).resolved(2)
        network = keras_network(height, width, filters, "float32")[0]
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision != "float32"
        for name, layout in (("channels first", torch.contiguous_format), ("channels last", torch.channels_last)):
            twin = Twin(network, settings).to(device).to(memory_format=layout)
            adam = torch.optim.Adam(twin.parameters(), lr=1e-4, fused=device == "cuda")
            points = torch.from_numpy(inputs(height, width, batch)[1]).to(device)
            images, several = (
                torch.from_numpy(inputs(height, width, count)[0]).permute(0, 3, 1, 2).contiguous(memory_format=layout).to(device)
                for count in (batch, many)
            )
            casting = torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bfloat16")

            def train(twin=twin, adam=adam, points=points, images=images, casting=casting):
                adam.zero_grad(set_to_none=True)
                with casting:
                    maps = twin.heatmaps(images)
                (1e-3 * 0.5 * torch.sum((maps.float() - torch_targets(points, *images.shape[-2:])) ** 2) / len(images)).backward()
                adam.step()

            def find(twin=twin, several=several, casting=casting):
                with torch.inference_mode(), casting:
                    return twin(several)

            if device == "cuda":
                torch.cuda.reset_peak_memory_stats()
            step_s = seconds(train, wait, repeats) / batch
            peak = torch.cuda.max_memory_allocated() if device == "cuda" else None
            find_s = seconds(find, wait, repeats) / many
            yield row(f"PyTorch, {name}", (height, width, filters, precision), step_s, find_s, peak)


def torch_targets(points, height, width):
    """As :func:`scn_tf.heatmaps.gaussians.render_gaussians`: (B, N, 2) -> (B, N, H, W)."""
    import torch

    rows, columns = (torch.arange(side, device=points.device, dtype=torch.float32) for side in (height, width))
    down = (rows - points[..., 1:2]) ** 2 / (2 * SIGMA**2)
    across = (columns - points[..., 0:1]) ** 2 / (2 * SIGMA**2)
    return gaussians.gaussian_height(SIGMA, GAMMA, 2) * torch.exp(-(down[..., :, None] + across[..., None, :]))


def row(side, case, step_s, predict_s, peak):
    """One line of the result."""
    height, width, filters, precision = case
    found = dict(size=[height, width], filters=filters, precision=precision, side=side)
    found |= dict(step_ms=round(1e3 * step_s, 3), images_per_s=round(1 / predict_s, 1))
    found |= dict(step_peak_mib=None if peak is None else round(peak / 2**20))
    print(json.dumps(found), flush=True)
    return found


def devices():
    """Names of the devices of both sides."""
    names = {"keras": keras.backend.backend()}
    if keras.backend.backend() == "jax":
        import jax

        names |= {"device": str(jax.devices()[0].device_kind), "version": jax.__version__}
    else:
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        names |= {"device": tf.config.experimental.get_device_details(gpus[0])["device_name"] if gpus else "cpu", "version": tf.__version__}
    if importlib.util.find_spec("torch") is not None:
        import torch

        names |= {"torch": torch.__version__, "torch_device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"}
    return names


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=4, help="images of a step")
    parser.add_argument("--many", type=int, default=8, help="images of a prediction")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--precisions", nargs="+", default=PRECISIONS, choices=PRECISIONS)
    parser.add_argument("--small", action="store_true", help="a trial of a few seconds: 32 x 48 pixels, 4 filters")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    sizes = [(32, 48, 4)] if options.small else CASES
    cases = [(*size, precision) for size in sizes for precision in options.precisions]
    result = {"machine": devices(), "batch": options.batch, "many": options.many, "rows": []}
    measured = {"jax": measure_jax, "tensorflow": measure_tensorflow}[keras.backend.backend()]
    for measure in (measured, *([measure_twin] if importlib.util.find_spec("torch") else [])):
        for line in measure(cases, options.batch, options.many, options.repeats):
            result["rows"].append(line)
            if options.out:
                options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
