"""Coverage of landmarks by training images. A landmark that none of them shows cannot be learned, and its errors are meaningless."""

import warnings
from collections.abc import Sequence

import numpy as np

from scn_tf.errors import DataWarning
from scn_tf.messages import cut, visible
from scn_tf.storage.files import counted
from scn_tf.types import PathName

MAX_NAMED = 50
FEW, MANY_IMAGES = 2, 10  # a landmark in so few images of so many is named


def untrained(names: Sequence[str], counts: np.ndarray) -> list[str]:
    """Names of the landmarks that no training image shows.

    Args:
        names: N names.
        counts: (N,) training images that show each landmark, inside image and input.
    """
    return [name for name, count in zip(names, counts, strict=True) if count == 0]


def warn_of_coverage(table: PathName, names: Sequence[str], counts: np.ndarray, images: int, *, annotated: np.ndarray) -> None:
    """Warn (:class:`DataWarning`) about landmarks that are not trained, hardly trained, or not validated.

    Args:
        table: path of the landmark table.
        names: N names.
        counts: (N,) training images that show each landmark.
        images: number of training images.
        annotated: (N,) validation images that have each landmark.
    """
    missing = untrained(names, counts)
    if missing:
        warnings.warn(
            f"{table}: no training image shows {listed(missing)}. The model cannot learn {_them(missing)}, and its points there mean "
            "nothing. They are left out of the errors that choose the best epoch and of the means of evaluations.",
            DataWarning,
            stacklevel=3,
        )
    few = [f"{name} ({count})" for name, count in zip(names, counts, strict=True) if 0 < count <= FEW]
    if few and images >= MANY_IMAGES:
        warnings.warn(
            f"{table}: {FEW} or fewer of the {counted(images, 'training image')} show {listed(few)}. Expect large errors there.",
            DataWarning,
            stacklevel=3,
        )
    unmeasured = [name for name, count, seen in zip(names, counts, annotated, strict=True) if count > 0 and seen == 0]
    if unmeasured:
        warnings.warn(
            f"{table}: no validation image has {listed(unmeasured)}. Nothing measures {_them(unmeasured)} during the training.",
            DataWarning,
            stacklevel=3,
        )


def warn_of_untrained(model: str, never: Sequence[str]) -> None:
    """Warn (:class:`DataWarning`) if a model has landmarks that none of its training images showed.

    Args:
        model: name of the model.
        never: names of these landmarks.
    """
    if never:
        warnings.warn(
            f"{cut(visible(model), 80)}: this model never saw {listed(never)} in training; its points there mean nothing.",
            DataWarning,
            stacklevel=4,
        )


def listed(names: Sequence[str]) -> str:
    """Names for a message, only the first ones if there are many."""
    text = cut(visible(", ".join(names[:MAX_NAMED])), 1500)
    return f"{text} and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else text


def _them(names: Sequence[str]) -> str:
    return "it" if len(names) == 1 else "them"
