"""Files of forests: arrays and JSON only, so reading executes nothing."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scn_tf.errors import CheckpointError
from scn_tf.heatmaps.decoders import DECODERS
from scn_tf.runs import info as infos
from scn_tf.runs.checkpoints import DAMAGED, NOT_FINITE
from scn_tf.runs.info import ModelInfo
from scn_tf.storage import checksums, files
from scn_tf.systems.forest.features import Features
from scn_tf.systems.forest.localize import build_locate
from scn_tf.systems.forest.shape import ShapeModel
from scn_tf.systems.forest.trees import Forest
from scn_tf.systems.forest.voting import Stage
from scn_tf.types import Locate, PathName


def save(path: PathName, stages: Sequence[Stage], shape: ShapeModel | None, info: ModelInfo) -> None:
    """Write stages, shape model (or None) and facts, with a checksum (:mod:`scn_tf.storage.checksums`)."""
    stated = json.dumps({**info.to_json(), **checksums.STATEMENT})
    arrays: dict[str, Any] = {"metadata": np.array(stated), "reaches": np.array([stage.reach for stage in stages])}
    for number, stage in enumerate(stages):
        arrays |= {f"{number}/{name}": value for name, value in stage.features._asdict().items()}
        for index, forest in enumerate(stage.forests):
            arrays |= {f"{number}/{index}/{name}": value for name, value in forest._asdict().items()}
    if shape is not None:
        arrays |= {f"shape/{name}": np.asarray(value) for name, value in shape._asdict().items()}
    with files.replaced(path) as temporary:
        with open(temporary, "wb") as file:
            np.savez_compressed(file, **arrays)
        checksums.fill_zip(temporary)


def load(path: PathName) -> tuple[list[Stage], ShapeModel | None, ModelInfo]:
    """(stages, shape model or None, facts) from a file of :func:`save`.

    Raises:
        CheckpointError: the file is missing, damaged or of another program, or holds numbers that are not finite.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
        checksums.check(content, path, CheckpointError)
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = dict(archive)
        stated = json.loads(str(arrays["metadata"]))
        info = infos.read(checksums.without_statement(stated, content, path, CheckpointError), path)
        stages = []
        for number, reach in enumerate(arrays["reaches"]):
            features = Features(*(arrays[f"{number}/{name}"] for name in Features._fields))
            count = 1 if number == 0 else len(info.landmarks)
            forests = [Forest(*(arrays[f"{number}/{index}/{name}"] for name in Forest._fields)) for index in range(count)]
            stages.append(Stage(float(reach), features, tuple(forests)))
        shape = None
        if "shape/mean" in arrays:
            shape = ShapeModel(*(arrays[f"shape/{name}"] for name in ShapeModel._fields))
        _check(stages, shape, info)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file.") from None
    except CheckpointError:
        raise
    except DAMAGED as error:
        raise CheckpointError(f"{path}: cannot be loaded ({files.first_line(error)}).") from None
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise CheckpointError(f"{path}: {NOT_FINITE} ({name}).")
    return stages, shape, info


def _check(stages: Sequence[Stage], shape: ShapeModel | None, info: ModelInfo) -> None:
    """Raise ValueError if tree nodes point outside the arrays or form a cycle."""
    count, dims = len(info.landmarks), info.dims
    if info.config.heatmap.decoder not in DECODERS:
        raise ValueError("unknown decoder")
    for number, (reach, features, forests) in enumerate(stages):
        known = len(features.offsets)
        if not np.isfinite(reach) or features.offsets.shape != (known, 2, dims) or features.radii.shape != (known, 2):
            raise ValueError("misshapen features")
        for roots, feature, threshold, children, values in forests:
            nodes = len(feature)
            inner = np.flatnonzero(feature >= 0)
            sound = (
                values.shape == (nodes, dims * (count if number == 0 else 1))
                and threshold.shape == (nodes,)
                and children.shape == (nodes, 2)
                and feature.max() < known
                and (children[inner] > inner[:, None]).all()  # downwards alone: every walk ends
                and (children[inner] < nodes).all()
                and ((roots >= 0) & (roots < nodes)).all()
            )
            if not sound:
                raise ValueError("invalid tree")
    if shape is not None and (shape.mean.shape != (count, dims) or shape.modes.shape != (len(shape.deviations), count * dims)):
        raise ValueError("shape model of wrong shape")


def read_info(path: PathName) -> ModelInfo:
    """Facts in a file of :func:`save`.

    Raises:
        CheckpointError: see :func:`load`.
    """
    return load(path)[2]


def load_localizer(path: PathName) -> tuple[Locate, ModelInfo]:
    """(function images (B, [D,] H, W, C) -> (landmarks (B, N, d), scores (B, N)) in network pixels, facts of the file).

    Raises:
        CheckpointError: see :func:`load`.
    """
    stages, shape, info = load(path)
    return build_locate(stages, shape, len(info.landmarks), info.config.heatmap.decoder), info
