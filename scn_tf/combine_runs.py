"""Combine trained networks into one that averages their heatmaps."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scn_tf.config import ModelConfig
from scn_tf.data import pixels
from scn_tf.environment.backend import keras, layers
from scn_tf.errors import CheckpointError
from scn_tf.heatmaps.gaussians import gaussian_height
from scn_tf.heatmaps.losses import LOSSES
from scn_tf.models.parts.layers import CubicResizing
from scn_tf.runs import checkpoints
from scn_tf.runs.info import ModelInfo
from scn_tf.storage import files
from scn_tf.systems import opening
from scn_tf.types import Array, PathName, Sizes, known

SAME = ("dims", "channels", "landmarks", "coordinates", "unit", "spacing_mm")  # facts of the models


def combine(paths: Sequence[PathName], out: PathName) -> ModelInfo:
    """Write one model file that averages several networks. It is used like any other model.

    Each network sees the image at its own size; the maps are enlarged to the largest of these sizes. Maps are divided by the height
    of their targets, so a score near 1 means a clear landmark. Logits (``train.loss cross_entropy``) are not scaled. The weight of
    an ensemble is its number of members.

    Args:
        paths: run folders, model files or names of bundled models; at least two.
        out: ``.keras`` file to write, which must not exist.

    Returns:
        facts of the new file: those of the network with the largest input, and ``members``, the settings of all.

    Raises:
        CheckpointError: a path holds no network, or the networks cannot be averaged.
    """
    out = Path(out)
    if out.suffix != ".keras":
        raise CheckpointError(f"{out}: expected the name of a new model file, such as {out.name or 'hands'}.keras.")
    if out.exists() or out.is_symlink():
        raise CheckpointError(f"{out}: already exists; choose another file for out.")
    if len(paths) < 2:
        raise CheckpointError(f"{paths[0]}: expected at least two networks to combine.")
    found = [opening.landmark_network_file(path) for path in paths]
    files.check_writable(out)
    loaded = [checkpoints.load_model(path) for path in found]
    networks, infos = zip(*loaded, strict=True)
    for path, other in zip(paths[1:], infos[1:], strict=True):
        _check_same_question(paths[0], infos[0], path, other)
    largest = max(infos, key=lambda own: math.prod(own.image_size))
    members = [settings for own in infos for settings in own.networks]
    factors = [(len(own.networks) / len(members) / _heights(own)).tolist() for own in infos]
    changes: dict[str, Any] = {
        "members": tuple(members),
        # A landmark is trained where a member saw it.
        "untrained": tuple(name for name in largest.landmarks if all(name in own.untrained for own in infos)),
        "measurements": {name: text for own in reversed(infos) for name, text in own.measurements.items()},  # of the first that names it
        **{"validation": None, "peaks": (), "data": None, "calibration": None},  # of one of them alone
    }
    if any(own.needs_spacing for own in infos):
        changes["aspect"] = pixels.HEADER
    combined = largest.model_copy(update=changes)
    network = weighted_sum(networks, factors, largest.image_size)
    checkpoints.save_model(network, out, combined)
    return combined


def weighted_sum(networks: Sequence[keras.Model], factors: Sequence[float | Sequence[float]], size: Sizes) -> keras.Model:
    """Functional network from image (B, *size, C) to heatmaps (B, *size, N): the weighted sum of several networks.

    Args:
        networks: functional networks, of any input sizes with the same proportions.
        factors: of each, a number or a list of N.
        size: ([D,] H, W).
    """
    image = keras.Input((*size, networks[0].input_shape[-1]), name="image")
    maps = []
    for number, (network, factor) in enumerate(zip(networks, factors, strict=True), start=1):
        member = keras.Model(network.input, network.output, name=f"member_{number}")
        fitted = CubicResizing(member.input_shape[1:-1], name=f"image_{number}")(image)
        heatmaps = CubicResizing(size, name=f"heatmaps_{number}")(member(fitted))
        maps.append(layers.Rescaling(factor, name=f"relative_{number}")(heatmaps))
    return keras.Model(image, layers.Add(name="heatmaps")(maps), name="ensemble")


def _heights(info: ModelInfo) -> Array:
    """Heights (N,) of a network's targets. They are 1 for an ensemble, whose maps are already relative, and for logits."""
    count, settings = len(info.landmarks), info.config
    if info.members or LOSSES[settings.train.loss].logits:
        return np.ones(count)
    heatmap = settings.heatmap
    # Learned ones are what training made of them; of a file that does not tell, the start is the best guess.
    return np.array(info.peaks or count * [gaussian_height(heatmap.sigma, known(heatmap.gamma), info.dims)])


def _check_same_question(path: PathName, info: ModelInfo, other_path: PathName, other: ModelInfo) -> None:
    """Raise CheckpointError if the maps of two networks cannot be averaged."""
    for name in SAME:
        one, its = getattr(info, name), getattr(other, name)
        if one != its:
            raise CheckpointError(f"{other_path}: has {name} {_short(its)}, {path} has {_short(one)}.")
    if not np.allclose(_extent(info.config.model), _extent(other.config.model)):
        raise CheckpointError(
            f"{other_path}: sees images at {_short(other.image_size)} pixels, {path} at {_short(info.image_size)}: "
            "the sides need the same proportions, and cover as many mm where model.spacing_mm is set."
        )
    pair = (info.config, other.config)
    fixed = all(settings.heatmap.sigma_mode == "fixed" for settings in pair)
    logits = [LOSSES[settings.train.loss].logits for settings in pair]
    if logits[0] != logits[1] or not (fixed or pair[0].heatmap == pair[1].heatmap):
        raise CheckpointError(
            f"{other_path}: its maps cannot be averaged with those of {path}: train.loss must be cross_entropy in all or none, "
            "and the section heatmap the same unless heatmap.sigma_mode is fixed."
        )


def _extent(model: ModelConfig) -> list[float]:
    """Extent of a network's input: sides in mm, or relative to the first side if no spacing is set."""
    size = known(model.image_size)
    unit = model.spacing_mm or 1.0 / size[0]
    return [side * unit for side in size]


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
