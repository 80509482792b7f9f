"""Constants of an ONNX file, read without the package onnx, which ONNX Runtime does not need.

Field numbers are those of onnx.proto, which never change.
"""

from collections.abc import Iterator

import numpy as np

from scn_tf.types import Array

# Message -> field number -> message inside it.
INSIDE = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor"},
}
NAME, TYPE, FLOATS, HALVES, RAW, DOUBLES, LOCATION = 8, 2, 4, 5, 9, 10, 14  # fields of a tensor
RAW_TYPES = {1: "<f4", 10: "<f2", 11: "<f8"}
HALF, BRAIN = 10, 16  # element types float16 and bfloat16
MAX_DEPTH = 50


class ExternalWeights(ValueError):
    """The model keeps weights in other files."""


def find_strange(content: bytes) -> str | None:
    """Name of the first constant with a number that is not finite; None if there is none.

    Raises:
        ValueError: the file is no ONNX model, or its weights are in other files.
    """
    for tensor in _tensors(memoryview(content), "model", 0):
        name, values = _values(tensor)
        if not all(np.isfinite(value).all() for value in values):
            return name[:80]
    return None


def _tensors(data: memoryview, kind: str, depth: int) -> Iterator[memoryview]:
    if depth > MAX_DEPTH:
        raise ValueError("graphs nested too deeply")
    for number, value in _fields(data):
        inside = INSIDE[kind].get(number)
        if inside == "tensor":
            yield _block(value)
        elif inside:
            yield from _tensors(_block(value), inside, depth + 1)


def _values(tensor: memoryview) -> tuple[str, list[Array]]:
    """Name and float arrays of a tensor."""
    fields, name, element = list(_fields(tensor)), "constant", 0
    packed: list[Array] = []
    for number, value in fields:
        if number == LOCATION and value == 1:
            raise ExternalWeights("its weights are in other files")
        if number == NAME:
            name = bytes(_block(value)).decode("utf-8", "replace")
        if number == TYPE and isinstance(value, int):
            element = value
    for number, value in fields:
        if number == RAW and element in RAW_TYPES:
            packed.append(np.frombuffer(_block(value), RAW_TYPES[element]))
        elif number == RAW and element == BRAIN:
            packed.append((np.frombuffer(_block(value), "<u2").astype("<u4") << 16).view("<f4"))
        elif number in (FLOATS, DOUBLES):
            packed.append(np.frombuffer(_block(value), "<f4" if number == FLOATS else "<f8"))
        elif number == HALVES and element in (HALF, BRAIN):
            bits = np.array(list(_varints(value)) if isinstance(value, memoryview) else [value], "<u4")
            packed.append(bits.astype("<u2").view("<f2") if element == HALF else (bits << 16).view("<f4"))
    return name, packed


def _block(value: int | memoryview) -> memoryview:
    """Bytes of a field that must hold bytes. A number would stand for as many zero bytes, and take that much memory."""
    if isinstance(value, int):
        raise ValueError("a number in place of bytes")
    return value


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(number, value) of every field of a message."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        value: int | memoryview
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, position = _varint(data, position)
        elif wire in (1, 2, 5):
            size, position = _varint(data, position) if wire == 2 else ({1: 8, 5: 4}[wire], position)
            value, position = data[position : position + size], position + size
            if position > len(data):
                raise ValueError("it ends within a field")
        else:
            raise ValueError("a field of no known kind")
        yield number, value


def _varints(data: memoryview) -> Iterator[int]:
    position = 0
    while position < len(data):
        value, position = _varint(data, position)
        yield value


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(data) and shift < 70:
        byte = data[position]
        value, shift, position = value | (byte & 127) << shift, shift + 7, position + 1
        if byte < 128:
            return value, position
    raise ValueError("it ends within a number")
