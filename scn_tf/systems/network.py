"""Networks that find landmarks by heatmaps, the main system of this package."""

import functools
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from scn_tf.config import Config
from scn_tf.data import pipeline, shares
from scn_tf.data.dataset import Dataset
from scn_tf.environment import workers
from scn_tf.environment.backend import keras, ops
from scn_tf.errors import DataWarning
from scn_tf.figures import pictures
from scn_tf.heatmaps.targets import GaussianTargets
from scn_tf.runs import checkpoints
from scn_tf.runs.info import ModelInfo
from scn_tf.scoring import calibration, evaluation, localization
from scn_tf.scoring.gallery import Maps
from scn_tf.storage.files import counted
from scn_tf.systems import points
from scn_tf.systems.system import System
from scn_tf.training.fit import Task, fit
from scn_tf.training.job import Job
from scn_tf.training.landmarks import LandmarkObjective, landmark_objective, share_visible
from scn_tf.training.parts import parts
from scn_tf.training.trainer import Trainer
from scn_tf.training.validation import Measurement
from scn_tf.types import Array, Locate, Tensor, known


def train(job: Job) -> dict[str, Any]:
    """See :class:`scn_tf.systems.system.System`."""
    _warn_if_no_sides(job.config, job.dataset)
    task = Task(
        objective=functools.partial(landmark_objective, exchange=job.dataset.description.exchange),
        measure=lambda trainer: _measure(trainer, job),
        draw=lambda trainer: _draw(trainer, job),
        facts=_peaks,
        visible=workers.from_chief(lambda: share_visible(job.config, job.examples.training, known(job.config.model.image_size))),
    )
    best = fit(job, task, lambda network: points.greeting(job, network))
    if workers.is_chief():
        _calibrate(job)
    return best


def _calibrate(job: Job) -> None:
    """Store what the errors on the validation images say. A run that was resumed when complete may have that already."""
    network, info = checkpoints.load_model(job.folder.model)
    if info.calibration is not None or {*job.ids[0]} & {*job.ids[1]}:  # errors on training images are too small, which was warned of
        return
    split, examples = job.config.data.val_split, job.examples.validation
    if workers.number() > 1:  # these are a share
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # shown before the training
            examples = pipeline.examples(job.dataset, job.ids[1], job.config)
    try:
        held_out = calibration.observe(network, info, examples, parts(examples, job.config))
        found = calibration.calibrate(network, info, held_out, job.examples.training, split)
    except ValueError as error:
        warnings.warn(
            f"{job.dataset.root}, split {split}: cannot tell how far answers can be trusted: {error}. "
            "The model is not calibrated; scn-tf calibrate does it with another `split`, or with `folds` of the training images.",
            DataWarning,
            stacklevel=2,
        )
        return
    checkpoints.restate(job.folder.model, info.model_copy(update={"calibration": found}))
    print(f"Calibrated on {counted(found.images, 'image')} of {split}, {counted(found.points, 'point')}.", flush=True)


def _warn_if_no_sides(config: Config, dataset: Dataset) -> None:
    """Warn about mirrored images whose landmarks keep their names, which is right only for landmarks on the midline."""
    if config.augment.mirror > 0 and not dataset.description.flip_pairs:
        warnings.warn(
            f"{dataset.root / 'dataset.yaml'}: has no flip_pairs, so augment.mirror {config.augment.mirror:g} mirrors images without "
            "exchanging left and right landmarks. List the pairs if there are any.",
            DataWarning,
            stacklevel=2,
        )


def _measure(trainer: Trainer, job: Job) -> Callable[[], Measurement]:
    """Errors of the landmarks that training images show. Untrained landmarks would make the choice of the epoch random.

    The radii of a calibration are shown beside them, and choose nothing.
    """
    observe = localization.observer(trainer.network, job.config.heatmap.decoder)
    unit, trained = job.info.unit, job.info.trained

    def measure() -> Measurement:
        result = shares.measured(localization.localize(observe, job.examples.validation), job.counts[1])
        errors = localization.point_errors(result)[:, trained]
        mean = float(np.nanmean(errors))
        values: dict[str, Any] = {f"val_pe_mean_{unit}": mean, f"val_pe_median_{unit}": float(np.nanmedian(errors))}
        if unit == "mm":
            values["val_outliers_10"] = int((errors >= 10).sum())
        else:  # a number of pixels says nothing about another size of image
            relative = localization.relative_errors(result)[:, trained]
            values["val_pck_1_percent"] = float(100 * (relative[np.isfinite(relative)] < 1).mean())
        values |= {f"val_{name}": value for name, value in calibration.in_halves(result, job.info).items()}
        return Measurement(values, mean, unit, {f"val_pe_{unit}": mean})

    return measure


def _draw(trainer: Trainer, job: Job) -> Callable[[], Mapping[str, Array]]:
    """The first validation image with its heatmaps, and the targets on the mean image."""
    locate = localization.localizer(trainer.network, job.config.heatmap.decoder)
    parts = tf.function(keras.Model(trainer.network.input, pictures.heatmap_parts(trainer.network)))
    example = next(iter(job.examples.validation.batch(1)))
    mean = mean_example(job.examples.validation)

    def draw() -> dict[str, Array]:
        maps = parts(example["image"])
        landmarks = locate(example["image"]).landmarks
        validation = pictures.validation_figure(
            example["image"][0].numpy(),
            truth=example["landmarks"][0].numpy(),
            visible=example["visible"][0].numpy() > 0,
            predicted=landmarks[0].numpy(),
            heatmaps={name: values[0].numpy() for name, values in maps.items()},
        )
        return {"validation": validation, "targets": pictures.targets_figure(*mean, _targets(trainer).covariances())}

    return draw


def _targets(trainer: Trainer) -> GaussianTargets:
    objective = trainer.objective
    assert isinstance(objective, LandmarkObjective)  # build_trainer was given its builder
    return objective.targets


def _peaks(trainer: Trainer) -> dict[str, Any]:
    """Heights of the targets. Maps of a combined model are relative to them."""
    peaks = np.atleast_1d(keras.ops.convert_to_numpy(_targets(trainer).peak()))
    return {"peaks": tuple(peaks.astype(float).tolist())}


def mean_example(data: tf.data.Dataset) -> tuple[Array, Array]:
    """Mean image ([D,] H, W, C) and mean positions (N, d) of the visible landmarks of a dataset of examples."""
    image = total = count = np.zeros((), np.float32)
    for number, example in enumerate(data, start=1):
        visible = example["visible"].numpy()[:, np.newaxis]
        image = image + (example["image"].numpy() - image) / number
        total, count = total + visible * example["landmarks"].numpy(), count + visible
    return image, total / np.maximum(count, 1)


def open_network(file: Path) -> tuple[Locate, ModelInfo]:
    """See :class:`scn_tf.systems.system.System`."""
    network, info = checkpoints.load_model(file)
    return localization.localizer(network, info.config.heatmap.decoder, info.calibration), info


def open_with_heatmaps(file: Path) -> tuple[Locate, Maps]:
    """Function that finds landmarks, and function that gives the heatmaps of one image for pictures."""
    network, info = checkpoints.load_model(file)
    return localization.localizer(network, info.config.heatmap.decoder, info.calibration), heatmaps_of(network)


def heatmaps_of(network: keras.Model) -> Maps:
    """Function of a network input ([D,] H, W, C): title -> maximum (H, W) over the heatmaps of all landmarks, and along z.

    Each landmark's map counts alike, whatever its height. SCN has three pictures: the product first, then its factors.
    """
    *factors, product = pictures.heatmap_parts(network).items()
    parts = dict([("product" if factors else product[0], product[1]), *factors])
    model = keras.Model(network.input, parts)

    def seen(maps: Tensor) -> Array:
        """Projected before it leaves the device: maps of a volume are large."""
        flat = ops.cast(ops.max(maps, axis=0) if len(maps.shape) == 4 else maps, "float32")
        return np.asarray(ops.convert_to_numpy(ops.max(flat / ops.maximum(ops.max(ops.abs(flat), axis=(0, 1)), 1e-6), axis=-1)))

    def find(image: Array) -> dict[str, Array]:
        maps = model(image[np.newaxis], training=False)
        return {title: seen(maps[title][0]) for title in parts}

    return find


NETWORK = System(
    name="network",
    suffix=".keras",
    prepare=points.prepare,
    sheet=points.sheet,
    train=train,
    info=checkpoints.read_info,
    open=open_network,
    evaluate=points.evaluator(open_with_heatmaps),
    files=evaluation.FILES,
    rank=1,
)
