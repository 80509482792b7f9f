"""Warm-up requests. TensorFlow Serving replays them while it loads a version, so that the first caller does not wait.

The format is documented at https://www.tensorflow.org/tfx/serving/saved_model_warmup.
"""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from scn_tf.errors import CheckpointError
from scn_tf.export.limits import MAX_BATCH
from scn_tf.storage import files
from scn_tf.types import PathName

WARMUP_FILE = Path("assets.extra", "tf_serving_warmup_requests")
PICTURE = (1024, 768)  # height, width: about what a radiograph has after export from a viewer


class WarmupWarning(UserWarning):
    """A version was written without warm-up requests."""


def write_warmup(version_folder: PathName, *, batch_sizes: Sequence[int] = (1, MAX_BATCH), model: str = "scn") -> Path | None:
    """Write ``assets.extra/tf_serving_warmup_requests`` into an exported version, completely or not at all.

    TF Serving reads the file once, when it finds the version. Call this before the folder is moved to the watched place. TF Serving
    refuses a version if a request fails, so no batch may be larger than its ``max_batch_size``.

    Args:
        version_folder: folder with ``saved_model.pb``.
        batch_sizes: batch sizes of the requests for ``serving_default``. ``serve_input`` gets one image.
        model: name under which the model is served.

    Returns:
        path of the file. None, with one warning, if tensorflow-serving-api is not installed.

    Raises:
        CheckpointError: the folder holds no SavedModel of this package.
        WriteError: the disk is full or the folder not writable.
    """
    try:
        from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
    except ImportError:
        warnings.warn(
            "warm-up requests are left out: pip install 'tensorflow-serving-api>=2.21,<2.22' to have them.", WarmupWarning, stacklevel=2
        )
        return None
    folder = Path(version_folder)
    target = folder / WARMUP_FILE
    requests = _requests(folder, batch_sizes)
    try:
        # Requests of an export may be rewritten whoever wrote them: that the folder is one was checked.
        with files.replaced(target, ours=lambda _: True) as temporary, tf.io.TFRecordWriter(str(temporary)) as writer:
            for signature, inputs in requests:
                request = predict_pb2.PredictRequest(inputs=inputs)
                request.model_spec.name, request.model_spec.signature_name = model, signature
                log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
                writer.write(log.SerializeToString())
    except tf.errors.OpError as error:  # TensorFlow's own errors of a disk
        raise files.WriteError(f"{target}: cannot be written ({error.message}).") from None
    return target


def _requests(folder: Path, batch_sizes: Sequence[int]) -> list[tuple[str, dict[str, Any]]]:
    """(signature, TensorProto by the name of its input) of each request."""
    signatures = _signatures(folder)
    sizes = [dim.size for dim in signatures["serve_input"].inputs["image"].tensor_shape.dim[1:]]
    # One value for the whole tensor: the record stays small however large a volume is.
    blank = tf.make_tensor_proto(0.0, dtype=tf.float32, shape=(1, *sizes))
    requests = [("serve_input", {"image": blank})]
    if "serving_default" in signatures:
        picture, spaced = _picture(*PICTURE), "spacing" in signatures["serving_default"].inputs
        for size in batch_sizes:
            inputs = {"image_bytes": tf.make_tensor_proto([picture] * size)}
            if spaced:
                inputs["spacing"] = tf.make_tensor_proto(1.0, dtype=tf.float32, shape=(size, 2))
            requests.append(("serving_default", inputs))
    return requests


def _signatures(folder: Path) -> Mapping[str, Any]:
    """Signatures from the file. Reading it takes milliseconds; loading the model takes seconds."""
    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString((folder / "saved_model.pb").read_bytes())
        signatures = saved.meta_graphs[0].signature_def
    except (OSError, DecodeError, IndexError) as error:
        raise CheckpointError(f"{folder}: expected an exported version such as OUT/1, with saved_model.pb ({error}).") from None
    if "serve_input" not in signatures:
        raise CheckpointError(f"{folder}: was not written by scn_tf's export (no signature serve_input).")
    return signatures


def _picture(height: int, width: int) -> bytes:
    """A bright spot as a grey PNG. It is smooth, so it takes few bytes."""
    y, x = np.linspace(-2, 2, height)[:, None], np.linspace(-2, 2, width)
    grey = 255 * np.exp(-(x**2) - y**2)
    return tf.io.encode_png(grey[..., None].astype("uint8")).numpy()
