"""Checks that the bytes of a PNG, JPEG or BMP file are complete, and their EXIF orientation.

Decoders fill missing parts with zeros or grey. Points found in such an image are wrong, without an error. So the reader of files
and the prediction server check here first. Memory stays below a few times the file's size, whatever its header states.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from typing import TypeAlias

import simplejpeg

from scn_tf.presence import known

PNG, JPEG, BMP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM"
PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}  # by colour type
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# First column and row, and distance of columns and rows, of the seven passes of an interlaced PNG.
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
PIECE = 2**16  # bytes that are unpacked at once: at most a thousand times as many come out, in parts of
MAX_UNPACKED = 2**20
MAX_SCANS = 64  # of a JPEG: each passes over the whole image; real files have about ten
PIXELS_PER_BYTE = 512  # of a JPEG: every block of 8 x 8 pixels takes a bit or more
ORIENTATION = 0x0112  # EXIF tag
SHORT = 3  # EXIF type: unsigned 16 bits
FRAMES = {0xC0, 0xC1, 0xC2}  # baseline, extended and progressive, Huffman
OTHER_FRAMES = {0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)}
FILLED = re.compile(rb"\xff[^\x00\xd0-\xd7]")  # behind pixels: stuffed and restart markers belong to them
FILL = re.compile(rb"\xff+")
MASKS = struct.pack("<III", 0xFF0000, 0xFF00, 0xFF)  # of a BMP: blue, green, red in this order, as without masks

Missing: TypeAlias = dict[int, list[int | None]]  # component of a JPEG -> bits that each coefficient still lacks, None: all


def check(content: bytes) -> None:
    """Check a file by :func:`check_png`, :func:`check_jpeg` or :func:`check_bmp`, chosen by its first bytes. Other formats pass.

    Raises:
        ValueError: the file is cut short or damaged; the message says where, without the file's name.
    """
    for magic, of_format in ((PNG[:4], check_png), (JPEG, check_jpeg), (BMP, check_bmp)):
        if content.startswith(magic):
            of_format(content)


def check_png(content: bytes, *, unpack: bool = True) -> None:
    """Check that every chunk is complete, and that the pixels match the header.

    Args:
        content: bytes of the file.
        unpack: whether to count the pixels. False leaves this to a decoder that refuses missing pixels.

    Raises:
        ValueError: the file is cut short, damaged, animated, or no PNG.
    """
    chunks = _png_chunks(content)
    try:
        kind, body = next(chunks)
        if kind != b"IHDR" or len(body) != 13:
            raise ValueError("it is a damaged PNG: it does not begin with its size")
        rows = _png_rows(body)
        pixels = _Pixels(rows)
        palette, state = body[9] != 3, "before"
        for kind, body in chunks:
            if kind == b"acTL":
                raise ValueError("it is an animated PNG; save one of its frames")
            if kind == b"IDAT":
                if state == "after" or not palette:
                    raise ValueError("it is a damaged PNG: its chunks are out of order")
                state = "pixels"
                if unpack:
                    pixels.take(body)
            elif state == "pixels":
                state = "after"
            if kind == b"PLTE":
                palette = True
                if len(body) % 3 or not 3 <= len(body) <= 768:
                    raise ValueError("it is a damaged PNG: its palette has no whole number of colours")
            elif kind[:1].isupper() and kind not in (b"IDAT", b"IEND"):
                raise ValueError("it is a damaged PNG: it has an unknown part that it needs")
        if unpack:
            pixels.end()
    except zlib.error as error:
        raise ValueError(f"it is a damaged PNG: its pixels cannot be unpacked ({error})") from None


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """(kind, body) of each chunk, including the last one, after comparison of its checksum."""
    if not content.startswith(PNG):
        raise ValueError("it is a damaged PNG: its first eight bytes are wrong")
    view, position, kind = memoryview(content), len(PNG), b""
    while kind != b"IEND":
        if position + 12 > len(content):
            raise ValueError(f"it is a PNG cut short: it ends after {len(content)} bytes, before its last part")
        length, kind = struct.unpack_from(">I4s", content, position)
        end = position + 12 + length
        if not kind.isalpha():
            raise ValueError(f"it is a damaged PNG: no chunk begins at byte {position}")
        if end > len(content):
            raise ValueError(f"it is a PNG cut short: it has {len(content)} bytes, its chunk at byte {position} ends at {end}")
        (checksum,) = struct.unpack_from(">I", content, end - 4)
        if zlib.crc32(view[position + 4 : end - 4]) != checksum:
            raise ValueError(f"it is a damaged PNG: the checksum of its chunk at byte {position} is wrong")
        yield kind, view[position + 8 : end - 4]
        position = end


def _png_rows(header: memoryview) -> list[tuple[int, int]]:
    """(number of rows, bytes per row with its filter) of each pass in a PNG's header."""
    width, height, depth, colour, packing, filtering, interlaced = struct.unpack(">IIBBBBB", header)
    if not (0 < width < 2**31 and 0 < height < 2**31):
        raise ValueError(f"it is a damaged PNG: its size is {width} x {height}")
    if depth not in PNG_DEPTHS.get(colour, ()) or packing or filtering or interlaced > 1:
        raise ValueError("it is a damaged PNG: its header has values that do not exist")
    sizes = [(width, height)]
    if interlaced:
        sizes = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in ADAM7 if width > x and height > y]
    return [(rows, (columns * depth * PNG_CHANNELS[colour] + 7) // 8 + 1) for columns, rows in sizes]


class _Pixels:
    """Unpacks the pixels of a PNG in pieces and counts them, without keeping them."""

    def __init__(self, rows: list[tuple[int, int]]) -> None:
        self.rows, self.promised, self.count = rows, sum(number * length for number, length in rows), 0
        self.unpacker = zlib.decompressobj()

    def take(self, packed: memoryview) -> None:
        for start in range(0, len(packed), PIECE):
            left: bytes | memoryview = packed[start : start + PIECE]
            while len(left):
                piece = self.unpacker.decompress(left, MAX_UNPACKED)
                self._check_filters(piece)
                self.count += len(piece)
                if self.count > self.promised or self.unpacker.unused_data:
                    raise ValueError(f"it is a damaged PNG: it has more than the {self.promised} bytes of pixels that its header promises")
                left = self.unpacker.unconsumed_tail

    def end(self) -> None:
        self.take_rest()
        if self.count != self.promised or not self.unpacker.eof:
            raise ValueError(
                f"it is a PNG cut short: it has {self.count} of the {self.promised} bytes of pixels that its header promises, or no end"
            )

    def take_rest(self) -> None:
        """Take the bytes that the unpacker holds back until the end of the input."""
        while not self.unpacker.eof and (piece := self.unpacker.decompress(b"", MAX_UNPACKED)):
            self._check_filters(piece)
            self.count += len(piece)

    def _check_filters(self, piece: bytes) -> None:
        """Check the first byte of each row, its filter, which is 0 to 4."""
        first = 0
        for number, length in self.rows:
            begin = self.count - first
            if begin < number * length and begin + len(piece) > 0:
                inside = piece[max(0, -begin) : number * length - begin]
                filters = inside[-max(0, begin) % length :: length]
                if filters and max(filters) > 4:
                    raise ValueError("it is a damaged PNG: a row begins with no filter")
            first += number * length


def check_bmp(content: bytes) -> None:
    """Check that the file is as long as its header states, and that its pixels are not packed.

    Raises:
        ValueError: the file is cut short, damaged, packed, of a kind that decoders read differently, or no BMP.
    """
    if len(content) < 54 or not content.startswith(BMP):
        raise ValueError(f"it is a BMP cut short: it has {len(content)} bytes, its header takes 54")
    promised, start, header, width, height, planes, bits, packing = struct.unpack_from("<I4xIIiiHHI", content, 2)
    if header < 40:
        raise ValueError("it is a BMP of an old kind; save it as PNG")
    if width <= 0 or height == 0 or planes != 1 or bits not in (1, 4, 8, 16, 24, 32):
        raise ValueError(f"it is a damaged BMP: {width} x {height} pixels of {bits} bits")
    masks = content[54:66] if packing == 3 and bits == 32 else None
    if packing != 0 and masks != MASKS:
        raise ValueError("it is a BMP whose pixels are packed or masked; save it as PNG")
    colours = struct.unpack_from("<I", content, 46)[0] or 2**bits if bits <= 8 else 0
    if colours > 2**bits or start < 14 + header + 4 * colours + (12 if masks and header == 40 else 0):
        raise ValueError("it is a damaged BMP: its pixels begin within its header")
    end = start + abs(height) * ((width * bits + 31) // 32 * 4)
    if max(end, promised) > len(content):
        raise ValueError(f"it is a BMP cut short: it has {len(content)} of the {max(end, promised)} bytes that its header promises")


def check_jpeg(content: bytes) -> None:
    """Check that all segments and scans exist (:func:`check_jpeg_segments`), and that the decoder has no complaint.

    Raises:
        ValueError: the file is cut short, damaged, CMYK or of another kind that decoders do not share, or no JPEG.
    """
    check_jpeg_segments(content)
    try:
        # An eighth of each side is enough: all the packed data are read for it.
        simplejpeg.decode_jpeg(content, colorspace="GRAY", min_height=1, min_width=1, strict=True)
    except ValueError as error:
        if "subsampling" in str(error):
            raise ValueError("it is a JPEG with an unusual sampling of colours; save it again with 4:2:0 or 4:4:4") from None
        raise ValueError(f"it is a damaged JPEG ({str(error).strip().rstrip('.')})") from None


def check_jpeg_segments(content: bytes) -> None:
    """Checks of :func:`check_jpeg` without decoding: segments, frame, required scans, and end.

    Raises:
        ValueError: as in :func:`check_jpeg`.
    """
    if not content.startswith(JPEG):
        raise ValueError("it is a damaged JPEG: its first three bytes are wrong")
    missing: Missing = {}
    scans = 0
    for marker, body in _jpeg_segments(content):
        if marker == 0xDC:
            raise ValueError("it is a JPEG that states its height behind its pixels; save it again")
        if marker in OTHER_FRAMES:
            raise ValueError("it is a lossless, arithmetic or hierarchical JPEG; save it as a baseline JPEG or PNG")
        if marker in FRAMES:
            if missing:
                raise ValueError("it is a damaged JPEG: it states its size twice")
            missing = {number: [None] * 64 for number in _jpeg_frame(body, len(content))}
        if marker == 0xDA:
            scans += 1
            if scans > MAX_SCANS:
                raise ValueError(f"it has more than {MAX_SCANS} scans; save it as a baseline JPEG")
            _jpeg_scan(body, missing)
    if not scans or any(bits != 0 for known in missing.values() for bits in known):
        raise ValueError("it is a JPEG cut short: the last of its scans are missing")


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, content after its length) of each segment up to the end marker, which must exist. Pixels are skipped."""
    cut = f"it is a JPEG cut short: it ends after {len(content)} bytes without its end marker"
    position = 2
    while True:
        if content[position : position + 1] != b"\xff":
            raise ValueError(cut if position >= len(content) else f"it is a damaged JPEG: no segment begins at byte {position}")
        while content[position : position + 1] == b"\xff":  # padding is allowed there
            position += 1
        if position >= len(content):
            raise ValueError(cut)
        marker = content[position]
        if marker == 0xD9:
            return
        if marker in (0x00, 0x01, 0xD8, *range(0xD0, 0xD8)):
            raise ValueError(f"it is a damaged JPEG: no segment begins at byte {position - 1}")
        length = int.from_bytes(content[position + 1 : position + 3], "big")
        end = position + 1 + length
        if end > len(content):
            raise ValueError(cut)
        if length < 2:
            raise ValueError(f"it is a damaged JPEG: the segment at byte {position - 1} has no length")
        yield marker, content[position + 3 : end]
        if marker == 0xDA:
            end = _next_marker(content, end)
            if end < 0:
                raise ValueError(cut)
        position = end


def _next_marker(content: bytes, position: int) -> int:
    """Position of the first marker behind pixels, with the bytes that fill the space before it; -1 if there is none."""
    while (found := FILLED.search(content, position)) is not None:
        position = known(FILL.match(content, found.start())).end()
        if position < len(content) and content[position] != 0 and not 0xD0 <= content[position] <= 0xD7:
            return found.start()
    return -1


def _jpeg_frame(body: bytes, size: int) -> list[int]:
    """Numbers of the components of a frame."""
    if len(body) < 6 or len(body) != 6 + 3 * body[5]:
        raise ValueError("it is a damaged JPEG: its size cannot be read")
    precision, height, width, count = struct.unpack_from(">BHHB", body)
    if precision != 8:
        raise ValueError(f"it is a JPEG of {precision} bits; save it as PNG")
    if not width or not height:
        raise ValueError(f"it is a JPEG of {width} x {height} pixels")
    if count not in (1, 3):
        raise ValueError("it is a JPEG of four colours (CMYK) or two; save it as grey or RGB" if count else "it is a JPEG without colours")
    if width * height > PIXELS_PER_BYTE * size:
        raise ValueError(f"it is a JPEG cut short: {size} bytes cannot hold {width} x {height} pixels")
    return list(body[6::3])


def _jpeg_scan(body: bytes, missing: Missing) -> None:
    """Record a scan: update the missing bits of each component and coefficient."""
    if not missing or not body or len(body) != 4 + 2 * body[0]:
        raise ValueError("it is a damaged JPEG: a scan has no frame or length")
    first, last, low = body[-3], body[-2], body[-1] & 15
    numbers = body[1 : 1 + 2 * body[0] : 2]
    if not set(numbers) <= set(missing) or first > last or last > 63:
        raise ValueError("it is a damaged JPEG: a scan of what its frame does not have")
    for number in numbers:
        missing[number][first : last + 1] = [low] * (last + 1 - first)


def exif_orientation(content: bytes) -> int:
    """EXIF orientation of a JPEG or PNG: 1 (as stored) to 8; 1 if there is none or it is unreadable.

    Pixels and landmarks are in the file's own rows and columns and are never turned. This function never raises.
    """
    try:
        return next((_orientation(block) for block in _exif_blocks(content)), 1)
    except (ValueError, struct.error):
        return 1


def _exif_blocks(content: bytes) -> Iterator[bytes]:
    """EXIF data, from its byte order mark on."""
    if content.startswith(JPEG):
        for marker, body in _jpeg_segments(content):
            if marker == 0xE1 and body.startswith(b"Exif\0"):
                yield body[6:]
            if marker == 0xDA:
                return
    elif content.startswith(PNG) and b"eXIf" in content:  # else the checksums of all its parts would be compared for nothing
        for kind, chunk in _png_chunks(content):
            if kind == b"eXIf":
                yield bytes(chunk)


def _orientation(block: bytes) -> int:
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return 1
    (start,) = struct.unpack_from(f"{order}I", block, 4)
    (count,) = struct.unpack_from(f"{order}H", block, start)
    for entry in range(count):
        tag, kind, number, value = struct.unpack_from(f"{order}HHIH", block, start + 2 + 12 * entry)
        if tag == ORIENTATION:
            return value if kind == SHORT and number == 1 and 1 <= value <= 8 else 1
    return 1
