"""TensorBoard output of a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from scn_tf.training.objective import Objective
from scn_tf.types import Array

UNPLOTTED = ("epoch", "seconds")


class Board:
    """Writer of scalars and pictures of a run.

    Args:
        folder: folder of the event files.
        names: names of the network's maps.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.writer, self.names = tf.summary.create_file_writer(str(folder)), tuple(names)

    def scalars(self, row: Mapping[str, Any], objective: Objective) -> None:
        """Write a row of the history, and learned values of the objective."""
        values = {name: value for name, value in row.items() if name not in UNPLOTTED}
        with self.writer.as_default(step=row["epoch"]):
            for name, value in {**values, **objective.scalars(self.names)}.items():
                tf.summary.scalar(name, value)
        self.writer.flush()

    def pictures(self, epoch: int, pictures: Mapping[str, Array]) -> None:
        """Write pictures (H, W, 3) by name."""
        with self.writer.as_default(step=epoch):
            for name, picture in pictures.items():
                tf.summary.image(name, picture[np.newaxis])
        self.writer.flush()

    def close(self) -> None:
        """Finish the event file."""
        self.writer.close()
