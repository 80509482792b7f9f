"""The row of a model: one value of ``model.name`` with everything that the package needs to know about it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from scn_tf.environment.backend import keras

Settings: TypeAlias = Mapping[str, Any]  # the section ``model``, every field set


@dataclass(frozen=True, kw_only=True)
class Model:
    """A network or other system that can be trained under a name.

    Args:
        name: value of ``model.name``.
        description: a few words for help texts and tables.
        build: function (image shape ([D,] H, W, C), number of maps N, **options) -> functional ``keras.Model`` from image
            (B, [D,] H, W, C) to maps (B, [D,] H, W, N). Its keywords are fields of the section ``model``; it receives those that it
            names. None: the system is not a network.
        divisor: function of the resolved section ``model``; every side of the input must be a multiple of its result.
        defaults: values of the section ``model`` that replace the preset's; ``{2: ..., 3: ...}`` gives one value per dimension.
        maps: meaning of its maps, ``"landmarks"`` or ``"labels"``.
        system: name of the row of :data:`scn_tf.systems.SYSTEMS` that trains, opens and evaluates it.
        min_landmarks: smallest number of landmarks.
        filters_per_landmark: whether it loses landmarks with fewer filters than landmarks.
        rank: place in lists.
    """

    name: str
    description: str
    build: Callable[..., keras.Model] | None
    divisor: Callable[[Settings], int]
    defaults: Settings = field(default_factory=dict)
    maps: Literal["landmarks", "labels"] = "landmarks"
    system: str = "network"
    min_landmarks: int = 1
    filters_per_landmark: bool = False
    rank: int = 100

    @property
    def has_heatmaps(self) -> bool:
        """Whether it is a network that predicts heatmaps of landmarks."""
        return self.build is not None and self.maps == "landmarks"


def no_pooling(settings: Settings) -> int:
    """``divisor`` of a model without pooling."""
    return 1


def level_poolings(settings: Settings) -> int:
    """``divisor`` of a model that halves its input between ``levels``."""
    return 2 ** (settings["levels"] - 1)


def spatial_poolings(settings: Settings) -> int:
    """``divisor`` of a model that pools only in its spatial part."""
    return settings["spatial_pooling"]


def all_poolings(settings: Settings) -> int:
    """``divisor`` of a model that pools in both parts."""
    return math.lcm(level_poolings(settings), spatial_poolings(settings))
