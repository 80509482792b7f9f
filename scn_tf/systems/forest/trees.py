"""Regression trees as arrays. scikit-learn grows them; storing and applying them does not need it."""

from typing import NamedTuple

import numpy as np

from scn_tf.environment.extras import needs_extra
from scn_tf.types import Array


class Forest(NamedTuple):
    """T trees, with their M nodes in sequence.

    Attributes:
        roots: int32 (T,) number of each tree's first node.
        feature: int32 (M,) feature that a node tests, -1 for a leaf.
        threshold: float32 (M,); values up to it go left.
        children: int32 (M, 2) left and right.
        values: float32 (M, V) output of a leaf.
    """

    roots: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    children: np.ndarray
    values: np.ndarray


def grow(features: Array, targets: Array, *, trees: int, leaf: int, seed: int) -> Forest:
    """Grow extremely randomised trees.

    Args:
        features: float32 (P, K).
        targets: float32 (P, V).
        trees: number of trees.
        leaf: smallest number of samples per leaf.
        seed: seed of the random choices.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    with needs_extra("model.name forest", "scikit-learn"):
        from sklearn.ensemble import ExtraTreesRegressor
    model = ExtraTreesRegressor(trees, min_samples_leaf=leaf, max_features=0.3, n_jobs=-1, random_state=seed)
    model.fit(features, targets if targets.shape[1] > 1 else targets[:, 0])
    parts = [estimator.tree_ for estimator in model.estimators_]
    roots = np.cumsum([0, *(part.node_count for part in parts)])[:-1]
    shift = [np.where(np.stack([p.children_left, p.children_right], -1) < 0, 0, root) for p, root in zip(parts, roots, strict=True)]
    return Forest(
        roots=roots.astype("int32"),
        feature=np.concatenate([np.where(p.children_left < 0, -1, p.feature) for p in parts]).astype("int32"),
        threshold=np.concatenate([p.threshold for p in parts]).astype("float32"),
        children=np.concatenate([np.stack([p.children_left, p.children_right], -1) + s for p, s in zip(parts, shift, strict=True)]).astype(
            "int32"
        ),
        # Only leaves answer; zeros elsewhere halve the file.
        values=np.concatenate([np.where(p.children_left[:, None] < 0, p.value[:, :, 0], 0.0) for p in parts]).astype("float32"),
    )


def answers(forest: Forest, features: Array) -> Array:
    """Outputs (T, P, V) of every tree for features (P, K)."""
    nodes = np.repeat(forest.roots[:, None], len(features), axis=1)
    samples = np.arange(len(features))[None]
    while True:
        asked = forest.feature[nodes]
        if (asked < 0).all():
            return forest.values[nodes]
        right = (features[samples, np.maximum(asked, 0)] > forest.threshold[nodes]).astype(int)
        nodes = np.where(asked < 0, nodes, forest.children[nodes, right])
