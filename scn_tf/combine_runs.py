"""Several trained networks as one: the mean of their heatmaps."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scn_tf.data import pixels
from scn_tf.environment.backend import keras, layers
from scn_tf.errors import CheckpointError
from scn_tf.heatmaps.gaussians import gaussian_height
from scn_tf.models.layers import CubicResizing
from scn_tf.runs import checkpoints
from scn_tf.storage import files
from scn_tf.systems import opening
from scn_tf.types import Array, Metadata, PathName, Sizes

SAME = ("dims", "channels", "landmarks", "coordinates", "unit", "spacing_mm")  # of the metadata


def combine(paths: Sequence[PathName], out: PathName) -> Metadata:
    """Write one model file that answers with the mean of several networks, and is used like any other.

    Each network sees the image at its own size; the maps are enlarged to the largest of these sizes. Each counts relative to
    the height of its targets, so a score near 1 is a clear landmark (but logits, of ``train.loss cross_entropy``, as they are). An
    ensemble among them counts as many times as it has members.

    Args:
        paths: run folders, model files or names of models that come along; at least two.
        out: ``.keras`` file to write, which must not exist.

    Returns:
        metadata of the new file, dict: that of the network with the largest input, and ``members``, the settings of all.

    Raises:
        CheckpointError: no network there, or networks that do not answer the same question.
    """
    out = Path(out)
    if out.suffix != ".keras":
        raise CheckpointError(f"{out}: expected the name of a new model file, such as {out.name or 'hands'}.keras.")
    if out.exists() or out.is_symlink():
        raise CheckpointError(f"{out}: is there already; choose another file for `out`.")
    if len(paths) < 2:
        raise CheckpointError(f"{paths[0]}: expected at least two networks to combine.")
    found = [opening.network_file(path) for path in paths]
    files.check_writable(out)
    loaded = [checkpoints.load_model(path) for path in found]
    networks, metadata = zip(*loaded, strict=True)
    for path, other in zip(paths[1:], metadata[1:], strict=True):
        _check_same_question(paths[0], metadata[0], path, other)
    largest = max(metadata, key=lambda own: math.prod(own["config"]["model"]["image_size"]))
    members = [own.get("members", [own["config"]]) for own in metadata]
    combined = {**largest, "members": [settings for own in members for settings in own]}
    # A landmark is trained where a member saw it.
    combined["untrained"] = [name for name in largest["landmarks"] if all(name in own.get("untrained", ()) for own in metadata)]
    if any(map(pixels.needs_spacing, metadata)):
        combined[pixels.ASPECT] = pixels.HEADER
    factors = [(len(own) / len(combined["members"]) / _heights(its)).tolist() for own, its in zip(members, metadata, strict=True)]
    network = weighted_sum(networks, factors, largest["config"]["model"]["image_size"])
    for name in ("validation", "peaks", "data"):  # of one of them alone
        combined.pop(name, None)
    checkpoints.save_model(network, out, combined)
    return combined


def weighted_sum(networks: Sequence[keras.Model], factors: Sequence[float | Sequence[float]], size: Sizes) -> keras.Model:
    """Functional network, image (B, *size, C) to heatmaps (B, *size, N), the sum of those of several, each times a factor.

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


def _heights(metadata: Metadata) -> Array:
    """Of a network's targets, (N,); maps of an ensemble are relative to them already, and logits have none."""
    count, settings = len(metadata["landmarks"]), metadata["config"]
    if "members" in metadata or settings["train"]["loss"] == "cross_entropy":
        return np.ones(count)
    heatmap, size = settings["heatmap"], settings["model"]["image_size"]
    # Learned ones are what training made of them; of a file that does not tell, the start is the best guess.
    return np.array(metadata.get("peaks") or count * [gaussian_height(heatmap["sigma"], heatmap["gamma"], len(size))])


def _check_same_question(path: PathName, metadata: Metadata, other_path: PathName, other: Metadata) -> None:
    """Raises CheckpointError where the maps of two networks have no mean."""
    for name in SAME:
        if metadata[name] != other[name]:
            raise CheckpointError(f"{other_path}: has {name} {_short(other[name])}, {path} has {_short(metadata[name])}.")
    mine, its = metadata["config"], other["config"]
    if not np.allclose(_extent(mine["model"]), _extent(its["model"])):
        raise CheckpointError(
            f"{other_path}: sees images at {_short(its['model']['image_size'])} pixels, {path} at {_short(mine['model']['image_size'])}: "
            "the sides must be in the same proportion, and cover as many mm where model.spacing_mm is set."
        )
    fixed = all(settings["heatmap"]["sigma_mode"] == "fixed" for settings in (mine, its))
    logits = [settings["train"]["loss"] == "cross_entropy" for settings in (mine, its)]
    if logits[0] != logits[1] or not (fixed or mine["heatmap"] == its["heatmap"]):
        raise CheckpointError(
            f"{other_path}: its maps do not compare with those of {path}: train.loss must be cross_entropy in all or none, "
            "and the section heatmap the same unless heatmap.sigma_mode is fixed."
        )


def _extent(model: dict[str, Any]) -> list[float]:
    """What part of the world a network's input shows: sides in mm, or relative to the first where no spacing is set."""
    unit = model["spacing_mm"] or 1.0 / model["image_size"][0]
    return [side * unit for side in model["image_size"]]


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
