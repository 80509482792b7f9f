"""Whatever file is dropped on the demo page or asked of its server, it is answered, and the next one works."""

import csv
import io
import socket
import struct
import subprocess
import sys
import threading
import urllib.request

import numpy as np
import pytest
from PIL import Image

import scn_tf
from scn_tf.serving import demo
from tests import chromium
from tests.chromium import downloaded, drop, errors_of, wait_for
from tests.serving_client import chunk

SAME_PX = 0.1


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium.start(tmp_path_factory.mktemp("browser")) as driver:
        yield driver


@pytest.fixture(scope="module")
def site(browser, run_2d, tmp_path_factory):
    folder = demo.build(run_2d, tmp_path_factory.mktemp("demo"))
    with demo.server(folder, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def page(browser, site):
    browser.get(site)
    wait_for(browser, "Ready.")
    return browser


@pytest.fixture(scope="module")
def hand(hands_2d):
    return np.array(Image.open(hands_2d / "images" / "hand_007.png"))


def encoded(array, kind, mode=None, **options):
    image = Image.fromarray(array)
    file = io.BytesIO()
    (image.convert(mode) if mode else image).save(file, kind, **options)
    return file.getvalue()


def exif(orientation):
    return b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def png(header, *chunks):
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", *header)) + b"".join(chunks) + chunk(b"IEND", b"")


def unreadable(hand):
    """(name, content, what its message says)."""
    good = encoded(hand, "PNG")
    photo, slow = (encoded(hand, "JPEG", progressive=progressive) for progressive in (False, True))
    palette = encoded(np.stack([hand] * 3, -1), "PNG", "P")
    bmp = encoded(hand, "BMP")
    bad = bytearray(good)
    bad[len(bad) // 2] ^= 0x55
    yield "empty.png", b"", "it is empty"
    yield "nothing", b"", "it is empty"
    yield "no_width.png", png((0, 9, 8, 0, 0, 0, 0), chunk(b"IDAT", b"")), "it has 0 x 9 pixels"
    yield "no_height.bmp", bmp[:22] + bytes(4) + bmp[26:], "damaged"
    yield "no_pixels.png", png((9, 9, 8, 0, 0, 0, 0), chunk(b"IDAT", b"")), "cut short"
    yield "no_data.png", png((9, 9, 8, 0, 0, 0, 0)), "cut short"
    for share in (0.3, 0.7, 0.99):
        for name, content in (("cut.png", good), ("cut.jpg", photo), ("slow.jpg", slow), ("palette.png", palette), ("cut.bmp", bmp)):
            yield f"{share}_{name}", content[: int(share * len(content))], "cut short"
    yield "damaged.png", bytes(bad), "damaged"
    yield "ink.jpg", encoded(hand, "JPEG", "CMYK"), "CMYK"
    for kind in ("GIF", "WebP", "TIFF"):
        yield f"a.{kind}", encoded(hand, kind), "use scn-tf predict" if kind == "TIFF" else f"is {kind}, which this page does not read"
    yield "film.png", encoded(hand, "PNG", save_all=True, append_images=[Image.fromarray(hand[::-1].copy())]), "animated"
    yield "a.avif", b"\0\0\0\x1cftypavif" + bytes(50), "is AVIF or HEIC"
    yield "a.svg", b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", "is SVG"
    yield "a.dcm", bytes(128) + b"DICM" + bytes(99), "is DICOM, which this page does not read: use scn-tf predict"
    yield "x" * 250 + ".png", b"text", "expected PNG, JPEG or BMP."
    yield "../../%00\u202e<img src=x onerror=alert(1)>\r\n\0.png", b"\x89PNG", "expected PNG, JPEG or BMP."


def test_a_file_of_any_content_is_answered_and_the_next_ones_are_found(page, hand):
    good = encoded(hand, "PNG")
    drop(page, "good.png", good)
    wait_for(page, "1 image, 21 landmarks each.")
    trials = list(unreadable(hand))
    for number, (name, content, words) in enumerate(trials):
        drop(page, name, content)
        wait_for(page, f"{number + 1} image{'s' * (number > 0)}, 21 landmarks each.")
        (message,) = errors_of(page)
        assert words in message, name
        drop(page, f"good_{number}.png", good)
        wait_for(page, f"{number + 2} images, 21 landmarks each.")
        assert errors_of(page) == []


def test_a_constant_image_and_one_of_a_single_pixel_do_not_stop_the_page(page, hand):
    for number, array in enumerate((hand, np.full((40, 30), 7, "uint8"), np.zeros((1, 1), "uint8"), np.zeros((9, 9), "uint16"), hand)):
        drop(page, f"{number}.png", encoded(array, "PNG"))
        wait_for(page, f"{number + 1} image{'s' * (number > 0)}, 21 landmarks each.")
    assert all("it is not like the images that the model was trained on" in line for line in errors_of(page))


def test_a_step_of_the_page_that_fails_is_reported_and_the_next_file_is_found(page, hand):
    page.execute_script("window.createImageBitmapOfPage = createImageBitmap; createImageBitmap = () => { throw new Error('no memory'); }")
    drop(page, "one.png", encoded(hand, "PNG"))
    wait_for(page, "0 images, 21 landmarks each.")
    assert errors_of(page) == ["one.png: no memory"]
    page.execute_script("createImageBitmap = createImageBitmapOfPage")
    drop(page, "two.png", encoded(hand, "PNG"))
    wait_for(page, "1 image, 21 landmarks each.")


def pixels_as_stored(hand):
    """(name, content, what Python reads of it)."""
    deep = hand.astype("uint16") * 201
    few = (hand // 64).astype("uint8")
    wide = hand[:150]
    yield "deep.png", encoded(deep, "PNG"), deep
    opacity = np.tile(np.arange(hand.shape[1], dtype="uint8"), (len(hand), 1))
    yield "opacity.png", encoded(np.stack([hand, opacity], -1), "PNG"), hand
    # A palette of four greys, one of them transparent.
    indices = Image.fromarray(few, "P")
    indices.putpalette([0, 0, 0, 80, 80, 80, 160, 160, 160, 240, 240, 240])
    file = io.BytesIO()
    indices.save(file, "PNG", transparency=2, bits=2)
    yield "palette.png", file.getvalue(), few * 80
    yield "bits.png", encoded(hand > 99, "PNG"), (hand > 99) * np.uint8(255)
    for orientation in (6, 3):
        photo = encoded(wide, "JPEG", quality=95)
        block = b"Exif\0\0" + exif(orientation)
        yield f"turned_{orientation}.jpg", photo[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + photo[2:], photo
    flat = encoded(wide, "PNG")
    yield "turned.png", flat[:33] + chunk(b"eXIf", exif(8)) + flat[33:], wide
    yield "turned_not.png", flat[:33] + chunk(b"eXIf", exif(1)) + flat[33:], wide
    yield "turned_badly.png", flat[:33] + chunk(b"eXIf", exif(99)[:-9]) + flat[33:], wide
    yield "colour.bmp", encoded(np.stack([hand, hand // 2, 255 - hand], -1), "BMP"), np.stack([hand, hand // 2, 255 - hand], -1)


@pytest.mark.filterwarnings("ignore:Saving I mode images:DeprecationWarning", "ignore:.*mode.*parameter:DeprecationWarning")
def test_pixels_are_those_that_are_stored_and_a_note_says_where_exif_would_turn_them(page, hand, run_2d):
    model, cases = scn_tf.load(run_2d), list(pixels_as_stored(hand))
    for number, (name, content, _) in enumerate(cases):
        drop(page, name, content)
        wait_for(page, f"{number + 1} image{'s' * (number > 0)}, 21 landmarks each.")
        turned = {"turned_6.jpg": 6, "turned_3.jpg": 3, "turned.png": 8}.get(name)
        note = f"{name}: note: EXIF says to turn it (orientation {turned}); landmarks are in its pixels as stored, not turned."
        assert errors_of(page) == ([note] if turned else [])
    page.find_element("id", "csv").click()
    rows = list(csv.DictReader(io.StringIO(downloaded(page, "predictions.csv"))))
    for name, _, stored in cases:
        array = np.array(Image.open(io.BytesIO(stored))) if isinstance(stored, bytes) else stored
        found = np.array([[float(row["x"]), float(row["y"])] for row in rows if row["id"] == name.rsplit(".", 1)[0]])
        assert np.abs(found - model.predict(array).landmarks).max() <= SAME_PX, name


def raw(port, content):
    """First line of the answer to bytes, b"" if there is none."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(content)
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    return answer


def test_no_path_or_method_ends_a_handler_or_writes_to_the_terminal(tmp_path):
    (tmp_path / "page" / "folder").mkdir(parents=True)
    (tmp_path / "page" / "index.html").write_text("page")
    (tmp_path / "secret.txt").write_text("secret")
    program = (
        "import sys; from scn_tf.serving import demo; s = demo.server(sys.argv[1], 0); print(s.server_port, flush=True); s.serve_forever()"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "page")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            port = int(process.stdout.readline())
            host = b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
            names = (
                *("x%00", "%00", "x%00/..", "a" * 5000, "a/" * 3000, "%ff%fe", "%ed%a0%80", "..%2fsecret.txt", "%2e%2e%2fsecret.txt"),
                *("..%5csecret.txt", "folder", "folder/", "folder/..%2f..%2fsecret.txt", "/secret.txt", "//127.0.0.1/x", "x%0d%0aA:%20b"),
                *("con", "nul.png", "index.html/", "index.html%00.png", "?", "~root", "%", "%zz"),
            )
            for name in names:
                answer = raw(port, b"GET /" + name.encode() + host)
                assert answer.split(b"\r\n")[0].split()[1] in (b"404", b"400", b"414") or name == "?", name
                assert b"secret" not in answer.partition(b"\r\n\r\n")[2]
                assert len(answer) < 2000
            for content in (
                *(method + b" /index.html" + host for method in (b"POST", b"PUT", b"DELETE", b"OPTIONS", b"X" * 3000, b"\xff\xfe")),
                b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
                b"GET / HTTP/1.1\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: \xff\xfe\0\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
                b"GET /\r\n\r\n",
                b"GET\r\n\r\n",
                b"GET / HTTP/9.9\r\n\r\n",
                b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 300 + b"\r\n",
                b"GET / HTTP/1.1\r\nIf-Modified-Since: \xff, 99\r\nHost: x\r\n\r\n",
                b"GET " + b"/" * 70_000 + host,
                b"\0" * 100 + b"\r\n\r\n",
                b"",
            ):
                answer = raw(port, content)
                assert b" 200 " not in answer.split(b"\r\n")[0], content[:50]
                assert len(answer) < 2000
            # Clients that leave at once.
            for _ in range(5):
                with socket.create_connection(("127.0.0.1", port)) as client:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    client.sendall(b"GET /index.html" + host)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                assert answer.read() == b"page"
        finally:
            process.terminate()
            _, errors = process.communicate(timeout=20)
    assert "Traceback" not in errors
    assert "Exception" not in errors
