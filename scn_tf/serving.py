"""A trained network as a SavedModel: the caller's image in, landmarks in the caller's pixels out.

Preparation and decoder are inside; they are the functions that training and evaluation use.
"""

import json
import os
import shutil
import tempfile
from pathlib import Path

import tensorflow as tf

from scn_tf import checkpoints, config, geometry, models
from scn_tf.checkpoints import METADATA
from scn_tf.heatmaps import DECODERS
from scn_tf.preprocess import GREY_WEIGHTS, network_input


def float32_network(network, metadata):
    """The same network computing in float32, whatever precision it was trained in."""
    settings = config.from_dict(metadata["config"], source="model")
    with models.dtype_policy("float32"):
        copy = models.from_config(settings.model, landmarks=len(metadata["landmarks"]), channels=metadata["channels"])
    copy.set_weights(network.get_weights())
    return copy


class Service(tf.Module):
    """The functions that become signatures.

    Args:
        network: float32 network of a run.
        metadata: of the run's model file.
    """

    def __init__(self, network, metadata):
        super().__init__()
        settings = config.from_dict(metadata["config"], source="model")
        self._network = network
        self.weights = [variable.value for variable in network.variables]
        self._decode = DECODERS[settings.heatmap.decoder]
        self._size = tuple(settings.model.image_size)
        self._channels = metadata["channels"]
        self._spacing = settings.model.spacing_mm
        self._pixel = tuple(metadata["spacing_mm"] or (1.0,) * metadata["dims"])

    def serve_input(self, image):
        """float32 (B, [D,] H, W, C) as the network takes it -> landmarks (B, N, d) network pixels, scores (B, N)."""
        landmarks, scores = self._decode(self._network(image, training=False))
        return {"landmarks": landmarks, "scores": scores}

    def serve_bytes(self, image_bytes):
        """string (B,), encoded PNG, JPEG, BMP or GIF of any size -> landmarks (B, N, 2) pixels x y of each, scores (B, N)."""
        types = (tf.float32, tf.float32, tf.float32)
        images, scales, translations = tf.map_fn(self._prepare, image_bytes, fn_output_signature=types)
        images = tf.ensure_shape(images, [None, *self._size, self._channels])
        result = self.serve_input(images)
        # The inverse of geometry.Fit.
        landmarks = (result["landmarks"] + 0.5 - translations[:, None]) / scales[:, None] - 0.5
        return {"landmarks": landmarks, "scores": result["scores"]}

    def _prepare(self, encoded):
        # 16 bits keep what a 16-bit PNG holds; normalisation takes the range out again.
        image = tf.io.decode_image(encoded, channels=3, dtype=tf.uint16, expand_animations=False)
        image = tf.ensure_shape(tf.cast(image, tf.float32), [None, None, 3])
        if self._channels == 1:
            image = tf.reduce_sum(image * tf.constant(GREY_WEIGHTS), axis=-1, keepdims=True)
        height, width = tf.unstack(tf.cast(tf.shape(image)[:2], tf.float32))
        scale, translation = geometry.fit_axes((width, height), self._pixel, self._size[::-1], spacing=self._spacing, minimum=tf.minimum)
        scale, translation = tf.stack(scale), tf.stack(translation)
        return network_input(image, scale, translation, self._size), scale, translation


def export_saved_model(run, out):
    """Write a versioned SavedModel for TF Serving.

    Args:
        run: run folder.
        out: folder; the model goes to ``out/1``, or the next free number.

    Returns:
        path of the version's folder.

    Raises:
        CheckpointError: no model in the run.
    """
    network, metadata = checkpoints.load_model(Path(run) / "model.keras")
    service = Service(float32_network(network, metadata), metadata)
    size = (*service._size, metadata["channels"])
    signatures = {
        "serve_input": tf.function(service.serve_input).get_concrete_function(tf.TensorSpec((None, *size), tf.float32, name="image"))
    }
    if metadata["dims"] == 2 and (service._spacing is None or metadata["spacing_mm"]):
        signatures["serving_default"] = tf.function(service.serve_bytes).get_concrete_function(
            tf.TensorSpec((None,), tf.string, name="image_bytes")
        )
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    versions = [int(path.name) for path in out.iterdir() if path.name.isdigit()]
    target = out / str(max(versions, default=0) + 1)
    # TF Serving watches this folder: a version must appear there whole.
    temporary = Path(tempfile.mkdtemp(prefix=".export-", dir=out))
    try:
        asset = temporary / METADATA
        asset.write_text(json.dumps(metadata, indent=1))
        service.metadata = tf.saved_model.Asset(str(asset))
        tf.saved_model.save(service, str(temporary / "model"), signatures=signatures)
        os.replace(temporary / "model", target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target
