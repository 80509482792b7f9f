"""Heatmaps to landmarks, the inverse of :mod:`scn_tf.heatmaps.gaussians`: one file and one row per decoder.

Coordinates are (x, y[, z]) in network pixels; integers are pixel centres. Maps are (B, [D,] H, W, N).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scn_tf.registry import Registry

if TYPE_CHECKING:
    from scn_tf.types import Tensor


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """One value of ``heatmap.decoder``.

    Args:
        name: value of ``heatmap.decoder``.
        description: a few words for help texts and tables.
        decode: function of heatmaps (B, [D,] H, W, N) -> (landmarks (B, N, d) float32 network pixels, scores (B, N): the maxima).
            It must use ``keras.ops`` with static sizes, because it is part of every export.
        rank: place in lists.
    """

    name: str
    description: str
    decode: Callable[[Tensor], tuple[Tensor, Tensor]]
    rank: int = 100


DECODERS: Registry[Decoder] = Registry("decoder", Decoder, home="scn_tf.heatmaps.decoders", group="scn_tf.decoders")


def register_decoder(decoder: Decoder) -> None:
    """Add a value of ``heatmap.decoder``. Installed packages declare an entry point instead (docs/extending.md).

    Raises:
        ConfigError: the row is not a :class:`Decoder`, or its name is taken.
    """
    DECODERS.register(decoder)
