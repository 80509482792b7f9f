"""Localization of landmarks by the votes of forests, from coarse to fine."""

from collections.abc import Sequence

import numpy as np

from scn_tf.heatmaps.decoders import DECODERS
from scn_tf.systems.forest import shape as shapes
from scn_tf.systems.forest import voting
from scn_tf.systems.forest.features import integral
from scn_tf.systems.forest.shape import ShapeModel
from scn_tf.systems.forest.voting import Stage
from scn_tf.types import Array, Locate, Located, Tensor

COARSE_BLUR = 0.03  # of the image's largest side
CANDIDATES = 5


def build_locate(stages: Sequence[Stage], shape_model: ShapeModel | None, num_landmarks: int, decoder: str) -> Locate:
    """Build a function images (B, [D,] H, W, C) -> :class:`scn_tf.types.Located`.

    Args:
        stages: each a :class:`scn_tf.systems.forest.voting.Stage`, from coarse to fine.
        shape_model: :class:`scn_tf.systems.forest.shape.ShapeModel` that chooses among the peaks of the votes. None: the highest peak.
        num_landmarks: number of landmarks N.
        decoder: name in :data:`scn_tf.heatmaps.decoders.DECODERS`. A score is the share of votes at the maximum of the smoothed map.
    """

    def locate(images: Tensor) -> Located:
        maps = np.stack([vote_maps(stages, shape_model, num_landmarks, image.mean(axis=-1)) for image in np.asarray(images)])
        points, scores = DECODERS[decoder].decode(maps)
        return Located(np.asarray(points), np.asarray(scores))

    return locate


def vote_maps(stages: Sequence[Stage], shape_model: ShapeModel | None, num_landmarks: int, image: Array) -> Array:
    """Smoothed votes of the last stage, float32 ([D,] H, W, N), for an image ([D,] H, W)."""
    table, shape = integral(image), image.shape
    positions, weights = voting.first_votes(stages[0], table, num_landmarks)
    blur = COARSE_BLUR * max(shape)
    maps = [voting.vote_map(positions[:, n], weights[:, n], shape, blur) for n in range(num_landmarks)]
    for stage in stages[1:]:
        places = _places(maps, shape_model, distance=2 * blur)
        blur = max(0.7, voting.BLUR * stage.reach)
        maps = []
        for number, place in enumerate(places):
            votes = voting.near_votes(stage, number, table, place)
            maps.append(voting.vote_map(votes, np.full(len(votes), 1 / len(votes)), shape, blur))
    return np.stack(maps, axis=-1)


def _places(maps: Sequence[Array], shape_model: ShapeModel | None, *, distance: float) -> Array:
    """Centre (N, d) of the next stage's search for each landmark."""
    found = [voting.peaks(votes, CANDIDATES, distance) for votes in maps]
    centre = (np.array(maps[0].shape[::-1]) - 1) / 2  # of a landmark without a vote inside the image
    found = [(points, heights) if len(points) else (centre[None], np.ones(1)) for points, heights in found]
    if shape_model is None:
        return np.stack([points[0] for points, _ in found])
    return shapes.choose(shape_model, *zip(*found, strict=True))
