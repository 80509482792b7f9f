"""TensorBoard output of a run."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from scn_tf.errors import WriteError
from scn_tf.storage import files
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
        self.folder, self.names = folder, tuple(names)
        self.writer = tf.summary.create_file_writer(str(folder))

    @contextlib.contextmanager
    def _step(self, epoch: int) -> Iterator[None]:
        """In the block, summaries are of this epoch. They are on the disk at its end.

        Raises:
            WriteError: the disk is full.
        """
        try:
            with self.writer.as_default(step=epoch):
                yield
            self.writer.flush()
        except tf.errors.OpError as error:
            raise WriteError(f"{self.folder}: cannot be written ({files.first_line(error)}).") from None

    def scalars(self, row: Mapping[str, Any], objective: Objective) -> None:
        """Write a row of the history, and learned values of the objective."""
        values = {name: value for name, value in row.items() if name not in UNPLOTTED}
        with self._step(row["epoch"]):
            for name, value in {**values, **objective.scalars(self.names)}.items():
                tf.summary.scalar(name, value)

    def pictures(self, epoch: int, pictures: Mapping[str, Array]) -> None:
        """Write pictures (H, W, 3) by name."""
        with self._step(epoch):
            for name, picture in pictures.items():
                tf.summary.image(name, picture[np.newaxis])

    def close(self) -> None:
        """Finish the event file."""
        self.writer.close()
