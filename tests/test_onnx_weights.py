"""Constants of ONNX files whose bytes no converter wrote."""

import struct

import numpy as np
import pytest

from scn_tf.export import onnx_weights


def varint(value):
    digits = b""
    while value > 127:
        digits, value = digits + bytes([value & 127 | 128]), value >> 7
    return digits + bytes([value])


def block(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def count(number, value):
    return varint(number << 3) + varint(value)


def model(*fields):
    """A model whose graph has one constant with these fields."""
    return block(7, block(5, b"".join(fields)))


def test_a_constant_that_is_not_finite_is_named_and_others_are_not():
    name, kind = block(onnx_weights.NAME, b"kernel"), count(onnx_weights.TYPE, 1)
    infinite, finite = (block(onnx_weights.RAW, struct.pack("<2f", 0.5, value)) for value in (np.inf, 1.5))
    assert onnx_weights.find_strange(model(name, kind, infinite)) == "kernel"
    assert onnx_weights.find_strange(model(name, kind, finite)) is None


@pytest.mark.parametrize("value", [0, 3, 2**31, 2**63 - 1])
@pytest.mark.parametrize("number", [onnx_weights.NAME, onnx_weights.RAW, onnx_weights.FLOATS, onnx_weights.DOUBLES])
def test_a_number_in_place_of_bytes_is_refused_and_takes_no_memory(number, value):
    with pytest.raises(ValueError, match="a number in place of bytes"):
        onnx_weights.find_strange(model(count(onnx_weights.TYPE, 1), count(number, value)))


@pytest.mark.parametrize("content", [count(7, 5), block(7, count(5, 2**40)), block(7, block(1, count(5, 1)))])
def test_a_number_in_place_of_a_message_is_refused(content):
    with pytest.raises(ValueError, match="a number in place of bytes"):
        onnx_weights.find_strange(content)


def test_a_type_that_is_no_number_counts_as_none():
    raw = block(onnx_weights.RAW, struct.pack("<f", np.nan))
    assert onnx_weights.find_strange(model(block(onnx_weights.TYPE, b"\1"), raw)) is None
