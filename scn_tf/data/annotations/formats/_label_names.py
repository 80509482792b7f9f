"""Names of the labels of label maps, from tables beside them: CSV, TSV, JSON, and the tables of ITK-SNAP and 3D Slicer."""

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from scn_tf.data.annotations.gathering import check_count
from scn_tf.data.annotations.json_items import shown
from scn_tf.errors import DatasetError
from scn_tf.messages import visible
from scn_tf.storage import files
from scn_tf.storage.documents import MAX_BYTES, DocumentError, read_text
from scn_tf.storage.json_documents import parse_json

TABLE = "labels.txt"
MARK = "# written by scn_tf"
ENDINGS = (".csv", ".tsv", ".json", ".txt", ".label", ".ctbl")
ITK_SNAP = re.compile(r'\s*(\d+)(?:\s+[-\d.]+){6}\s+"(.*)"\s*')
SLICER = re.compile(r"\s*(\d+)\s+(\S+)(?:\s+[-\d.]+){3,4}\s*")
PLAIN = re.compile(r"\s*(\d+)[\s:=]+([^\W\d].*?)\s*")


def table_beside(path: Path, image_id: str, labels: Iterable[int]) -> dict[int, str] | None:
    """Label -> name, from ``IMAGE_ID.ENDING`` or ``labels.ENDING`` in the folder of a label map; None if there is no table.

    Label 0 is the background and left out.

    Raises:
        DatasetError: ``labels.ENDING`` holds no labels, or two labels have one name.
    """
    for stem in (image_id, "labels"):
        for ending in ENDINGS:
            table = path.parent / f"{stem}{ending}"
            if not table.is_file():
                continue
            try:
                names = _parsed(read_text(table, most=MAX_BYTES), ending)
            except DocumentError as error:
                names, reason = {}, str(error)
            else:
                reason = "expected a number and a name per line"
            # A file with the name of the image may be anything: only one that names all labels of the image counts.
            if names and (stem == "labels" or {*labels} <= {*names}):
                return _checked(table, names)
            if stem == "labels":
                raise DatasetError(f"{table}: is no table of labels: {reason}.")
    return None


def _checked(table: Path, names: dict[int, str]) -> dict[int, str]:
    check_count(table, len(names))
    seen: dict[str, int] = {}
    for label, name in names.items():
        if name in seen:
            raise DatasetError(f"{table}: the labels {seen[name]} and {label} have the same name, {shown(name)}.")
        seen[name] = label
    return dict(sorted(names.items()))


def _parsed(text: str, ending: str) -> dict[int, str]:
    pairs: Iterable[tuple[str, str]]
    if ending == ".json":
        pairs = _json_pairs(parse_json(text))
    elif ending in (".csv", ".tsv"):
        pairs = _cell_pairs(text, "\t" if ending == ".tsv" else ";" if text.count(";") > text.count(",") else ",")
    else:
        lines = [line for line in text.split("\n") if line.strip() and not line.lstrip().startswith("#")]
        found = [next((match for kind in (ITK_SNAP, SLICER, PLAIN) if (match := kind.fullmatch(line))), None) for line in lines]
        pairs = [(match[1], match[2]) for match in found if match]
    return {int(label): name.strip() for label, name in pairs if len(label) < 9 and int(label) > 0 and name.strip()}


def _cell_pairs(text: str, separator: str) -> list[tuple[str, str]]:
    """(number, name) of the rows that have both, which leaves out a header. The first text that is no number is the name."""
    found = []
    for line in text.split("\n"):
        try:
            cells = [cell.strip() for cell in next(csv.reader([line], delimiter=separator), [])]
        except csv.Error as error:
            raise DocumentError(str(error)) from None
        numbers = [cell for cell in cells if cell.isascii() and cell.isdigit()]
        texts = [cell for cell in cells if cell and not re.fullmatch(r"[-+.\d]+", cell)]
        if numbers and texts:
            found.append((numbers[0], texts[0]))
    return found


def _json_pairs(values: object) -> list[tuple[str, str]]:
    """(number, name) of an object of either to the other, by itself or as ``labels``."""
    if isinstance(values, dict) and isinstance(values.get("labels"), dict):
        values = values["labels"]
    if not isinstance(values, dict):
        return []
    both = [(str(key), str(value)) for key, value in values.items() if isinstance(value, str | int)]
    turned = [pair if pair[0].isdigit() else pair[::-1] for pair in both]
    return [(label, name) for label, name in turned if label.isascii() and label.isdigit()]


def write_table(path: Path, names: Sequence[str]) -> None:
    """Write label descriptions as ITK-SNAP has them. A table with the same content stays as it is.

    Raises:
        WriteError: the file cannot be written, or belongs to another program.
    """
    lines = [MARK, "# columns: label, red, green, blue, opacity, visible, mesh, name", '0 0 0 0 0 0 0 "background"']
    for number, name in enumerate(names, start=1):
        red, green, blue = ((number * step) % 206 + 50 for step in (97, 151, 53))
        lines.append(f'{number} {red} {green} {blue} 1 1 1 "{visible(name)}"')
    files.write_text(path, "\n".join(lines) + "\n", ours=_is_ours)


def _is_ours(path: Path) -> bool:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.readline().strip() == MARK
