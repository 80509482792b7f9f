"""XML files of dlib's imglab, as ml-morph writes and reads them: images, one box each, and named parts in pixels."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl, Locator

import numpy as np

from scn_tf.data.annotations import identities, tables
from scn_tf.data.annotations.assembly import Points
from scn_tf.data.annotations.row import AnnotationFormat, Annotations, Expected
from scn_tf.data.images.facts import ImageFacts
from scn_tf.errors import DatasetError
from scn_tf.messages import cut, visible
from scn_tf.storage import files, ownership
from scn_tf.storage.documents import DocumentError
from scn_tf.storage.xml_documents import parse_xml

MAX_DEPTH = 10


def read(path: Path, expected: Expected) -> Annotations:
    """Read an imglab file. Parts are pixels, y from the top. A landmark without a part is not annotated; boxes with ``ignore`` are skipped.

    imglab stores whole pixels. ``write`` adds the exact numbers, which count as long as they agree with these.

    Raises:
        DatasetError: the file is malformed, has entities, or an image has several boxes.
    """
    handler = _Handler(path)
    try:
        parse_xml(tables.read_text(path), handler)
    except DocumentError as error:
        raise DatasetError(f"{path}, {error}" if str(error).startswith("line") else f"{path}: {error}") from None
    annotations = handler.found.annotations(expected, "pixel")
    ids = {image: image_id for image_id, image in annotations.images.items()}
    annotations.sizes.update({ids[image]: size for image, size in handler.sizes.items() if image in ids})
    return annotations


def recognises(path: Path, head: bytes) -> bool:
    """Whether a file starts as imglab's: a data set with images in ``file`` attributes."""
    return b"<dataset" in head and b"<image " in head and b"file=" in head


def write(path: Path, annotations: Annotations, facts: Mapping[str, ImageFacts]) -> None:
    """Write an imglab file, with a box around the points of each image.

    Raises:
        DatasetError: the points have three dimensions.
        WriteError: the file cannot be written, or belongs to another program.
    """
    shown = identities.file_names(path, annotations, facts)
    root = ElementTree.Element("dataset")
    ElementTree.SubElement(root, "name").text = "landmarks"
    images = ElementTree.SubElement(root, "images")
    for image_id, points in annotations.points.items():
        if points.shape[1] != 2:
            raise DatasetError(f"{path}: imglab holds points of 2D images. Choose another format, such as slicer.")
        image = ElementTree.SubElement(images, "image", file=shown[image_id])
        if image_id in facts:
            image.set("width", str(facts[image_id].size[0]))
            image.set("height", str(facts[image_id].size[1]))
        present = np.isfinite(points).all(axis=1)
        if not present.any():
            continue
        low, high = np.floor(points[present].min(axis=0)).astype(int), np.ceil(points[present].max(axis=0)).astype(int)
        sides = high - low + 1
        box = ElementTree.SubElement(image, "box", top=str(low[1]), left=str(low[0]), width=str(sides[0]), height=str(sides[1]))
        names = annotations.names or tuple(map(str, range(len(points))))
        for name, point, seen in zip(names, points.tolist(), present, strict=True):
            if seen:
                part = ElementTree.SubElement(box, "part", name=name, x=str(round(point[0])), y=str(round(point[1])))
                for axis, value in zip("xy", point, strict=True):
                    if value != round(value):
                        part.set(f"exact_{axis}", repr(value))
    ElementTree.indent(root, " ")
    files.write_text(
        path, f"<?xml version='1.0' encoding='UTF-8'?>\n{ownership.XML_COMMENT.decode()}\n" + ElementTree.tostring(root, "unicode") + "\n"
    )


class _Handler(ContentHandler):
    """Collects the parts of a file while it is read, with the lines for messages."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.found = path, Points(path, 2)
        self.sizes: dict[str, tuple[int, int]] = {}
        self.lines: dict[str, int] = {}  # image -> line
        self.depth = self.boxes = 0
        self.image, self.ignored = "", False

    def setDocumentLocator(self, locator: Locator) -> None:
        self.locator = locator

    def wrong(self, text: str) -> DatasetError:
        return DatasetError(f"{self.path}, line {self.line()}: {text}")

    def line(self) -> int:
        return self.locator.getLineNumber() or 1

    def startElement(self, name: str, attrs: AttributesImpl) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.wrong("elements are nested too deeply.")
        if self.depth == 1 and name != "dataset":
            raise self.wrong(f"expected <dataset> of imglab, received <{cut(visible(name), 40)}>.")
        if name == "image":
            self._start_image(attrs)
        elif name == "box" and self.image:
            self.ignored = attrs.get("ignore", "0").strip() not in ("", "0", "false")
            self.boxes += not self.ignored
            if self.boxes > 1:
                raise self.wrong(f"image {cut(visible(self.image), 60)} has several boxes. Expected one set of landmarks per image.")
        elif name == "part" and self.image and not self.ignored:
            landmark = self._stated(attrs, "part", "name")
            self.found.add(self.image, landmark, [self._coordinate(attrs, landmark, axis) for axis in "xy"], line=self.line())

    def endElement(self, name: str) -> None:
        self.depth -= 1
        if name == "image":
            self.image = ""

    def _start_image(self, attrs: AttributesImpl) -> None:
        self.image, self.boxes, self.ignored = self._stated(attrs, "image", "file"), 0, False
        if self.image in self.lines:
            raise self.wrong(f"image {cut(visible(self.image), 60)} appears twice (first in line {self.lines[self.image]}).")
        self.lines[self.image] = self.line()
        sides = attrs.get("width", ""), attrs.get("height", "")
        if all(side.isascii() and side.isdigit() and len(side) < 7 and int(side) for side in sides):
            self.sizes[self.image] = int(sides[0]), int(sides[1])

    def _coordinate(self, attrs: AttributesImpl, landmark: str, axis: str) -> float:
        text = self._stated(attrs, "part", axis)
        header = f"{axis} of part {landmark}"
        value = tables.number(self.path, tables.Row(self.line(), [text]), 0, header, " ")
        exact = attrs.get(f"exact_{axis}")
        if exact is not None:
            precise = tables.number(self.path, tables.Row(self.line(), [exact]), 0, header, " ")
            value = precise if abs(precise - value) <= 0.5 else value  # moved in imglab
        return value

    def _stated(self, attrs: AttributesImpl, element: str, name: str) -> str:
        text = attrs.get(name, "").strip()
        if not text:
            raise self.wrong(f"expected the attribute {name} of <{element}>, received none.")
        return text


DLIB_XML = AnnotationFormat(
    name="dlib-xml",
    endings=(".xml",),
    description="dlib's imglab and ml-morph: one box with parts per image, in pixels",
    read=read,
    write=write,
    recognises=recognises,
    writes="pixel",
    rank=61,
)
