"""Messages of bad requests stay short, whatever the request holds; odd JSON is refused in moments."""

import json
import time

import pytest
import tensorflow as tf

from scn_tf.serving import requests
from scn_tf.serving.servable import InputError, Signature

LONG = "x" * 3_000_000
SIGNATURES = {
    "serving_default": Signature("serving_default", {"image_bytes": tf.TensorSpec((None,), tf.string)}, {}, None),
    "serve_input": Signature("serve_input", {"image": tf.TensorSpec((None, 2, 3, 1), tf.float32)}, {}, None),
}


def row(text):
    return b'{"signature_name": "serve_input", "instances": [[[[1], [2], [3]], [[4], [5], [' + text.encode() + b"]]]]}"


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({LONG: 1}).encode(),
        json.dumps({"signature_name": LONG, "instances": [1]}).encode(),
        json.dumps({"instances": [{LONG: 1}]}).encode(),
        json.dumps({"instances": [{str(number): 1 for number in range(200_000)}]}).encode(),
        json.dumps({"instances": [LONG]}).encode(),
        json.dumps({"instances": [{"b64": LONG + "?"}]}).encode(),
        json.dumps({"instances": [{"b64": "\u00e9\ud800" * 1000}]}).encode(),
        json.dumps({"inputs": {"image_bytes": {LONG: LONG}}}).encode(),
        json.dumps(LONG).encode(),
        LONG.encode(),
        b'{"instances": ' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}",
        b'{"instances": ' + b'[{"a":' * 300_000 + b"1" + b"}]" * 300_000 + b"}",
        b'{"instances": ' + b"[" * 150 + b"]" * 150 + b"}",
        b'{"instances": [1], "instances": [{"b64": "',
        b'{"instances": [{"b64": ""}], "instances": [{"b64": "AAAA"}]}',
        b"\xef\xbb\xbf{}",
        b'{"instances": [{"b64": "\\ud800"}]}',
        *(
            row(text)
            for text in ("1" * 2_000_000, "1e999", "-1e999", "1e-999999999x", "Infinity", "true", '"7"', "[6]", "null", "0x10", "1" * 5000)
        ),
    ],
    ids=range(28),
)
def test_a_message_is_short_and_comes_in_moments(body):
    start = time.monotonic()
    with pytest.raises(InputError) as refused:
        requests.parse(body, SIGNATURES, most_pixels=1000, most_rows=128, most_pixels_in_all=10_000)
    assert time.monotonic() - start < 3
    assert 10 < len(str(refused.value)) <= 300
    json.dumps(str(refused.value)).encode()


def test_of_two_equal_keys_the_last_counts_as_in_python():
    body = b'{"signature_name": "x", "signature_name": "serve_input", "instances": [1], "instances": [[[[1],[2],[3]],[[4],[5],[6]]]]}'
    call = requests.parse(body, SIGNATURES, most_pixels=1000, most_rows=128, most_pixels_in_all=10_000)
    assert call.inputs["image"].tolist() == [[[[1], [2], [3]], [[4], [5], [6]]]]


def test_a_byte_order_mark_in_front_of_json_is_passed_over():
    with pytest.raises(InputError, match="expected either"):
        requests.parse(b"\xef\xbb\xbf{}", SIGNATURES, most_pixels=1, most_rows=1, most_pixels_in_all=1)
