"""Memory of the prediction server after large requests, measured on the running program."""

import os
import re
import struct
import subprocess
import sys
import zlib

from tests.conftest import REPOSITORY
from tests.serving_client import SMALL_PNG, ask, b64, chunk, eventually, metric

BOUND = 400e6  # bytes above the level before; it was 1.1 GB, and 2.5 GB with 16 bits and opacity


def large_png(width, height):
    packer, row = zlib.compressobj(1), bytes(3 * width + 1)
    pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_memory_comes_back_after_images_of_63_megapixels(saved_2d):
    out = saved_2d.parent
    command = [sys.executable, str(REPOSITORY / "export" / "serve.py"), str(out), "--port", "0"]
    with subprocess.Popen(command, env=dict(os.environ), stdout=subprocess.PIPE, text=True) as process:
        try:
            port = int(re.search(r":(\d+) ", process.stdout.readline())[1])
            for _ in range(3):
                assert ask(port, body={"instances": [b64(SMALL_PNG)]})[0] == 200
            resident = lambda: metric(port, "process_resident_memory_bytes")  # noqa: E731
            before, image = resident(), large_png(9000, 7000)
            for times in (1, 5):
                for _ in range(times):
                    assert ask(port, body={"instances": [b64(image)]})[0] == 200
                eventually(lambda: resident() < before + BOUND)
            assert ask(port, body={"instances": [b64(image[:-500])]})[0] == 400
            eventually(lambda: resident() < before + BOUND)
        finally:
            process.terminate()
            process.wait(30)
