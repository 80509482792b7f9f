"""Random regression forests that vote for landmarks: what the paper compares the networks with, in 2D and 3D.

Multi-scale patch features, displacement voting from coarse to fine (Ebner et al. 2014), and the same with a PCA shape
model that chooses among the peaks of the votes (after Lindner et al. 2015, Stern et al. 2016, Urschler et al. 2018).
"""

from scn_tf.systems.forest.files import load_localizer
from scn_tf.systems.forest.training import train

NAMES = ("forest", "forest_shape")
__all__ = ["NAMES", "load_localizer", "train"]
