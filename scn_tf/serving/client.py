"""Find landmarks in image files with a remote TensorFlow Serving, over REST or gRPC.

The server decodes and prepares the images, so a client needs no model. REST needs only NumPy. gRPC needs tensorflow-serving-api,
which imports TensorFlow.
"""

import base64
import contextlib
import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scn_tf.environment.quiet import quiet_stderr
from scn_tf.errors import ClientError
from scn_tf.export.limits import MAX_BATCH
from scn_tf.storage import tables
from scn_tf.types import Array, Estimates, PathName, Vector

MAX_REFUSAL = 500  # characters of it that are shown: TensorFlow's own may hold whole tensors
MAX_TIMEOUT = 1e6  # seconds
MAX_ANSWER = 64 * 2**20  # bytes; MAX_BATCH images with 10 000 landmarks each take 8 MB of JSON
NEEDED = {"landmarks", "scores"}  # outputs of every signature for images
MAGIC = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"BM": "BMP"}


class Found(NamedTuple):
    """Landmarks of one image.

    ``landmarks`` (N, 2): x y in pixels of the file. ``scores`` (N,). ``estimates``: how far the points can be trusted
    (:class:`scn_tf.types.Estimates`), None if the model is not calibrated.
    """

    landmarks: Array
    scores: Array
    estimates: Estimates | None = None


def predict_rest(
    url: str,
    paths: Iterable[PathName],
    *,
    model: str = "scn",
    version: int | None = None,
    signature: str = "serving_default",
    timeout: float = 60.0,
    batch_size: int = MAX_BATCH,
    spacing: Vector | Sequence[Vector] | None = None,
) -> list[Found]:
    """Find landmarks over REST. Files are sent as base64 in JSON.

    Args:
        url: address of the server, such as ``http://127.0.0.1:8501``.
        paths: PNG, JPEG or BMP files of any sizes.
        model: name of the model on the server.
        version: number of its version; the newest by default.
        signature: name of a signature that takes ``image_bytes``.
        timeout: seconds for one request. At worst it takes twice as long, since the last read may wait for this time again.
        batch_size: images per request. A server that batches refuses more than its own largest batch.
        spacing: mm per pixel (x, y) of all files, or (I, 2) of each. Only for models whose signature has this input
            (docs/coordinates.md).

    Returns:
        list of :class:`Found`, one per path, in the same order.

    Raises:
        ClientError: the server, a file or an argument cannot be used.
    """
    _check_timeout(timeout)
    # Other schemes of urllib would read files.
    if not url.startswith(("http://", "https://")):
        raise ClientError(f"{url}: expected the address of a server, such as http://127.0.0.1:8501.")
    version_part = "" if version is None else f"/versions/{version}"
    endpoint = f"{url.rstrip('/')}/v1/models/{urllib.parse.quote(model, safe='')}{version_part}:predict"
    paths, found = list(paths), list[Found]()
    spacings = _spacings(spacing, len(paths))
    for images in _batches(paths, batch_size):
        instances: list[dict[str, object]] = [{"image_bytes": {"b64": base64.b64encode(image).decode("ascii")}} for image in images]
        if spacings is not None:
            for instance, pixel in zip(instances, spacings[len(found) :].tolist(), strict=False):
                instance["spacing"] = pixel
        answer = _post(endpoint, {"signature_name": signature, "instances": instances}, timeout)
        try:
            rows = answer["predictions"]
            outputs = {name: [row[name] for row in rows] for name in NEEDED | set(rows[0])}
        except (KeyError, TypeError, IndexError):
            raise ClientError(f"{endpoint}: expected landmarks and scores of each image, received {str(answer)[:200]}.") from None
        found += _found(outputs, len(images), endpoint)
    return found


def predict_grpc(
    address: str,
    paths: Iterable[PathName],
    *,
    model: str = "scn",
    version: int | None = None,
    signature: str = "serving_default",
    timeout: float = 60.0,
    batch_size: int = MAX_BATCH,
    spacing: Vector | Sequence[Vector] | None = None,
) -> list[Found]:
    """Find landmarks over gRPC. Files are sent unchanged.

    Args:
        address: ``HOST:PORT`` of the server, such as ``127.0.0.1:8500``.
        timeout: seconds for one whole request. Other arguments, result and errors are those of :func:`predict_rest`.
    """
    _check_timeout(timeout)
    if "//" in address or ":" not in address:
        raise ClientError(f"{address}: expected HOST:PORT of a gRPC server, such as 127.0.0.1:8500.")
    try:
        with quiet_stderr():
            import grpc
            import tensorflow as tf
            from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
    except ImportError as error:
        raise ClientError(f"gRPC: {error.name} is not installed; pip install 'tensorflow-serving-api>=2.21,<2.22', or use REST.") from None
    paths, found = list(paths), list[Found]()
    spacings = _spacings(spacing, len(paths))
    with grpc.insecure_channel(address) as channel:
        service = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for images in _batches(paths, batch_size):
            request = predict_pb2.PredictRequest()
            request.model_spec.name, request.model_spec.signature_name = model, signature
            if version is not None:
                request.model_spec.version.value = version
            request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(images, dtype=tf.string, shape=(len(images),)))
            if spacings is not None:
                request.inputs["spacing"].CopyFrom(tf.make_tensor_proto(spacings[len(found) : len(found) + len(images)]))
            try:
                outputs = service.Predict(request, timeout=timeout).outputs
            except grpc.RpcError as error:
                raise ClientError(_grpc_message(address, error, grpc.StatusCode, timeout)) from None
            if missing := NEEDED - set(outputs):
                raise ClientError(f"{address}: the answer lacks {' and '.join(sorted(missing))}; signature {signature} is another model's.")
            found += _found({name: tf.make_ndarray(tensor) for name, tensor in outputs.items()}, len(images), address)
    return found


def predictions_csv(paths: Iterable[PathName], found: Sequence[Found], *, names: Sequence[str] | None = None) -> str:
    """Table as ``scn-tf predict`` writes it, one row per point; see :func:`scn_tf.storage.tables.point_lines`. The ID is the file's stem.

    Args:
        paths: files.
        found: their :class:`Found`.
        names: N landmark names. The default is 0, 1, ..., since a server reports no names.

    Raises:
        ClientError: the number of names is not N.
    """
    labels = range(len(found[0].scores) if found else 0) if names is None else names
    for one in found:
        if len(labels) != len(one.scores):
            raise ClientError(f"names: expected {len(one.scores)} names, one per landmark of the server's model, received {len(labels)}.")
    ids, columns = [Path(path).stem for path in paths], ([getattr(one, name) for one in found] for name in Found._fields)
    return tables.points(ids, labels, *columns)


def _check_timeout(timeout: float) -> None:
    if not 0 < timeout < MAX_TIMEOUT:
        raise ClientError(f"timeout: expected a positive number of seconds below {MAX_TIMEOUT:g}, received {timeout}.")


def _spacings(spacing: object, count: int) -> Array | None:
    """mm per pixel of each image, float32 (I, 2). None stays None.

    Raises:
        ClientError: the numbers are not positive, or do not match the number of images.
    """
    if spacing is None:
        return None
    try:
        values: Array = np.asarray(spacing, np.float32)
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.shape not in ((2,), (count, 2)) or not (np.isfinite(values) & (values > 0)).all():
        raise ClientError(f"spacing: expected two positive numbers of mm per pixel, x and y, or two for each image, received {spacing!r}.")
    return np.broadcast_to(values, (count, 2))


def _batches(paths: Iterable[PathName], batch_size: int) -> Iterator[list[bytes]]:
    """Contents of the files, in lists of at most ``batch_size``."""
    if batch_size < 1:
        raise ClientError(f"batch_size: expected at least 1, received {batch_size}.")
    paths = list(paths)
    for start in range(0, len(paths), batch_size):
        yield [_read(path) for path in paths[start : start + batch_size]]


def _read(path: PathName) -> bytes:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ClientError(f"{path}: cannot be read ({error.strerror}).") from None
    # A server that batches would refuse the neighbours of a file that is no image, too.
    if not content.startswith(tuple(MAGIC)):
        raise ClientError(f"{path}: expected {', '.join(MAGIC.values())}; convert other formats first, or use scn-tf predict.")
    return content


def _post(endpoint: str, body: object, timeout: float) -> Any:
    """Send JSON and return the JSON of the answer."""
    deadline, content = time.monotonic() + timeout, bytearray()
    try:
        request = urllib.request.Request(endpoint, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=timeout) as response:
            while len(content) <= MAX_ANSWER and (piece := response.read1(2**20)):
                content += piece
                if time.monotonic() > deadline:  # the socket's own limit begins anew with every byte
                    raise TimeoutError
    except urllib.error.HTTPError as error:
        raise ClientError(f"{endpoint}: refused with status {error.code}: {_refusal(error)}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            raise ClientError(f"{endpoint}: no answer within {timeout:g} s; raise the timeout or send fewer images at once.") from None
        raise ClientError(f"{endpoint}: cannot be reached ({reason}); is the server running, and is this its REST port?") from None
    if len(content) > MAX_ANSWER:
        raise ClientError(f"{endpoint}: the answer is longer than {MAX_ANSWER} bytes; send fewer images at once.")
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(content)
    raise ClientError(f"{endpoint}: expected JSON, received {bytes(content[:80])!r}; is this the REST port of TensorFlow Serving?")


def _refusal(error: urllib.error.HTTPError) -> str:
    """Message of the server in the body of an HTTP error."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        content = error.read(MAX_ANSWER)
        with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
            return str(json.loads(content)["error"])[:MAX_REFUSAL]
        return content[:MAX_REFUSAL].decode("utf-8", "replace")
    return str(error.reason)


def _grpc_message(address: str, error: Any, codes: Any, timeout: float) -> str:
    """Text of a ``grpc.RpcError``. ``codes`` is ``grpc.StatusCode``, whose library is imported late."""
    code, details = error.code(), str(error.details())[:MAX_REFUSAL]
    if code == codes.UNAVAILABLE:
        # Also the answer of a server whose queue of batches is full.
        return f"{address}: cannot be reached or is overloaded ({details}); is the server running, and is this its gRPC port?"
    if code == codes.DEADLINE_EXCEEDED:
        return f"{address}: no answer within {timeout:g} s; raise the timeout or send fewer images at once."
    return f"{address}: refused with {code.name}: {details}"


def _found(outputs: Mapping[str, Any], count: int, source: str) -> list[Found]:
    """Check the shapes of the outputs by name, and split them by image."""
    landmarks, scores = (_numbers(outputs[name]) for name in ("landmarks", "scores"))
    if scores.ndim != 2 or len(scores) != count or landmarks.shape != (*scores.shape, 2):
        raise ClientError(f"{source}: expected landmarks ({count}, N, 2), scores ({count}, N); received {landmarks.shape}, {scores.shape}.")
    return [Found(*one) for one in zip(landmarks, scores, _estimates(outputs, scores.shape, source), strict=True)]


def _estimates(outputs: Mapping[str, Any], shape: tuple[int, ...], source: str) -> list[Estimates | None]:
    """Estimates of each image, None for those of a model without. ``shape``: (B, N) of the scores."""
    if "error_unit" not in outputs:
        return [None] * shape[0]
    units = [unit.decode("utf-8", "replace") if isinstance(unit, bytes) else unit for unit in outputs["error_unit"]]
    given = {name: _numbers(outputs[name]) for name in Estimates._fields if name in outputs}
    shapes = {name: shape[:1] if name == "image_ok" else shape for name in ("expected_error", "radius95", *given)}
    received = {name: given[name].shape for name in given}
    if received != shapes or len(units) != shape[0] or not all(unit in ("mm", "px") for unit in units):
        raise ClientError(f"{source}: expected error_unit mm or px and {shapes}; received {units} and {received}.")
    return [
        Estimates(
            unit,
            given["expected_error"][number],
            given["radius95"][number],
            present=given["present"][number] > 0 if "present" in given else None,
            image_ok=bool(given["image_ok"][number] > 0) if "image_ok" in given else None,
        )
        for number, unit in enumerate(units)
    ]


def _numbers(values: Any) -> Array:
    """Float32, empty if the values are no array of numbers."""
    try:
        return np.asarray(values, np.float32)
    except (TypeError, ValueError):
        return np.empty(0, np.float32)
