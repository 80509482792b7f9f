"""scn_tf: anatomical landmark localization with SpatialConfiguration-Net.

The two functions most programs need are here; everything else lives in the
modules that ``docs/architecture.md`` lists.

* :func:`build_network` builds a functional ``keras.Model`` from images to heatmaps.
* :func:`load` opens a run folder, ``.keras`` file or SavedModel for prediction.
"""

import os

# TensorFlow reads these when it is first imported; they must be set before that, and only
# here. Set TF_CPP_MIN_LOG_LEVEL=0 yourself to see TensorFlow's own messages.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# On x86 processors without AVX-512 TensorFlow leaves its oneDNN kernels off; without them a
# training step takes twice as long in 2D and three times in 3D (benchmarks/onednn.py).
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

from scn_tf import quiet

quiet.silence_tensorflow()

__version__ = "0.2.0"
__all__ = ["__version__", "build_network", "load"]


def build_network(name="scn", dims=2, **options):
    """See :func:`scn_tf.models.build_network`, which this calls."""
    # Imported on first use: `scn-tf --help` need not wait for TensorFlow.
    quiet.import_tensorflow()
    from scn_tf import models

    return models.build_network(name, dims, **options)


def load(path, **options):
    """See :func:`scn_tf.predict.load`, which this calls."""
    quiet.import_tensorflow()
    from scn_tf import predict

    return predict.load(path, **options)
