"""Predict requests of TF Serving's REST interface: JSON to arrays by input name, and the answer to JSON.

Row form: ``{"instances": [row, ...]}`` -> ``{"predictions": [row, ...]}``. Column form:
``{"inputs": {name: [...]}}`` -> ``{"outputs": {name: [...]}}``. Bytes are ``{"b64": "..."}``.
"""

import base64
import binascii
import codecs
import contextlib
import gc
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pydantic_core
import tensorflow as tf

from scn_tf.serving import headers
from scn_tf.serving.servable import Arrays, InputError, Signature
from scn_tf.types import Array

DEFAULT_SIGNATURE = "serving_default"
MAX_NUMBERS = 16_000_000  # of an answer: each takes 20 bytes of JSON, and 100 of memory while that is written
KEYS = ("signature_name", "instances", "inputs")
JSON_NAMES: dict[type, str] = {
    str: "text",
    bool: "true or false",
    type(None): "null",
    dict: "an object",
    list: "a list",
    int: "a number",
    float: "a number",
}


class Call(NamedTuple):
    """A checked request. ``inputs``: arrays (B, ...) by name, strings as object arrays of bytes. ``pixels``: of each of the B rows."""

    signature: Signature
    inputs: Arrays
    pixels: list[int]
    rows: bool  # row form, else column form


@contextlib.contextmanager
def without_collector() -> Iterator[None]:
    """Pause Python's garbage collector. It would repeatedly scan every list of a large document and block all threads."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@without_collector()
def parse(body: bytes, signatures: Mapping[str, Signature], *, most_pixels: int, most_rows: int, most_pixels_in_all: int) -> Call:
    """Read a request body.

    Args:
        body: bytes of the JSON document.
        signatures: :class:`Signature` by name.
        most_pixels: limit of one image.
        most_rows, most_pixels_in_all: limits of one request.

    Returns:
        :class:`Call`.

    Raises:
        InputError: the request is invalid; the message is for the caller.
    """
    try:
        document = pydantic_core.from_json(body.removeprefix(codecs.BOM_UTF8), allow_inf_nan=False, cache_strings="none")
    except ValueError as error:
        hint = "; NaN and Infinity are no JSON" if b"NaN" in body or b"Infinity" in body else ""
        raise InputError(f"JSON Parse error: {error}{hint}.") from None
    if not isinstance(document, dict):
        raise InputError(f'expected a JSON object with "instances" or "inputs", received {_kind(document)}.')
    if unknown := set(document) - set(KEYS):
        raise InputError(f"{_short(min(unknown))}: unknown key; a request has {', '.join(KEYS)}.")
    signature = _signature(document.get("signature_name") or DEFAULT_SIGNATURE, signatures)
    rows = "instances" in document
    if rows == ("inputs" in document):
        raise InputError('expected either "instances" (row form) or "inputs" (column form).')
    if rows:
        values = _from_rows(_rows("instances", document["instances"], most_rows), signature)
    else:
        values = {name: _rows(name, value, most_rows) for name, value in _from_columns(document["inputs"], signature).items()}
    inputs = {name: _array(name, values[name], spec) for name, spec in signature.inputs.items()}
    lengths = {name: len(array) for name, array in inputs.items()}
    if len(set(lengths.values())) != 1:
        raise InputError(f"expected as many rows in every input, received {lengths}.")
    pixels = _pixels(inputs, most_pixels)
    if sum(pixels) > most_pixels_in_all:
        raise InputError(f"expected images of at most {most_pixels_in_all} pixels in all, received {sum(pixels)}; send fewer at once.")
    numbers = len(pixels) * sum(math.prod(side or 1 for side in spec.shape[1:]) for spec in signature.outputs.values())
    if numbers > MAX_NUMBERS:
        raise InputError(
            f"{signature.name}: the answer would have {numbers} numbers, at most {MAX_NUMBERS} can be sent; send fewer images."
        )
    _check_files(inputs)
    return Call(signature, inputs, pixels, rows)


def joined(pieces: Sequence[Arrays]) -> Arrays:
    """Join the outputs of a request that ran in several pieces: array (B, ...) by output name."""
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


@without_collector()
def answer(call: Call, outputs: Arrays) -> bytes:
    """The response body.

    Args:
        call: the request.
        outputs: array (B, ...) by output name.

    Returns:
        bytes of a JSON document.

    Raises:
        InputError: input numbers are so large that the network's answer is not finite, which JSON cannot express.
    """
    if not all(np.isfinite(array).all() for array in outputs.values() if array.dtype != object):  # texts are objects
        raise InputError("the network's answer is not finite: the input's numbers are too large.")
    columns = {name: array.tolist() for name, array in outputs.items()}
    if len(columns) == 1:
        (values,) = columns.values()
        return pydantic_core.to_json({"predictions" if call.rows else "outputs": values})
    if not call.rows:
        return pydantic_core.to_json({"outputs": columns})
    return pydantic_core.to_json({"predictions": [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]})


def _signature(name: object, signatures: Mapping[str, Signature]) -> Signature:
    if not isinstance(name, str) or name not in signatures:
        known = ", ".join(sorted(signatures))
        raise InputError(f'Serving signature name: "{_short(name)}" not found in signature def; this model has {known}.')
    return signatures[name]


def _rows(name: str, value: object, most: int) -> list[Any]:
    """The value, if it is a list with one row per image."""
    if not isinstance(value, list) or not value:
        raise InputError(f"{name}: expected a list with one entry for each image, received {_kind(value)}.")
    if len(value) > most:
        raise InputError(f"{name}: expected at most {most} images in a request, received {len(value)}.")
    return value


def _from_rows(instances: Sequence[Any], signature: Signature) -> dict[str, list[Any]]:
    """Convert the row form to lists by input name. With a single input, a row may be the bare value."""
    names = set(signature.inputs)
    values: dict[str, list[Any]] = {name: [] for name in names}
    for number, row in enumerate(instances):
        if not (isinstance(row, dict) and set(row) == names):
            if len(names) > 1 or (isinstance(row, dict) and set(row) != {"b64"}):
                raise InputError(f"instances[{number}]: expected an object with {_listed(names)}, received {_kind(row)}.")
            row = dict.fromkeys(names, row)
        for name in names:
            values[name].append(row[name])
    return values


def _from_columns(inputs: object, signature: Signature) -> dict[str, object]:
    """Convert the column form to lists by input name. A single input may omit its name."""
    names = set(signature.inputs)
    if isinstance(inputs, dict) and set(inputs) == names:
        return inputs
    if len(names) > 1 or isinstance(inputs, dict):
        raise InputError(f"inputs: expected an object with {_listed(names)}, received {_kind(inputs)}.")
    return dict.fromkeys(names, inputs)


def _array(name: str, value: list[Any], spec: tf.TensorSpec) -> Array:
    if spec.dtype == "string":
        array = np.empty(len(value), dtype=object)
        array[:] = [_bytes(f"{name}[{number}]", entry) for number, entry in enumerate(value)]
        return array
    return _numbers(name, value, spec)


def _bytes(name: str, value: object) -> bytes:
    if not (isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str)):
        raise InputError(f'{name}: expected a file as {{"b64": "..."}}, received {_kind(value)}.')
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{name}: is no base64 ({error}).") from None


def _numbers(name: str, value: list[Any], spec: tf.TensorSpec) -> Array:
    """Convert nested lists to an array of the signature's shape and number type. Values are never rounded or reshaped."""
    sides = ", ".join("any" if side is None else str(side) for side in spec.shape)
    expected = f"{name}: expected {spec.dtype.name} numbers of shape ({sides})"
    # The shape that the first entries promise: most mistakes are found without touching the others.
    shape: list[int] = []
    inner: object = value
    while isinstance(inner, list):
        shape.append(len(inner))
        inner = inner[0] if inner else None
    if not spec.shape.is_compatible_with(shape) or 0 in shape:
        raise InputError(f"{expected}, received shape {tuple(shape)}.")
    try:
        # As objects: numpy would turn true into 1, "7" into 7, and a mixture with text into a huge table.
        objects = np.array(value, dtype=object)
    except ValueError:
        raise InputError(f"{expected}, received lists of unequal length.") from None
    kinds = set(map(type, objects.flat))
    if kinds - {int, float}:
        received = "lists of unequal length" if list in kinds else " and ".join(sorted(JSON_NAMES[kind] for kind in kinds - {int, float}))
        raise InputError(f"{expected}, received {received}.")
    dtype = spec.dtype.as_numpy_dtype
    try:
        if spec.dtype.is_integer:
            if float in kinds:
                raise InputError(f"{expected}, received fractions.")
            wide, limits = objects.astype(np.int64), np.iinfo(dtype)
            if wide.min() < limits.min or wide.max() > limits.max:
                raise OverflowError
            return wide.astype(dtype)
        with np.errstate(over="ignore"):
            array = objects.astype(np.float64).astype(dtype)
        if not np.isfinite(array).all():
            raise OverflowError
        return array
    except OverflowError:
        raise InputError(f"{expected}, received one beyond the range of {spec.dtype.name}.") from None


def _pixels(inputs: Arrays, most: int) -> list[int]:
    """Pixels of each row's image, which is its largest input."""
    counts = []
    for name, array in inputs.items():
        if array.dtype == object:
            column = [_header_pixels(f"{name}[{number}]", encoded) for number, encoded in enumerate(array)]
        else:
            column = [math.prod(array.shape[1:-1])] * len(array)
        if max(column) > most:
            raise InputError(f"{name}: expected images of at most {most} pixels, received one of {max(column)}.")
        counts.append(column)
    return [max(row) for row in zip(*counts, strict=True)]


def _header_pixels(name: str, encoded: bytes) -> int:
    try:
        return headers.pixels(encoded)
    except headers.HeaderError as error:
        raise InputError(f"{name}: {error}.") from None


def _check_files(inputs: Arrays) -> None:
    """Refuse incomplete files. This check is the last, since it reads every file completely."""
    for name, array in inputs.items():
        for number, encoded in enumerate(array if array.dtype == object else ()):
            try:
                headers.check(encoded)
            except headers.HeaderError as error:
                raise InputError(f"{name}[{number}]: {error}.") from None


def _listed(names: Iterable[str]) -> str:
    return " and ".join(sorted(names))


def _kind(value: object) -> str:
    if isinstance(value, dict):
        return f"an object with {_short(', '.join(sorted(value)) or 'nothing')}"
    return "an empty list" if value == [] else JSON_NAMES[type(value)]


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:60] + "..."
