"""Shared parts of networks and forests, which both find landmarks: checked examples, the sheet of annotations, the greeting."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from scn_tf.config import Config
from scn_tf.data import cache, coverage, evidence, pipeline, raters, service, shares
from scn_tf.data.dataset import Dataset
from scn_tf.environment import workers
from scn_tf.errors import ConfigError, DatasetError
from scn_tf.figures import sheets
from scn_tf.models import MODELS
from scn_tf.runs.info import ModelInfo
from scn_tf.scoring import evaluation
from scn_tf.scoring.gallery import Maps
from scn_tf.training.job import Examples, Job
from scn_tf.types import Array, Locate


def prepare(config: Config, dataset: Dataset, ids: Sequence[Sequence[str]]) -> Examples:
    """Prepare examples of both splits, and warn about landmarks that cannot be learned.

    Raises:
        ConfigError: the model needs more landmarks.
        DatasetError, ImageError: see :func:`scn_tf.data.pipeline.examples`. Also if there is no landmark to train on or to measure,
            or if ``data.service`` cannot be reached.
    """
    names, chosen, table = dataset.description.names, config.data, dataset.table
    least = MODELS[config.model.name].min_landmarks
    if len(names) < least:
        raise ConfigError(
            f"model.name: {config.model.name} locates landmarks relative to each other and needs {least}, {dataset.root} has {len(names)}."
        )
    shown, annotated = np.zeros(len(names), int), np.zeros(len(names), int)
    surroundings = evidence.Surroundings(dataset.description.coordinates)
    seen = None if chosen.service is None else service.FirstPass()

    def look(example: dict[str, Array]) -> None:
        shown[:] += example["visible"] > 0
        surroundings.add(example)
        if seen is not None:
            seen.add(example)

    def count(example: dict[str, Array]) -> None:
        annotated[:] += example["annotated"] > 0

    if chosen.service is not None:
        service.check(chosen.service)
    raters.check(chosen.rater, dataset)
    raters.warn_of_missing_rows(chosen.rater, dataset, ids[0])
    own, judged = shares.training(config.train, ids[0]), shares.validation(ids[1])
    place = cache.place(config, channels=dataset.description.channels, images=sum(map(len, own)) + len(judged))
    config = config.model_copy(update={"data": chosen.model_copy(update={"cache": place.kind})})
    slots = pipeline.opened_by_slot(dataset, own, config, measured=False, rater=chosen.rater, observe=look)
    validation = pipeline.examples(dataset, judged, config, observe=count)
    shown, annotated = workers.total(shown), workers.total(annotated)
    untrained = tuple(coverage.untrained(names, shown))
    if not shown.any():
        raise DatasetError(f"{table}: split {chosen.train_split} has no annotated landmark to train on.")
    if not annotated.any():
        raise DatasetError(f"{table}: split {chosen.val_split} has no annotated landmark to measure errors with.")
    if not annotated[shown > 0].any():
        raise DatasetError(
            f"{table}: split {chosen.val_split} has no landmark that training images show, so errors cannot be measured. "
            f"Only {coverage.listed(untrained)} are annotated there."
        )
    coverage.warn_of_coverage(table, names, shown, len(ids[0]), annotated=annotated)
    evidence.warn_of_frame(surroundings, table)
    served = None
    if chosen.service is not None and seen is not None:
        served = service.Served(chosen.service, slots[0], seen, parallel=chosen.workers)
    return Examples(pipeline.joined([one.data for one in slots]), validation, untrained, slots, place.line, served)


def arrays(examples: tf.data.Dataset) -> list[dict[str, Array]]:
    """Examples (see :mod:`scn_tf.data.pipeline`) as NumPy dicts."""
    return [{name: value.numpy() for name, value in example.items()} for example in examples]


def sheet(job: Job) -> bytes:
    """PNG of the first training images with their points."""
    first = job.examples.training.take(sheets.MAX_IMAGES[job.info.dims])
    return sheets.annotation_sheet(arrays(first), shares.training_in_order(job.config.train, job.ids[0]), job.info.landmarks)


def evaluator(
    open_file: Callable[[Path], tuple[Locate, Maps | None]],
) -> Callable[[Path, ModelInfo, Dataset, Sequence[str], str, Path], dict[str, Any]]:
    """``evaluate`` of a :class:`scn_tf.systems.system.System`.

    Args:
        open_file: model file -> (function that finds landmarks, function that gives heatmaps for pictures, None if there are none).
    """

    def evaluate(file: Path, info: ModelInfo, dataset: Dataset, ids: Sequence[str], split: str, out: Path) -> dict[str, Any]:
        locate, maps = open_file(file)
        return evaluation.evaluate_landmarks(locate, info, dataset, ids, split, out, maps=maps)

    return evaluate


def greeting(job: Job, system: str, *, board: bool = True) -> str:
    """Text that a training prints at its start: data, lines about the system, and paths."""
    train_count, val_count = job.counts
    annotated = raters.line(job.config.data.rater, job.dataset, job.ids[0])
    return (
        f"Data     {job.info.name} ({job.dataset.root}): {train_count} training, {val_count} validation images, "
        f"{len(job.info.landmarks)} landmarks\n{annotated}{job.examples.place}\n{system}\n"
        f"Points   {job.folder.annotations}   (first training images: do the points lie where they belong?)\n"
        f"Run      {job.folder}" + (f"   (tensorboard --logdir {job.folder.tensorboard})" if board else "")
    )
