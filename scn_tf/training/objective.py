"""The objective of a network: the part of a train step that knows the kind of truth."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

import tensorflow as tf

from scn_tf.types import Array, Tensor

Truth: TypeAlias = Any  # tensors of a batch, known to the objective alone


class Objective(Protocol):
    """Base of objectives. It is a Keras layer, so that its variables (learned widths) are trained with the network.

    Attributes:
        terms: names of the terms that are shown during training.
        watched: name of the term that is about 1 if a network predicts nothing, or None. The guard against collapse reads it.
    """

    terms: tuple[str, ...]
    watched: str | None

    @property
    def variables(self) -> list[Any]: ...

    def draw(self, batch: Mapping[str, tf.Tensor], seed: Tensor) -> tuple[Tensor, Truth]:
        """Augment a batch of examples (see :mod:`scn_tf.data.pipeline`). Returns (images (B, [D,] H, W, C), their truth)."""

    def loss_terms(self, predicted: Tensor, truth: Truth) -> dict[str, Tensor]:
        """Scalars by name, whose sum is the loss. ``predicted`` is (B, [D,] H, W, N)."""

    def history(self) -> dict[str, float]:
        """Numbers for a row of the history."""

    def scalars(self, names: tuple[str, ...]) -> dict[str, Array]:
        """Numbers for TensorBoard by tag. ``names`` are those of the maps."""
