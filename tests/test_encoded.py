"""Files that are not whole are refused: by the checks themselves, the exported graph, and the local server."""

import io
import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from scn_tf.data import encoded
from scn_tf.export import signatures
from scn_tf.runs import checkpoints
from scn_tf.serving import servable
from tests.serving_client import ask, b64, bmp, chunk, running

NOISE = np.random.default_rng(3).integers(0, 256, (11, 14, 3), dtype="uint8")
GREY = NOISE[..., 0]


def saved(array, kind, mode=None, **options):
    image = Image.fromarray(array)
    file = io.BytesIO()
    (image.convert(mode) if mode else image).save(file, kind, **options)
    return file.getvalue()


def interlaced(array):
    """A grey PNG of 8 bits in seven passes."""
    rows = b"".join(b"\0" + row.tobytes() for x, y, dx, dy in encoded.ADAM7 for row in array[y::dy, x::dx])
    header = struct.pack(">IIBBBBB", array.shape[1], array.shape[0], 8, 0, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


FILES = {
    "grey.png": saved(GREY, "PNG"),
    "deep.png": saved(GREY.astype("uint16") * 201, "PNG"),
    "colour.png": saved(NOISE, "PNG"),
    "palette.png": saved(NOISE // 64 * 64, "PNG", "P"),
    "opacity.png": saved(NOISE, "PNG", "LA"),
    "bits.png": saved(GREY > 99, "PNG"),
    "interlaced.png": interlaced(GREY),
    "grey.jpg": saved(GREY, "JPEG"),
    "colour.jpg": saved(NOISE, "JPEG"),
    "grey_progressive.jpg": saved(GREY, "JPEG", progressive=True),
    "colour_progressive.jpg": saved(NOISE, "JPEG", progressive=True),
    "restarts.jpg": saved(NOISE, "JPEG", restart_marker_blocks=1),
    "grey.bmp": saved(GREY, "BMP"),
    "colour.bmp": saved(NOISE, "BMP"),
    "opacity.bmp": saved(NOISE, "BMP", "RGBA"),
}


@pytest.fixture(scope="module")
def decoded(run_2d):
    """What the exported graph does with a file before the network."""
    service = signatures.Service(*checkpoints.load_model(run_2d / "model.keras"))
    return tf.function(service._decoded, input_signature=[tf.TensorSpec((), tf.string)])


@pytest.fixture(scope="module")
def model(saved_2d):
    return servable.load(saved_2d)


def graph_refuses(decoded, content):
    try:
        decoded(content)
    except (tf.errors.InvalidArgumentError, UnicodeDecodeError):  # the second: TensorFlow's message quotes the file
        return True
    return False


def check_refuses(content):
    try:
        encoded.check(content)
    except ValueError:
        return True
    return not content.startswith((b"\x89PNG", encoded.JPEG, b"BM"))


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_anywhere_is_refused_by_check_and_graph(decoded, name):
    content = FILES[name]
    encoded.check(content)
    assert decoded(content).shape == (11, 14, 1)
    assert [cut for cut in range(len(content)) if not check_refuses(content[:cut])] == []
    # The graph at every place of the header and the end, and at every third between them.
    cuts = [*range(min(150, len(content))), *range(150, len(content), 3), *range(len(content) - 20, len(content))]
    assert [cut for cut in cuts if not graph_refuses(decoded, content[:cut])] == []


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith("png")])
def test_a_png_with_any_byte_altered_is_refused(decoded, name):
    content = FILES[name]
    for position in range(len(content)):
        damaged = content[:position] + bytes([content[position] ^ 0x55]) + content[position + 1 :]
        assert check_refuses(damaged), position
        assert position % 5 or graph_refuses(decoded, damaged), position


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith("jpg")])
def test_a_jpeg_with_a_piece_gone_or_zeroed_is_refused(name):
    content = FILES[name]
    start = content.index(b"\xff\xda") + 14
    refused = 0
    places = range(start, len(content) - 12, 5)
    for place in places:
        assert check_refuses(content[:place] + b"\xff\xd9"), place  # the end, glued to what is left
        refused += check_refuses(content[:place] + bytes(10) + content[place + 10 :])
    assert refused > 0.6 * len(places)  # a decoder can find other pixels that fill the image as well


def masked_bmp(content, masks):
    """A BMP of 32 bits that states where its colours are."""
    head = struct.pack("<I4xI", len(content) + 12, 66)
    return b"BM" + head + content[14:30] + struct.pack("<I", 3) + content[34:54] + masks + content[54:]


def test_what_a_header_promises_is_compared_with_what_is_there(decoded):
    png, small = FILES["grey.png"], FILES["grey.bmp"]
    wide = struct.pack(">IIBBBBB", 14, 12, 8, 0, 0, 0, 0)
    cases = {
        "one row more": png[:8] + chunk(b"IHDR", wide) + png[33:],
        "one row less": png[:8] + chunk(b"IHDR", wide[:7] + b"\x0a" + wide[8:]) + png[33:],
        "an unknown part that it needs": png[:33] + chunk(b"ABCD", b"1") + png[33:],
        "no first part": png[:8] + png[33:],
        "a BMP of more rows": small[:22] + struct.pack("<i", 12) + small[26:],
        "a BMP of more rows from the top": small[:22] + struct.pack("<i", -12) + small[26:],
        "a packed BMP": small[:30] + b"\1" + small[31:],
        "a BMP whose colours are exchanged": masked_bmp(FILES["opacity.bmp"], encoded.MASKS[::-1]),
        "a BMP whose file is longer": small[:2] + struct.pack("<I", len(small) + 1) + small[6:],
        "a BMP of OS/2": small[:14] + struct.pack("<I", 12) + small[18:],
        "a film": saved(GREY, "PNG", save_all=True, append_images=[Image.fromarray(GREY[::-1].copy())]),
        "ink": saved(NOISE, "JPEG", "CMYK"),
        "a height of zero": FILES["grey.jpg"].replace(b"\x08\0\x0b\0\x0e", b"\x08\0\0\0\x0e"),
    }
    for name, content in cases.items():
        assert check_refuses(content), name
        assert name == "one row less" or graph_refuses(decoded, content), name  # the decoder leaves the rest
    masked = masked_bmp(FILES["opacity.bmp"], encoded.MASKS)
    encoded.check(masked)
    np.testing.assert_array_equal(decoded(masked), decoded(FILES["opacity.bmp"]))
    turned = small[:22] + struct.pack("<i", -11) + small[26:]
    encoded.check(turned)
    np.testing.assert_array_equal(decoded(turned)[..., 0], GREY[::-1])


def test_parts_of_a_png_that_cannot_be_are_named():
    plain, palette = FILES["grey.png"], FILES["palette.png"]
    place = palette.index(b"PLTE") - 4
    colours = 12 + int.from_bytes(palette[place : place + 4], "big")
    pixels = plain.index(b"IDAT") - 4
    cases = {
        "chunks are out of order": palette[:place] + palette[place + colours :],
        "no whole number of colours": palette[:place] + chunk(b"PLTE", b"1234") + palette[place + colours :],
        "values that do not exist": plain[:8] + chunk(b"IHDR", struct.pack(">IIBBBBB", 14, 11, 3, 0, 0, 0, 0)) + plain[33:],
        "its size is 0 x 11": plain[:8] + chunk(b"IHDR", struct.pack(">IIBBBBB", 0, 11, 8, 0, 0, 0, 0)) + plain[33:],
        "pixels cannot be unpacked": plain[:pixels] + chunk(b"IDAT", b"no zlib") + chunk(b"IEND", b""),
    }
    for words, content in cases.items():
        with pytest.raises(ValueError, match=f"it is a damaged PNG: .*{words}"):
            encoded.check_png(content)


def test_parts_of_a_jpeg_that_decoders_read_differently_are_named():
    content = FILES["colour.jpg"]
    frame, scan = content.index(b"\xff\xc0"), content.index(b"\xff\xda")
    segment = content[frame : frame + 2 + int.from_bytes(content[frame + 2 : frame + 4], "big")]
    cases = {
        "states its height behind its pixels": content[:-2] + b"\xff\xdc\0\4\0\x0b" + content[-2:],
        "states its size twice": content[:frame] + segment + content[frame:],
        "more than 64 scans": content[:-2] + content[scan:-2] * 64 + content[-2:],
    }
    for words, changed in cases.items():
        with pytest.raises(ValueError, match=words):
            encoded.check_jpeg_segments(changed)


def test_the_last_scans_of_a_progressive_jpeg_are_needed():
    content = FILES["colour_progressive.jpg"]
    scans = [place for place in range(len(content)) if content[place : place + 2] in (b"\xff\xda", b"\xff\xc4")][2:]
    for place in scans:
        with pytest.raises(ValueError, match=r"cut short|damaged"):
            encoded.check_jpeg(content[:place] + b"\xff\xd9")


def test_the_exported_signature_and_the_local_server_refuse_the_same_files(model):
    call = model.signatures["serving_default"]
    with running(model) as port:
        for content in FILES.values():
            whole = servable.run(call, {"image_bytes": np.array([content], object)})["landmarks"]
            status, answer = ask(port, body={"instances": [b64(content)]})
            assert status == 200
            np.testing.assert_allclose(answer["predictions"][0]["landmarks"], whole[0], atol=1e-3)
            for share in (0.5, 0.9, 0.995):
                cut = content[: int(share * len(content))]
                with pytest.raises(servable.InputError):
                    servable.run(call, {"image_bytes": np.array([content, cut], object)})
                status, answer = ask(port, body={"instances": [b64(content), b64(cut)]})
                assert (status, answer["error"].startswith("image_bytes[1]: it")) == (400, True), answer
        # What the graph cannot see, the server's own check does.
        photo = FILES["grey.jpg"]
        place = photo.index(b"\xff\xda") + 20
        status, answer = ask(port, body={"instances": [b64(photo[:place] + bytes(30) + photo[place + 30 :])]})
        assert (status, "it is a damaged JPEG" in answer["error"]) == (400, True)


def test_a_bomb_takes_neither_memory_nor_time():
    bomb = chunk(b"IDAT", zlib.compress(bytes(300_000_000), 1))
    header = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 20, 30, 8, 0, 0, 0, 0))
    photo = FILES["grey.jpg"].replace(b"\x08\0\x0b\0\x0e", b"\x08\xff\xf0\xff\xf0")
    scans = FILES["grey_progressive.jpg"]
    begin = scans.index(b"\xff\xda")
    many = scans[:-2] + scans[begin : begin + 20] * 5000 + b"\xff\xd9"
    tracemalloc.start()
    start = time.monotonic()
    for content in (header + bomb + chunk(b"IEND", b""), photo, many, bmp([(0, 0, 0)] * 256, rows=(6, 5))[:18] + b"\xff\xff\xff\x7f" * 2):
        assert check_refuses(content)
    assert time.monotonic() - start < 2
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def exif(orientation, order=">", kind=3, count=1):
    head = b"MM\0*" if order == ">" else b"II*\0"
    value = struct.pack(f"{order}HH", orientation, 0)
    return head + struct.pack(f"{order}IHHHI", 8, 1, 0x0112, kind, count) + value + bytes(4)


def with_exif(content, block):
    if content.startswith(b"\x89PNG"):
        return content[:33] + chunk(b"eXIf", block) + content[33:]
    block = b"Exif\0\0" + block
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + content[2:]


@pytest.mark.parametrize("name", ["grey.png", "colour.jpg"])
def test_the_orientation_of_exif_is_read_and_nothing_of_it_can_fail(name):
    content = FILES[name]
    assert encoded.exif_orientation(content) == 1
    for orientation in range(1, 9):
        for order in "<>":
            turned = with_exif(content, exif(orientation, order))
            encoded.check(turned)
            assert encoded.exif_orientation(turned) == orientation
    for block in (
        exif(9),
        exif(0),
        exif(6, kind=4),
        exif(6, count=2),
        b"",
        b"MM\0*",
        b"XX\0*" + exif(6)[4:],
        exif(6)[:15],
        b"MM\0*\xff\xff\xff\xff",
    ):
        assert encoded.exif_orientation(with_exif(content, block)) == 1
    turned = with_exif(content, exif(6))
    assert {encoded.exif_orientation(turned[:cut]) for cut in range(len(turned))} <= {1, 6}
    assert encoded.exif_orientation(FILES["grey.bmp"]) == encoded.exif_orientation(b"") == 1
