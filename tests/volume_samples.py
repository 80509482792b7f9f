"""Points and frames of two volumes, for the formats of medical programs."""

from pathlib import Path

import numpy as np

from scn_tf.data.images.facts import ImageFacts

NAN = [np.nan] * 3
NAMES = ("AC", "PC, left", 'the "Ünder" one')
POINTS = {"a": np.array([[1.5, 2.125, 3], NAN, [30.1, 1 / 3, 7]]), "b": np.array([[7.0, 8, 2], [9, 10.25, 0], [0, 19, 5]])}
TILTED = np.array([[0, -2.0, 0, 100], [0.5, 0, 0, -7], [0, 0, 3, 11], [0, 0, 0, 1]])
FACTS = {
    "a": ImageFacts(Path("a.nii.gz"), (50, 41, 9), (0.5, 2.0, 3.0), TILTED),
    "b": ImageFacts(Path("b.nrrd"), (31, 20, 6), None, None),
}
