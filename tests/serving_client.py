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


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_header(width, height):
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))


def gif(screen, *frames, corner=(0, 0)):
    """A GIF whose frames have sizes of their own, each behind its extension."""
    extension, pixels = b"\x21\xf9\x04\0\0\0\0\0", b"\x02\x02\x44\x01\0"
    images = [extension + b"\x2c" + struct.pack("<HHHHB", *corner, *frame, 0) + pixels for frame in frames]
    return b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80, 0, 0) + b"\0" * 6 + b"".join(images) + b"\x3b"


def grey_gif(array):
    """A GIF of (H, W) numbers below 128, its codes as long as bytes: no code word ever joins two pixels."""
    height, width = array.shape
    rows = array.ravel().tobytes()
    codes = b"".join(b"\x80" + rows[k : k + 100] for k in range(0, len(rows), 100)) + b"\x81"
    pieces = b"".join(bytes([len(codes[k : k + 255])]) + codes[k : k + 255] for k in range(0, len(codes), 255))
    colours = b"".join(bytes([k] * 3) for k in range(128))
    screen, image = struct.pack("<HHBBB", width, height, 0x86, 0, 0), struct.pack("<HHHHB", 0, 0, width, height, 0)
    return b"GIF89a" + screen + colours + b"\x2c" + image + b"\x07" + pieces + b"\0\x3b"


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
