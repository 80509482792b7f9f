"""What the tests of the prediction server share: a server in a thread, a client, and files that lie."""

import base64
import contextlib
import json
import re
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
import zlib

import numpy as np
import tensorflow as tf

from scn_tf.serving import routes, server

NOISE = np.random.default_rng(0).integers(0, 256, (60, 50, 3), dtype="uint8")
SMALL_PNG = tf.io.encode_png(NOISE).numpy()
JPEG = tf.io.encode_jpeg(NOISE).numpy()
GIF = bytes.fromhex("474946383961010001008000000000000000002c00000000010001000002024401003b")  # one pixel


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_header(width, height):
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))


def bmp(palette, rows=(6, 5)):
    """An 8-bit BMP of (B, G, R) colours."""
    height, width = rows
    table = b"".join(bytes((*colour, 0)) for colour in palette)
    pixels = b"".join(bytes(range(width)) + bytes(-width % 4) for _ in range(height))
    start = 54 + len(table)
    header = struct.pack("<IHHI", start + len(pixels), 0, 0, start) + struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, 8, 0, 0, 0, 0, len(palette), 0
    )
    return b"BM" + header + table + pixels


@contextlib.contextmanager
def running(model, **limits):
    """A server in a thread; gives its port."""
    listener = server._bound_socket("127.0.0.1", 0)
    running_server = server.build_server(routes.Application(model, name="scn", limits=routes.Limits(**limits)))
    thread = threading.Thread(target=running_server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not running_server.started:
        time.sleep(0.01)
    try:
        yield listener.getsockname()[1]
    finally:
        running_server.should_exit = True
        thread.join(30)
    assert not thread.is_alive()


def ask(port, path="/v1/models/scn:predict", body=None):
    """Status and decoded answer; ``body`` is sent as it is if it is bytes, else as JSON."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{path}", data), timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def metric(port, name):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        found = re.search(rf"^{re.escape(name)} (\S+)$", answer.read().decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def eventually(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def b64(content):
    return {"b64": base64.b64encode(content).decode()}


def refused(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False
