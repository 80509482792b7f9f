"""Regions of the files of VGG Image Annotator: projects and annotations of its versions 1 to 3, and its tables."""

from pathlib import Path
from typing import NamedTuple, TypeAlias

from scn_tf.data.annotations import headers, tables
from scn_tf.data.annotations.json_items import Item, shown
from scn_tf.errors import DatasetError
from scn_tf.messages import short
from scn_tf.storage.documents import DocumentError
from scn_tf.storage.json_documents import parse_json

COLUMNS = ("filename", "file_size", "file_attributes", "region_count", "region_id", "region_shape_attributes", "region_attributes")
IMAGES = "_via_img_metadata"  # key of the images in a project of version 2
VERSION_3 = {"project", "config", "attribute"}  # keys of a project of version 3
OTHERS = "(remove regions of other shapes in VIA)"


class Region(NamedTuple):
    """A point of an image.

    Attributes:
        place: in the file, for messages.
        xy: pixels.
        attributes: texts and whole numbers among its attributes, by name, without empty ones.
    """

    place: str
    xy: list[float]
    attributes: dict[str, str]


Regions: TypeAlias = dict[str, list[Region]]  # image as written -> its regions


def of_json(document: Item) -> Regions:
    """Regions of a project, or of annotations exported as JSON.

    Raises:
        DatasetError: the document is neither, has regions of other shapes than points, or an image twice.
    """
    if set(document.object()) >= VERSION_3:
        return _version_3(document)
    found: Regions = {}
    for _, image in (document.get(IMAGES) if IMAGES in document.object() else document).entries():
        name = image.get("filename").text()
        if name in found:
            raise image.get("filename").wrong("the file of one image alone")
        regions = image.get("regions")  # version 1 has them by number
        items = [item for _, item in regions.entries()] if isinstance(regions.value, dict) else regions.items()
        found[name] = [
            Region(item.place, _point(item.get("shape_attributes")), _attributes(item.get("region_attributes"))) for item in items
        ]
    return found


def _point(shape: Item) -> list[float]:
    if shape.get("name").value != "point":
        raise shape.get("name").wrong(f"point {OTHERS}")
    return [shape.get("cx").number(), shape.get("cy").number()]


def _attributes(attributes: Item) -> dict[str, str]:
    found = {key: item.value for key, item in attributes.entries()}
    texts = {key: str(value).strip() for key, value in found.items() if isinstance(value, str | int) and not isinstance(value, bool)}
    return {key: text for key, text in texts.items() if text}


def _version_3(document: Item) -> Regions:
    views, listed = dict(document.get("view").entries()), dict(document.get("file").entries())
    attributes = dict(document.get("attribute").entries())
    found: Regions = {}
    owners: dict[str, str] = {}  # image -> its view
    for _, one in document.get("metadata").entries():
        if one.get("z").items(optional=True):
            raise one.get("z").wrong("no times: videos are not read")
        xy = one.get("xy")
        if not xy.items(optional=True):  # attributes of the whole image
            continue
        if xy.items()[0].value != 1:
            raise xy.wrong(f"1, x and y of a point {OTHERS}")
        view = one.get("vid").text()
        image = _image_3(_known(one.get("vid"), views), listed)
        if owners.setdefault(image, view) != view:
            raise one.get("vid").wrong(f"{owners[image]}, the view of {shown(image)} in the regions above")
        named = dict(_named_3(item, attributes, key) for key, item in one.get("av").entries())
        found.setdefault(image, []).append(Region(one.place, xy.numbers(3)[1:], {key: text for key, text in named.items() if text}))
    return found


def _image_3(view: Item, listed: dict[str, Item]) -> str:
    """Name of the image of a view."""
    inside = view.get("fid_list").items()
    if len(inside) != 1:
        raise view.get("fid_list").wrong("one file")
    file = _known(inside[0], listed)
    return file.get("fname").text(default="") or file.get("src").text()


def _named_3(value: Item, attributes: dict[str, Item], key: str) -> tuple[str, str]:
    """(name, text) of an attribute of a region. Values of lists to choose from are the numbers of their options."""
    if key not in attributes:
        raise value.wrong("an attribute that the project lists")
    options = attributes[key].get("options")
    text = value.text()
    chosen = options.object().get(text, text) if options.value is not None else text
    return attributes[key].get("aname").text(), str(chosen).strip()


def _known(item: Item, among: dict[str, Item]) -> Item:
    """What an ID stands for. It is a text or a number."""
    if not isinstance(item.value, str | int) or str(item.value) not in among:
        raise item.wrong("the ID of one that the file lists")
    return among[str(item.value)]


def is_header(cells: list[str]) -> bool:
    """Whether the cells of a row are the header of a table. Version 1 writes ``#`` before it."""
    return [headers.words(cell) for cell in cells] == [headers.words(column) for column in COLUMNS]


def of_table(path: Path) -> Regions:
    """Regions of annotations exported as CSV.

    Raises:
        DatasetError: the table is malformed or cut short, or has regions of other shapes than points. The message names the line.
    """
    rows = tables.rows(tables.Text(path, tables.read_text(path), ","))
    first = next(rows, None)
    if first is None or not is_header(first.cells):
        raise DatasetError(f"{path}: expected a first line {','.join(COLUMNS)}.")
    found: Regions = {}
    facts: dict[str, tuple[str, str, int]] = {}  # image -> its size and number of regions as written, and its first line
    for row in rows:
        if len(row.cells) != len(COLUMNS):
            raise DatasetError(
                f"{path}, line {row.line}: expected {len(COLUMNS)} columns, received {len(row.cells)}. Is the file cut short?"
            )
        image, size, _, count, *_ = row.cells
        stated = facts.setdefault(image, (size, count, row.line))
        if stated[:2] != (size, count):
            raise DatasetError(
                f"{path}, line {row.line}: image {shown(image)} has another file_size or region_count than in line {stated[2]}. Expected "
                "one image of this name."
            )
        shape = _cell(path, row, 5)
        own = found.setdefault(image, [])
        if shape.object():
            own.append(Region(f"line {row.line}", _point(shape), _attributes(_cell(path, row, 6))))
    for image, (_, count, line) in facts.items():
        if count != str(len(found[image])):
            raise DatasetError(
                f"{path}, line {line}: region_count of image {shown(image)} is {short(count, 20)}, but it has {len(found[image])} regions. "
                "Is the file cut short?"
            )
    return found


def _cell(path: Path, row: tables.Row, column: int) -> Item:
    """JSON value of a cell."""
    try:
        return Item(path, parse_json(row.cells[column]), f"line {row.line}, {COLUMNS[column]}")
    except DocumentError as error:
        reason = str(error).removeprefix("line 1: ")
        raise DatasetError(f"{path}, line {row.line}, column {COLUMNS[column]}: {reason}.") from None
