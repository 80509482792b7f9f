"""CVAT for images 1.1: one XML file for all images, with points and skeletons."""

import io
from collections.abc import Mapping
from pathlib import Path
from xml.sax.handler import ContentHandler
from xml.sax.saxutils import escape, quoteattr
from xml.sax.xmlreader import AttributesImpl, Locator

import numpy as np

from scn_tf.data.annotations.gathering import MAX_LANDMARKS, check_count, finite, flat, gathered, image_size, names_of, present
from scn_tf.data.annotations.identities import file_names, identities
from scn_tf.data.annotations.json_items import shown
from scn_tf.data.annotations.row import AnnotationFormat, Annotations, Expected
from scn_tf.data.images.facts import ImageFacts
from scn_tf.data.text import read_text
from scn_tf.errors import DatasetError
from scn_tf.messages import short, visible
from scn_tf.storage import files, ownership
from scn_tf.storage.documents import DocumentError
from scn_tf.storage.xml_documents import parse_xml

MARK = ownership.XML_COMMENT.decode()
MAX_ELEMENTS, MAX_DEPTH = 2_000_000, 40
COLOURS = ("#ff355e", "#fd5b78", "#ff6037", "#ff9966", "#ffcc33", "#66ff66", "#50bfe6", "#ff00cc")


def read(path: Path, expected: Expected) -> Annotations:
    """Read the points of all annotated images. Hidden points (``occluded``) are points, those with ``outside="1"`` are absent.

    A landmark has the name of its label. If an element ``points`` has several points, they are ``LABEL_1``, ``LABEL_2`` and so on.
    Boxes, outlines and masks are ignored.

    Raises:
        DatasetError: the file is no valid export of images, a label has two objects in an image, or its number of points varies.
    """
    handler = _Handler(path)
    try:
        parse_xml(read_text(path), handler)
    except DocumentError as error:
        raise DatasetError(f"{path}, {error}" if str(error).startswith("line") else f"{path}: {error}") from None
    images = {name: points for name, points in handler.images.items() if points}
    if not images:
        raise DatasetError(f"{path}: expected images with points or skeletons, received none. Export as CVAT for images 1.1.")
    ids = identities(path, handler.images)
    labels = [name for label in handler.labels for name in _names(label, handler.counts.get(label, 1))]
    return gathered(
        path,
        {ids[name]: points for name, points in images.items()},
        dims=2,
        frame="pixel",
        names=labels,
        rows={ids[name]: line for name, line in handler.lines.items()},
        written={ids[name]: name for name in handler.images},
        sizes={ids[name]: size for name, size in handler.sizes.items()},
        absent={ids[name]: absent for name, absent in handler.absent.items()},
    )


def _names(label: str, count: int) -> list[str]:
    """Names of the landmarks of a label with ``count`` points."""
    return [label] if count == 1 else [f"{label}_{number}" for number in range(1, count + 1)]


class _Handler(ContentHandler):
    """Collects the images of a file, with the line of each element for messages."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.images: dict[str, dict[str, list[float]]] = {}
        self.lines: dict[str, int] = {}
        self.sizes: dict[str, tuple[int, int]] = {}
        self.labels: list[str] = []  # of points, as the head of the file lists them
        self.absent: dict[str, set[str]] = {}  # image -> landmarks
        self.counts: dict[str, int] = {}  # label -> its points per object
        self.stack: list[str] = []
        self.elements = 0
        self.image: str | None = None
        self.label: dict[str, str] = {}
        self.seen: dict[str, int] = {}  # label -> line, in one image

    def setDocumentLocator(self, locator: Locator) -> None:
        self.locator = locator

    def line(self) -> int:
        return self.locator.getLineNumber() or 1

    def wrong(self, text: str) -> DatasetError:
        return DatasetError(f"{self.path}, line {self.line()}: {text}")

    def startElement(self, name: str, attrs: AttributesImpl) -> None:
        if not self.stack and name != "annotations":
            raise self.wrong(f"expected <annotations> of CVAT, received <{shown(name)}>.")
        self.elements += 1
        if len(self.stack) > MAX_DEPTH or self.elements > MAX_ELEMENTS:
            raise self.wrong(f"has more than {MAX_ELEMENTS:,} elements, or they are nested more than {MAX_DEPTH} levels deep.")
        self.stack.append(name)
        if name == "track":
            raise self.wrong("holds tracks of a video. Export it as CVAT for images 1.1.")
        if name == "label":
            self.label = {}
        elif name == "image":
            self._start_image(attrs)
        elif name == "points" and self.image is not None:
            self._add_points(attrs)

    def _start_image(self, attrs: AttributesImpl) -> None:
        name = attrs.get("name") or ""
        if name in self.images:
            raise self.wrong(f"a second image {shown(name)}, first in line {self.lines[name]}.")
        self.image, self.images[name], self.lines[name], self.seen = name, {}, self.line(), {}
        sides = [finite(attrs.get(side) or "0") for side in ("width", "height")]
        if all(side and side >= 1 for side in sides):
            self.sizes[name] = (int(sides[0] or 0), int(sides[1] or 0))

    def _add_points(self, attrs: AttributesImpl) -> None:
        label, image = attrs.get("label") or "", shown(self.image or "")
        if not label:
            raise self.wrong(f"expected a label of points in image {image}, received none.")
        if label in self.seen:
            raise self.wrong(
                f"the label {shown(label)} appears twice in image {image}, first in line {self.seen[label]}. Expected one object per image."
            )
        self.seen[label] = self.line()
        pairs = (attrs.get("points") or "").split(";")
        if len(pairs) > MAX_LANDMARKS:
            raise self.wrong(f"expected at most {MAX_LANDMARKS:,} points, received {len(pairs):,}.")
        if self.counts.setdefault(label, len(pairs)) != len(pairs):
            raise self.wrong(
                f"expected {self.counts[label]} points of label {shown(label)} as in the images before, received {len(pairs)} in {image}."
            )
        outside = attrs.get("outside") == "1"
        for name, pair in zip(_names(label, len(pairs)), pairs, strict=True):
            xy = [finite(text) for text in pair.split(",")]
            if len(xy) != 2 or None in xy:
                raise self.wrong(f"points of label {shown(label)}: expected x,y as finite numbers, received {short(pair, 40)}.")
            self.images[self.image or ""][name] = [np.nan, np.nan] if outside else [value for value in xy if value is not None]
            if outside:
                self.absent.setdefault(self.image or "", set()).add(name)
        check_count(self.path, len(self.images[self.image or ""]), len(self.images))

    def characters(self, content: str) -> None:
        if self.stack[-2:-1] == ["label"] and len(content) < 1000:
            self.label[self.stack[-1]] = self.label.get(self.stack[-1], "") + content

    def endElement(self, name: str) -> None:
        self.stack.pop()
        if name == "image":
            self.image = None
        # "any" and boxes are labels of other things, unless points have them.
        if name == "label" and self.label.get("type", "").strip() == "points" and len(self.labels) < MAX_LANDMARKS:
            self.labels.append(self.label.get("name", "").strip())


def recognises(path: Path, head: bytes) -> bool:
    """Whether the first element of an XML file is that of CVAT."""
    text = head.decode("utf-8-sig", errors="replace")
    return "<annotations" in text and "<dataset" not in text and ("<meta" in text or "<image " in text)


def write(path: Path, annotations: Annotations, facts: Mapping[str, ImageFacts]) -> None:
    """Write all images with one element ``points`` per landmark. Those without a point are left out, as ``points`` has no ``outside``.

    The task in CVAT needs labels with the names of the landmarks, of type points.

    Raises:
        DatasetError: points are 3D, or the size of an image is not known.
        WriteError: the file cannot be written.
    """
    names, written = names_of(flat(path, annotations, "CVAT")), file_names(path, annotations, facts)
    text = io.StringIO()
    text.write(f'<?xml version="1.0" encoding="utf-8"?>\n{MARK}\n<annotations>\n  <version>1.1</version>\n  <meta>\n    <task>\n')
    text.write(f"      <size>{len(annotations.points)}</size>\n      <mode>annotation</mode>\n      <labels>\n")
    for number, name in enumerate(names):
        colour = COLOURS[number % len(COLOURS)]
        text.write(f"        <label><name>{escape(visible(name))}</name><color>{colour}</color><type>points</type></label>\n")
    text.write("      </labels>\n    </task>\n  </meta>\n")
    for number, image_id in enumerate(annotations.points):
        width, height = image_size(path, annotations, facts, image_id)
        name = quoteattr(visible(written[image_id]))
        text.write(f'  <image id="{number}" name={name} width="{width}" height="{height}">\n')
        for _, label, (x, y) in present(annotations, image_id):
            text.write(f'    <points label={quoteattr(visible(label))} source="file" occluded="0" points="{x},{y}" z_order="0"></points>\n')
        text.write("  </image>\n")
    text.write("</annotations>\n")
    files.write_text(path, text.getvalue())


CVAT = AnnotationFormat(
    name="cvat",
    endings=(".xml",),
    description="CVAT for images 1.1, one XML file for all images: points and skeletons",
    read=read,
    write=write,
    recognises=recognises,
    writes="pixel",
    rank=30,
)
