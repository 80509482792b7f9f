"""What the prediction server says to input that is wrong, damaged or made to harm."""

import contextlib
import http.client
import json
import re
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf

from scn_tf.serving import headers, servable
from tests.serving_client import GIF, JPEG, NOISE, SMALL_PNG, ask, b64, bmp, chunk, png_header, running

SCAN = JPEG[JPEG.index(b"\xff\xda") : JPEG.index(b"\xff\xda") + 14]


@pytest.fixture(scope="module")
def port(saved_2d):
    model = servable.load(saved_2d)
    with running(model, max_batch=4, max_body_mb=6, max_megapixels=1) as number:
        yield number


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/models/other", None, 404),
        ("/v1/models/scn/versions/2", None, 404),
        (f"/v1/models/scn/versions/{'9' * 5000}", None, 404),
        ("/v1/models/other:predict", {}, 404),
        ("/v1/models/scn/versions/7:predict", {}, 404),
        ("/", None, 404),
        ("/v1/models/scn:classify", {}, 405),
        ("/healthz", {}, 405),
    ],
)
def test_what_is_not_there_is_said(port, path, body, status):
    code, answer = ask(port, path, body)
    assert code == status
    assert list(answer) == ["error"]


SHAPE = (48, 32, 1)  # of the network
FLOATS = {"signature_name": "serve_input"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "JSON Parse error"),
        (b'{"instances": [', "JSON Parse error"),
        (b"\xff\xfe\0", "JSON Parse error"),
        (b"[" * 100_000, "JSON Parse error"),
        (b'{"instances": [NaN]}', "NaN and Infinity"),
        ([1], "a JSON object"),
        ({}, "instances"),
        ({"instances": [1], "inputs": [1]}, "either"),
        ({"signature": "serve_input", "instances": [1]}, "unknown key"),
        ({"signature_name": "nothing", "instances": [1]}, "this model has serve_heatmaps"),
        ({"signature_name": [1], "instances": [1]}, "not found in signature def"),
        ({"instances": []}, "one entry for each image"),
        ({"instances": ["text"]}, '{"b64": "..."}'),
        ({"instances": [{"b64": "a"}]}, "no base64"),
        ({"instances": [{"b64": 7}]}, '{"b64": "..."}'),
        ({"instances": [{"picture": b64(SMALL_PNG)}]}, "an object with image_bytes"),
        ({"inputs": b64(SMALL_PNG)}, "an object with image_bytes"),
        ({"instances": [b64(b"")]}, "image_bytes[0]: it is empty"),
        ({"instances": [b64(SMALL_PNG), b64(b"some text")]}, "image_bytes[1]: it starts like no PNG"),
        ({"instances": [b64(b"RIFF\x1a\0\0\0WEBPVP8L")]}, "starts like no PNG"),
        ({"instances": [b64(SMALL_PNG[:20])]}, "ends within its header"),
        ({"instances": [b64(SMALL_PNG[: len(SMALL_PNG) // 2])]}, "image_bytes[0]: it is a PNG cut short"),
        ({"instances": [b64(JPEG), b64(SMALL_PNG), b64(SMALL_PNG[: len(SMALL_PNG) // 2])]}, "image_bytes[2]: it is a PNG cut short"),
        (
            {"instances": [b64(SMALL_PNG)] * 5 + [b64(JPEG[: len(JPEG) // 2])]},
            "image_bytes[5]: it is a JPEG cut short",
        ),
        ({"instances": [b64(JPEG[: len(JPEG) // 2])]}, "it is a JPEG cut short"),
        ({"instances": [b64(JPEG[:3])]}, "JPEG header"),
        ({"instances": [b64(png_header(40_000, 40_000))]}, "at most 1000000 pixels, received one of 1600000000"),
        ({"instances": [b64(GIF)]}, "it is a GIF; save it as PNG"),
        ({"instances": [b64(SMALL_PNG[:8] + chunk(b"teXt", b"0" * 13) + SMALL_PNG[8:])]}, "image_bytes[0]: it is a damaged PNG"),
        ({"instances": [b64(bmp([(9, 9, 9), (0, 0, 0)] * 128))]}, "a BMP with a palette"),
        (
            {"instances": [b64(SMALL_PNG[:33] + 20 * chunk(b"zTXt", b"k\0\0" + zlib.compress(b"a" * 10**5)) + SMALL_PNG[33:])]},
            "text chunks",
        ),
        ({"instances": [b64(JPEG[:-2] + 100 * SCAN + b"\xff\xd9")]}, "more than 64 scans"),
        ({**FLOATS, "instances": [1]}, "shape (any, 48, 32, 1), received shape (1,)"),
        ({**FLOATS, "instances": np.zeros((1, 48, 33, 1)).tolist()}, "received shape (1, 48, 33, 1)"),
        ({**FLOATS, "instances": np.zeros((1, 48, 32)).tolist()}, "received shape (1, 48, 32)"),
        ({"signature_name": "serve_image", "instances": [[[[0.0]], [[0.0], [0.0]]]]}, "unequal length"),
        ({**FLOATS, "instances": np.zeros((1, *SHAPE)).astype(bool).tolist()}, "received true or false"),
        ({**FLOATS, "instances": np.zeros((1, *SHAPE)).astype(str).tolist()}, "received text"),
        ({**FLOATS, "instances": np.full((1, *SHAPE), 1e300).tolist()}, "range of float32"),
        ({**FLOATS, "instances": np.full((1, *SHAPE), 10**400, dtype=object).tolist()}, "range of float32"),
        (json.dumps({**FLOATS, "instances": np.full((1, *SHAPE), np.nan).tolist()}).encode(), "NaN and Infinity"),
        ({**FLOATS, "instances": np.full((1, *SHAPE), None).tolist()}, "received null"),
        ({"signature_name": "serve_image_uint8", "instances": [[[[256]]]]}, "range of uint8"),
        ({"signature_name": "serve_image_uint8", "instances": [[[[0.5]]]]}, "received fractions"),
        ({"signature_name": "serve_image", "instances": [[[]]]}, "received shape (1, 1, 0)"),
        ({"signature_name": "serve_image_uint8", "instances": np.zeros((1, 1001, 1000, 1), int).tolist()}, "at most 1000000 pixels"),
    ],
)
def test_bad_input_gets_400_and_a_message_and_the_server_goes_on(port, body, words):
    status, answer = ask(port, body=body)
    assert (status, list(answer)) == (400, ["error"])
    assert words in answer["error"]
    assert len(answer["error"]) < 400
    assert not re.search(r"node|Traceback|__inference|/scn_tf/", answer["error"])
    assert ask(port, body={"instances": [b64(SMALL_PNG)]})[0] == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_100_mb_gets_413_while_it_comes_in(port, chunked):
    megabyte = b"0" * 1_000_000
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    length = {} if chunked else {"Content-Length": "100000000"}
    connection.request("POST", "/v1/models/scn:predict", body=(megabyte for _ in range(100)), headers=length, encode_chunked=chunked)
    answer = connection.getresponse()
    assert answer.status == 413
    assert "at most 6 MB" in json.load(answer)["error"]
    connection.close()
    # urllib asks for the connection to be closed, and must not find it reset before it has read the answer.
    assert ask(port, body=megabyte * 100)[0] == 413


def test_a_packed_body_is_refused(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", "/v1/models/scn:predict", body=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
    assert connection.getresponse().status == 415
    connection.close()


@pytest.mark.parametrize(
    ("encoded", "pixels"),
    [
        (SMALL_PNG, 3000),
        (JPEG, 3000),
        (tf.io.encode_jpeg(NOISE, format="rgb", progressive=True).numpy(), 3000),
        (b"BM" + b"\0" * 16 + struct.pack("<iiHH", 50, -60, 1, 24), 3000),
        (bmp([(k, k, k) for k in range(256)]), 30),
        (bmp([(k, k, k) for k in range(9)]), 30),
    ],
)
def test_headers_say_the_pixels(encoded, pixels):
    assert headers.pixels(encoded) == pixels


@pytest.mark.parametrize("length", range(0, 60, 3))
def test_a_cut_header_is_an_error_or_a_number(length):
    for encoded in (SMALL_PNG, JPEG, b"BM" + b"\0" * 60):
        with contextlib.suppress(headers.HeaderError):
            assert headers.pixels(encoded[:length]) >= 0
