"""A model with a calibration whose estimates can be computed by hand: those of a landmark are the same on every image."""

import shutil

import numpy as np

from scn_tf.runs import checkpoints
from scn_tf.uncertainty.calibration import Calibration

FACTOR, POWER = 3.0, 0.8


def expected_errors(count):
    """(N,) network pixels: from 1 to 4."""
    return np.linspace(1.0, 4.0, count)


def radii(count):
    """(N,) network pixels."""
    return FACTOR * expected_errors(count) ** POWER


def calibrated(run, out, *, split="val", **more):
    """Copy of a run's model with this calibration, or without one if ``split`` is None; returns its path. ``more``: fields."""
    shutil.copy(run / "model.keras", out)
    info = checkpoints.read_info(out)
    stated = None
    if split is not None:
        usual = dict(
            split=split,
            images=3,
            points=63,
            decoder=info.config.heatmap.decoder,
            mean=(0.0,) * 3,
            deviation=(1.0,) * 3,
            weights=(0.0,) * 3,
            offsets=tuple(np.log(expected_errors(len(info.landmarks))).tolist()),
            factor=FACTOR,
            power=POWER,
            median=((0.0,) * 3,) * len(info.landmarks),
            usual=((1.0,) * 3,) * len(info.landmarks),
            lowest_presence=-100.0,  # every landmark is there
            largest_strangeness=100.0,  # and every image ordinary
        )
        stated = Calibration(**(usual | more))
    checkpoints.restate(out, info.model_copy(update={"calibration": stated}))
    return out


def seeing(model, out):
    """Copy of a calibrated model that takes every landmark for present and every image for ordinary; returns its path."""
    shutil.copy(model, out)
    info = checkpoints.read_info(out)
    seen = info.calibration.model_copy(update={"lowest_presence": -1e9, "largest_strangeness": 1e9})
    checkpoints.restate(out, info.model_copy(update={"calibration": seen}))
    return out
