"""Grow the forests of a run."""

from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from scn_tf.config import Config, ForestConfig
from scn_tf.runs.info import ModelInfo
from scn_tf.systems.forest import files, shape
from scn_tf.systems.forest.features import Features, draw_features, integral, measure
from scn_tf.systems.forest.trees import Forest, grow
from scn_tf.systems.forest.voting import Stage
from scn_tf.training.remaining import Lines
from scn_tf.types import Array, Example, PathName, known

REACHES = (0.12, 0.04)  # of the image's largest side: the regions of the stages after the first
IMPUTATIONS = 30  # rounds that place absent landmarks by those of their image
MARGIN = 1.5  # training pixels come from a larger region, since an earlier stage errs
COARSE_SIGHT = 0.5  # of the largest side: how far the first stage's features look
SIGHT = 2.5  # of its reach: how far a later stage's features look


def train(config: Config, examples: Sequence[Example], path: PathName, info: ModelInfo) -> None:
    """Grow all stages and write the model file.

    Args:
        config: resolved :class:`scn_tf.config.Config`.
        examples: list of training examples (see :mod:`scn_tf.data.pipeline`) as NumPy dicts.
        path: file to write.
        info: facts for the file.
    """
    rng = np.random.default_rng(config.train.seed)
    examples = [example for example in examples if example["visible"].any()]  # the others say nothing
    tables = [integral(example["image"].mean(axis=-1)) for example in examples]
    landmarks = np.stack([example["landmarks"] for example in examples])  # (I, N, d)
    visible = np.stack([example["visible"] for example in examples]) > 0
    largest, settings = max(known(config.model.image_size)), config.forest
    complete = impute(landmarks, visible)
    total = 1 + len(REACHES) * landmarks.shape[1]
    progress = tqdm(total=total, desc="Growing forests", unit="forest", leave=False, disable=None)
    lines = Lines("Growing", total, "forests")
    stages = [_first_stage(tables, complete, settings, COARSE_SIGHT * largest, rng)]
    progress.update()
    lines.update()
    for reach in (share * largest for share in REACHES):
        features = draw_features(settings.features, landmarks.shape[-1], max(2.0, SIGHT * reach), rng)
        forests = []
        for number in range(landmarks.shape[1]):
            use = visible[:, number] if visible[:, number].any() else np.ones(len(tables), bool)
            seen = [table for table, keep in zip(tables, use, strict=True) if keep]
            forests.append(_near_forest(seen, complete[use, number], features, reach, settings, rng))
            progress.update()
            lines.update()
        stages.append(Stage(reach, features, tuple(forests)))
    progress.close()
    model = shape.learn(complete) if config.model.name == "forest_shape" else None
    files.save(path, stages, model, info)


def impute(landmarks: Array, visible: Array) -> Array:
    """Fill in absent landmarks (I, N, d) at their mean position relative to the image's others.

    Landmarks that are never present go to the middle.
    """
    weight = visible[..., None].astype(float)
    shift = np.zeros((len(landmarks), landmarks.shape[-1]))
    # Absence may depend on where an image lies, as in crops: means are of the images shifted on each other.
    for _ in range(IMPUTATIONS):
        mean = ((landmarks - shift[:, None]) * weight).sum(axis=0) / np.maximum(weight.sum(axis=0), 1)
        shift = ((landmarks - mean) * weight).sum(axis=1) / np.maximum(weight.sum(axis=1), 1)
    never = ~visible.any(axis=0)
    mean[never] = mean[~never].mean(axis=0) if (~never).any() else 0.0
    return np.where(visible[..., None], landmarks, mean + shift[:, None])


def _first_stage(tables: Sequence[Array], landmarks: Array, settings: ForestConfig, sight: float, rng: np.random.Generator) -> Stage:
    features = draw_features(settings.features, landmarks.shape[-1], sight, rng)
    values, targets = [], []
    for table, truth in zip(tables, landmarks, strict=True):
        size = np.array(table.shape[::-1]) - 1
        points = rng.integers(0, size, (settings.samples, len(size)))
        values.append(measure(table, points, features))
        targets.append((truth[None] - points[:, None]).reshape(len(points), -1))
    return Stage(0.0, features, (_grow(values, targets, settings, rng),))


def _near_forest(
    tables: Sequence[Array], truths: Array, features: Features, reach: float, settings: ForestConfig, rng: np.random.Generator
) -> Forest:
    values, targets = [], []
    for table, truth in zip(tables, truths, strict=True):
        size = np.array(table.shape[::-1]) - 1
        points = np.round(truth + rng.uniform(-MARGIN * reach, MARGIN * reach, (settings.samples, len(size)))).astype(int)
        points = np.clip(points, 0, size - 1)
        values.append(measure(table, points, features))
        targets.append(truth - points)
    return _grow(values, targets, settings, rng)


def _grow(values: Sequence[Array], targets: Sequence[Array], settings: ForestConfig, rng: np.random.Generator) -> Forest:
    seed = int(rng.integers(2**31))
    return grow(np.concatenate(values), np.concatenate(targets), trees=settings.trees, leaf=settings.leaf, seed=seed)
