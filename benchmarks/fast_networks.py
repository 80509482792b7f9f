"""Networks cheaper than SCN: operations, error and time of each, trained by the recipe of a bundled configuration.

The networks are in `candidates.py`. They train under JAX, so a GPU without TensorFlow will do. Images, augmentation draws, order, loss,
schedule, averaged weights and decoder are those of `scn-tf train`; the draws are made first, with TensorFlow:

    python benchmarks/fast_networks.py prepare hand_xray ROOT hand.npz --seeds 0 1 2
    KERAS_BACKEND=jax python benchmarks/fast_networks.py train hand.npz --runs paper:0 half:0 --out FOLDER --parallel 2
    python benchmarks/fast_networks.py table FOLDER

`train` writes one JSON file per run after every validation, so that a run that is cut short leaves its figures.
Left out: the guard against a collapse of the loss, since it did not act in these recipes.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.candidates import BUILT_IN, CANDIDATES, candidate, operations
from scn_tf.environment.backend import keras, ops
from scn_tf.models import dtype_policy

# Prepare: TensorFlow.


def prepare(options):
    import tensorflow as tf

    from scn_tf import config
    from scn_tf.data import batching, pipeline
    from scn_tf.data.dataset import open_dataset
    from scn_tf.training import augment, draws
    from scn_tf.training.landmarks import extent_of, truth_of

    values = config.override(config.read_yaml(options.config), {"data.root": str(options.root)})
    settings = config.from_dict(values)
    dataset = open_dataset(options.root)
    settings = settings.resolved(dataset.description.dims)
    train, model = settings.train, settings.model
    found = {
        name: pipeline.examples(dataset, dataset.split(name), settings) for name in (settings.data.train_split, settings.data.val_split)
    }
    training, validation = found.values()
    arrays = {"images": np.stack([one["image"] for one in training.as_numpy_iterator()]).astype("float16")}
    seen = list(validation.as_numpy_iterator())
    arrays |= {f"val_{key}": np.stack([one[key] for one in seen]) for key in ("image", "landmarks", "annotated", "unit_per_pixel")}
    arrays["val_image"] = arrays["val_image"].astype("float16")
    size, count = tuple(model.image_size), len(arrays["images"])
    grid = settings.augment.elastic_grid
    for axis, side in enumerate(size):  # the elastic field at every pixel
        positions = tf.range(side, dtype=tf.float32) * ((grid - 1) / max(side - 1, 1))
        arrays[f"spline_{axis}"] = augment._spline_weights(positions, grid).numpy()
    examples = list(training)

    @tf.function(reduce_retracing=True)
    def one_draw(batch, seed):
        first = tf.unstack(tf.random.split(seed, 2))[0]
        extent = extent_of(batch) if settings.augment.crop > 0 else None
        draw = draws.sample(settings.augment, 1, size, seed=first, extent=extent, zoom=model.fills_input)
        truth = augment.moved(draw, truth_of(batch), size)
        kept = tf.constant([[[-draws.FAR] * len(size), [draws.FAR] * len(size)]]) if draw.kept is None else draw.kept
        found = dict(linear=draw.linear, translation=draw.translation, elastic=draw.elastic, gain=draw.gain, offset=draw.offset, kept=kept)
        return {**found, **truth._asdict()}

    batches = [{key: value[None] for key, value in one.items()} for one in examples]
    numbers = tf.data.Dataset.range(count).map(lambda i: {"index": i})
    for seed in options.seeds:
        stream = iter(batching.training_batches(numbers, count=count, batch_size=1, seed=seed))
        order = np.array([int(next(stream)["index"][0]) for _ in range(train.epochs * count)])
        drawn = [one_draw(batches[index], tf.constant([seed, step])) for step, index in enumerate(order)]
        arrays[f"seed{seed}_index"] = order.astype("int32")
        for key in drawn[0]:
            stacked = np.concatenate([one[key].numpy() for one in drawn])
            kind = {"elastic": "float16", "visible": "uint8", "absent": "uint8"}.get(key, "float32")
            arrays[f"seed{seed}_{key}"] = stacked.astype(kind)
        print(f"seed {seed}: {len(order)} draws", flush=True)
    recipe = dict(
        config=options.config,
        image_size=size,
        channels=dataset.description.channels,
        landmarks=len(dataset.description.names),
        **{key: getattr(model, key) for key in ("filters", "levels", "dropout", "spatial_kernel", "spatial_pooling", "spatial_filters")},
        sigma=settings.heatmap.sigma,
        gamma=settings.heatmap.gamma,
        clip_norm=train.clip_norm,
        learning_rate=train.learning_rate,
        ema=train.ema,
        epochs=train.epochs,
        every=train.validate_every,
    )
    if train.batch_size != 1 or train.loss != "l2" or settings.heatmap.sigma_mode != "fixed":
        raise SystemExit(f"{options.config}: needs batches of one, the loss l2 and fixed sigmas.")
    np.savez_compressed(options.out, recipe=json.dumps(recipe), **arrays)


# Train: JAX.


def recipe_of(data):
    """Settings that the training needs, from a file of `prepare`."""
    return json.loads(str(data["recipe"]))


def train_one(path, name, seed, out, *, precision, epochs=None):
    """Train one candidate with one seed; write its figures to OUT/SET-NAME-SEED.json after every validation."""
    import jax
    import jax.numpy as jnp
    from jax.scipy.ndimage import map_coordinates

    from scn_tf.heatmaps import gaussians, losses
    from scn_tf.heatmaps.decoders.quadratic import quadratic_coordinates

    started = time.monotonic()
    data = np.load(path)
    recipe = recipe_of(data)
    size, epochs = tuple(recipe["image_size"]), epochs or recipe["epochs"]
    dims, count = len(size), len(data["images"])
    total = recipe["epochs"] * count
    keras.utils.set_random_seed(1 + seed)
    with dtype_policy(precision):
        network = candidate(name, recipe)
    judge = candidate(name, recipe)  # in float32, as `scn-tf evaluate`

    class Cosine(keras.optimizers.schedules.LearningRateSchedule):
        """As :func:`scn_tf.training.callbacks.decay`."""

        def __call__(self, step):
            progress = ops.cast(step, "float32") / total
            rise = ops.minimum(1.0, 0.02 + progress / 0.04)
            return recipe["learning_rate"] * rise * 0.5 * (1.0 + ops.cos(math.pi * progress))

    optimizer = keras.optimizers.Adam(Cosine(), use_ema=recipe["ema"] > 0, ema_momentum=recipe["ema"])
    optimizer.build(network.trainable_variables)
    sigmas = jnp.full((recipe["landmarks"],), recipe["sigma"])
    cost = losses.cost_of_nothing("l2", recipe["sigma"], recipe["gamma"], size) * recipe["landmarks"]
    centre = jnp.array([(side - 1) / 2 for side in size[::-1]], "float32")
    axes = [jnp.arange(side, dtype="float32") for side in size]
    pixels = jnp.stack(jnp.meshgrid(*axes, indexing="ij")[::-1], axis=-1)  # (x, y[, z])
    splines = [jnp.array(data[f"spline_{axis}"]) for axis in range(dims)]
    equation = {2: "hy,wx,yxd->hwd", 3: "kz,hy,wx,zyxd->khwd"}[dims]

    def warped(image, draw):
        """As :func:`scn_tf.training.augment.warp_images` and ``change_intensities``, for one image and draw."""
        field = jnp.einsum(equation, *splines, draw["elastic"].astype("float32"))
        source = (pixels + field - centre) @ draw["linear"].T + draw["translation"] + centre
        coordinates = [source[..., dims - 1 - axis] for axis in range(dims)]
        moved = [map_coordinates(image[..., c], coordinates, order=1, mode="constant", cval=-1.0) for c in range(image.shape[-1])]
        within = jnp.all((source >= draw["kept"][0]) & (source <= draw["kept"][1]), axis=-1)
        return jnp.where(within[..., None], jnp.stack(moved, axis=-1), -1.0) * draw["gain"] + draw["offset"]

    def loss(weights, rest, image, draw):
        maps, rest = network.stateless_call(weights, rest, image[None], training=True)
        target = gaussians.render_gaussians(draw["landmarks"][None], sigmas, size, gamma=recipe["gamma"])
        visible, absent = (draw[key].astype("float32")[None] for key in ("visible", "absent"))
        return losses.heatmap_loss(maps, target, visible, absent) / cost, rest

    def step(images, state, draw):
        weights, rest, kept = state
        image = warped(images[draw["index"]].astype("float32"), draw)
        (value, rest), gradients = jax.value_and_grad(loss, has_aux=True)(weights, rest, image, draw)
        norm = jnp.sqrt(sum(jnp.sum(jnp.square(g)) for g in gradients))
        factor = recipe["clip_norm"] / jnp.maximum(norm, recipe["clip_norm"])
        weights, kept = optimizer.stateless_apply(kept, [g * factor for g in gradients], weights)
        return (weights, rest, kept), value

    @jax.jit
    def segment(images, state, draws):
        return jax.lax.scan(lambda state, draw: step(images, state, draw), state, draws)

    @jax.jit
    def find(weights, rest, image):
        with jax.default_matmul_precision("highest"):
            return quadratic_coordinates(judge.stateless_call(weights, rest, image, training=False)[0])[0]

    images = jnp.array(data["images"])
    draws = {key.removeprefix(f"seed{seed}_"): data[key] for key in data.files if key.startswith(f"seed{seed}_")}
    state = tuple([v.value for v in group] for group in (network.trainable_variables, network.non_trainable_variables, optimizer.variables))
    own = [
        next(i for i, v in enumerate(optimizer.variables) if v is one) for one in getattr(optimizer, "_model_variables_moving_average", [])
    ]
    unseen = [v.value for v in judge.non_trainable_variables]
    result = dict(
        set=recipe["config"],
        network=name,
        seed=seed,
        operations=operations(network),
        weights=int(sum(math.prod(v.shape) for v in network.trainable_variables)),
        precision=precision,
        device=str(jax.devices()[0].device_kind),
        jax=jax.__version__,
        validations=[],
    )
    file = Path(out) / f"{recipe['config']}-{name}-{seed}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    began, each = None, recipe["every"]
    for first in range(0, epochs, each):
        part = slice(first * count, min(first + each, epochs) * count)
        state, values = segment(images, state, {key: jnp.array(value[part]) for key, value in draws.items()})
        value = float(jnp.mean(values[-count:]))
        if began is None:
            result["first_segment_s"], began = round(time.monotonic() - started, 1), time.monotonic()
            steps_timed = -(part.stop - part.start)
        averaged = [state[2][i] for i in own] or state[0]
        found = np.concatenate([np.asarray(find(averaged, unseen, jnp.array(one[None], "float32"))) for one in data["val_image"]])
        distance = np.linalg.norm((found - data["val_landmarks"]) * data["val_unit_per_pixel"][:, None], axis=-1)
        errors = distance[data["val_annotated"] > 0]
        result["validations"].append(
            dict(
                epoch=min(first + each, epochs),
                loss=round(value, 4),
                mm=round(float(errors.mean()), 4),
                within_2mm=round(float(100 * (errors < 2).mean()), 2),
                beyond_10mm=int((errors >= 10).sum()),
            )
        )
        done = part.stop + steps_timed
        if done:
            result["ms_per_step_with_validation"] = round(1e3 * (time.monotonic() - began) / done, 3)
        result["best"] = min(result["validations"], key=lambda one: one["mm"])
        result["seconds"] = round(time.monotonic() - started, 1)
        file.write_text(json.dumps(result) + "\n")
        if not np.isfinite(value):
            break
    print(json.dumps({key: result[key] for key in ("set", "network", "seed", "operations", "best", "seconds")}), flush=True)


def train(options):
    """One process per run, several at a time: one compiles while another trains."""
    waiting, running = [(path, run) for run in options.runs for path in options.data], []
    end = time.monotonic() + options.limit
    while waiting or running:
        while waiting and len(running) < options.parallel and time.monotonic() < end:
            path, run = waiting.pop(0)
            name, seed = run.split(":")
            command = [sys.executable, __file__, "one", path, name, seed, options.out, "--precision", options.precision]
            command += ["--epochs", str(options.epochs)] if options.epochs else []
            environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
            running.append(subprocess.Popen(command, env=environment))
        time.sleep(0.2)
        running = [one for one in running if one.poll() is None]
        if time.monotonic() >= end:
            for one in running:
                one.terminate()
            print(f"limit: {len(running)} runs cut short, {len(waiting)} not begun")
            break
    table(options)


def table(options):
    """Mean over the seeds of every set and network, with the operations relative to the paper's network."""
    files = sorted(Path(options.out).glob("*.json*"))
    runs = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    runs = [one for one in runs if one.get("best")]
    base = {one["set"]: one["operations"] for one in runs if one["network"] == "paper"}
    print(
        "| set | network | operations | of the paper's | weights | seeds, epochs | best mm by seed | mean best | mean last | within 2 mm |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for key in sorted({(one["set"], one["network"]) for one in runs}):
        those = [one for one in runs if (one["set"], one["network"]) == key]
        best, last = ([select(one)["mm"] for one in those] for select in (lambda o: o["best"], lambda o: o["validations"][-1]))
        share = f"{100 * those[0]['operations'] / base[key[0]]:.0f} %" if key[0] in base else ""
        epochs = "/".join(str(one["validations"][-1]["epoch"]) for one in those)
        within = np.mean([one["best"]["within_2mm"] for one in those])
        print(
            f"| {key[0]} | {key[1]} | {those[0]['operations'] / 1e9:.2f} G | {share} | {those[0]['weights']:,} | "
            f"{'/'.join(str(one['seed']) for one in those)}, {epochs} | {', '.join(f'{one:.3f}' for one in best)} | "
            f"{np.mean(best):.3f} | {np.mean(last):.3f} | {within:.2f} % |"
        )


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("prepare")
    one.add_argument("config")
    one.add_argument("root", type=Path)
    one.add_argument("out", type=Path)
    one.add_argument("--seeds", type=int, nargs="+", default=[0])
    one.set_defaults(run=prepare)
    one = commands.add_parser("train")
    one.add_argument("data", nargs="+")
    one.add_argument("--runs", nargs="+", required=True, help="NETWORK:SEED")
    one.add_argument("--parallel", type=int, default=1)
    one.add_argument("--limit", type=float, default=1e9, help="seconds; then runs are stopped")
    one.set_defaults(run=train)
    single = commands.add_parser("one")
    for name in ("data", "network"):
        single.add_argument(name)
    single.add_argument("seed", type=int)
    single.add_argument("out")
    single.set_defaults(run=lambda o: train_one(o.data, o.network, o.seed, o.out, precision=o.precision, epochs=o.epochs))
    for command in (one, single):
        command.add_argument("--precision", default="mixed_bfloat16")
        command.add_argument("--epochs", type=int, help="stop after so many; the schedule stays that of the recipe")
    one.add_argument("--out", required=True)
    one = commands.add_parser("table")
    one.add_argument("out")
    one.set_defaults(run=table)
    one = commands.add_parser("count", help="operations of every candidate")
    one.add_argument("data")
    one.set_defaults(run=count)
    one = commands.add_parser("clock", help="time on this machine, under TensorFlow")
    one.add_argument("data")
    one.add_argument("networks", nargs="+")
    one.add_argument("--rounds", type=int, default=9)
    one.add_argument("--precision", default="mixed_bfloat16")
    one.set_defaults(run=clock)
    options = parser.parse_args(arguments)
    options.run(options)


def clock(options):
    """Processor time of a training step (gradient, in the given precision) and of a prediction (float32), all networks in turns."""
    from benchmarks.backend_time import step_function

    recipe = recipe_of(np.load(options.data))
    rng = np.random.default_rng(0)
    image = ops.convert_to_tensor(rng.normal(size=(1, *recipe["image_size"], recipe["channels"])), "float32")
    sides = recipe["image_size"][::-1]
    points = ops.convert_to_tensor(rng.uniform(0.1, 0.9, (1, recipe["landmarks"], len(sides))) * sides, "float32")
    calls, counted = {}, {}
    for name in options.networks:
        with dtype_policy(options.precision):
            network = candidate(name, recipe)
        step, judge = step_function(network, points, recipe["sigma"]), prediction(candidate(name, recipe))
        calls |= {(name, "step"): lambda step=step: step(image), (name, "predict"): lambda judge=judge: judge(image)}
        counted[name] = operations(network)
    for call in calls.values():
        call()
    spent = {key: [] for key in calls}
    for _ in range(options.rounds):
        for key, call in calls.items():
            start = time.process_time()
            call()
            spent[key].append(1e3 * (time.process_time() - start))
    first = options.networks[0]
    for name in options.networks:
        shares = [f"{counted[name] / 1e9:6.2f} G ({100 * counted[name] / counted[first]:3.0f} %)"]
        for kind in ("step", "predict"):
            median = float(np.median(spent[name, kind]))
            shares.append(f"{kind} {median:7.1f} ms ({100 * median / float(np.median(spent[first, kind])):3.0f} %)")
        print(f"{name:20} {'  '.join(shares)}", flush=True)


def prediction(network):
    """Function of images -> points, compiled by the backend."""
    import tensorflow as tf

    from scn_tf.heatmaps.decoders.quadratic import quadratic_coordinates

    run = tf.function(lambda image: quadratic_coordinates(network(image, training=False))[0])
    return lambda image: run(image).numpy()


def count(options):
    """Operations of every candidate."""
    recipe = recipe_of(np.load(options.data))
    for name in (*BUILT_IN, *CANDIDATES):
        network = candidate(name, recipe)
        print(f"{name:20} {operations(network) / 1e9:6.2f} G {network.count_params():>10,}")


if __name__ == "__main__":
    main()
