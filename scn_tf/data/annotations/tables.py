"""Tables of other programs as text: encoding, separator, rows, numbers, within limits of size."""

import codecs
import csv
import itertools
import math
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from scn_tf.data.annotations import headers
from scn_tf.errors import DatasetError, DataWarning
from scn_tf.messages import cut, short, visible
from scn_tf.storage import documents

MAX_BYTES = documents.MAX_TABLE_BYTES
MAX_COLUMNS = 60_000  # 10,000 landmarks with three coordinates, score and visibility
MAX_LINE, MAX_NUMBER = 4_000_000, 60  # characters
MAX_JOINED = 5  # lines of a quoted cell with line ends, as in headers of spreadsheets
SAMPLED, MAX_ABOVE = 10, 1000  # lines that tell the separator, and lines among which these are
MAX_LINES = 5_000_000
MAX_TITLES = 5  # lines above a header, such as the title of a sheet
NONE = {"", "nan", "na", "n/a", "#n/a", "none", "null", "-", "--", "nil", "missing", "absent"}
SEPARATORS = "\t;|,"
BLANK = " "  # separates columns where no other separator does: several count as one


class Row(NamedTuple):
    """Cells of a table's row, without blanks at their ends, and its line in the file."""

    line: int
    cells: list[str]


class Text(NamedTuple):
    """Text of a file, its separator of columns, and whether numbers have a decimal comma."""

    path: Path
    text: str
    separator: str


def decoded(path: Path, content: bytes) -> str:
    """Text of a file's bytes: UTF-8, UTF-16 with its mark, or Windows Latin-1 with a warning. Line ends become line feeds.

    Raises:
        DatasetError: the bytes are no text.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and not content.startswith(codecs.BOM_UTF32_LE):
        try:
            text = content.decode("utf-16")
        except UnicodeDecodeError:
            raise DatasetError(f"{path}: is damaged UTF-16 text. Save it again as UTF-8.") from None
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            if b"\0" in content:
                raise DatasetError(f"{path}: is no text. Expected a table, saved as UTF-8.") from None
            text = content.decode("cp1252", errors="replace")
            warnings.warn(f"{path}: is no UTF-8 text (line {line}); read as Windows Latin-1. Check its names.", DataWarning, stacklevel=3)
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DatasetError(f"{path}: is no text: it holds a null byte in line {line}. Save it as UTF-8.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_text(path: Path, most: int = MAX_BYTES) -> str:
    """Text of a file of another program; see :func:`decoded`.

    Raises:
        DatasetError: the file is missing, unreadable, longer than ``most`` bytes, or no text.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(most + 1)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or 'invalid file name'}).") from None
    if len(content) > most:
        raise DatasetError(f"{path}: has more than {most:,} bytes. Split it into several files.")
    return decoded(path, content)


def read_table(path: Path) -> Text:
    """Text of a table, with its separator.

    Raises:
        DatasetError: see :func:`read_text`.
    """
    text = read_text(path)
    return Text(path, text, separator_of(text))


def head_rows(path: Path, head: bytes, most: int) -> list[list[str]]:
    """Cells of the first rows of a file, from its first bytes. Never raises, never warns."""
    whole = len(head) < 2**16 or b"\n" in head.rstrip(b"\n")
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = head[: len(head) // 2 * 2].decode("utf-16", errors="replace")
    else:
        text = head.decode("utf-8-sig", errors="replace")
    if "\0" in text:
        return []
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    try:
        found = [row.cells for row in itertools.islice(headed_rows(Text(path, text, separator_of(text))), most)]
    except DatasetError:
        return []
    if found and not whole:
        found[-1].pop()  # cut within a cell
    return found


def separator_of(text: str) -> str:
    """Separator of the columns: the first of tab, semicolon, bar and comma that splits the first lines equally, else blanks.

    Lines at the beginning without separators are titles, and do not count.
    """
    lines = list(itertools.islice((line for line in itertools.islice(_lines(text), MAX_ABOVE) if line.strip()), SAMPLED))
    if not lines:
        return ","
    counts = {mark: [_outside_quotes(line).count(mark) for line in lines] for mark in SEPARATORS}
    for mark in SEPARATORS:
        below = list(itertools.dropwhile(lambda count: not count, counts[mark]))
        if len(set(below)) == 1 and len(lines) - len(below) <= MAX_TITLES:
            return mark
    if not any(map(any, counts.values())) and len(_outside_quotes(lines[-1]).split()) > 2:
        return BLANK
    return max(SEPARATORS, key=lambda mark: (counts[mark][0], -SEPARATORS.index(mark)))


def rows(table: Text) -> Iterator[Row]:
    """Rows of a table that are not blank.

    Raises:
        DatasetError: a line is too long, has too many cells, or leaves a quotation mark open. The message names the line.
    """
    lines = enumerate(_lines(table.text), start=1)
    for number, text in lines:
        if number > MAX_LINES:
            raise DatasetError(f"{table.path}: expected at most {MAX_LINES:,} lines. Split it into several files.")
        if not text or text.isspace():
            continue
        joined = 0
        while text.count('"') % 2 and joined < MAX_JOINED:
            following = next(lines, None)
            if following is None:
                break
            text, joined = f"{text}\n{following[1]}", joined + 1
        if text.count('"') % 2:
            raise DatasetError(f"{table.path}, line {number}: a quotation mark is left open. Close or remove it.")
        if len(text) > MAX_LINE or text.count(table.separator) >= MAX_COLUMNS:
            raise DatasetError(
                f"{table.path}, line {number}: expected at most {MAX_COLUMNS:,} columns and {MAX_LINE:,} characters, "
                f"received {text.count(table.separator) + 1:,} and {len(text):,}."
            )
        if table.separator == BLANK:
            text = text.strip()
        try:
            cells = (
                next(csv.reader([text], delimiter=table.separator, skipinitialspace=table.separator == BLANK))
                if "\n" not in text
                else _with_line_ends(text, table.separator)
            )
        except csv.Error as error:
            raise DatasetError(f"{table.path}, line {number}: cannot be read ({error}).") from None
        cells = [" ".join(cell.split()) for cell in cells]
        if any(cells):
            yield Row(number, cells)


def headed_rows(table: Text) -> Iterator[Row]:
    """Rows of a table from its header on: titles above it are left out.

    R writes no header above the names of the rows. The header then gets an empty cell in front.

    Raises:
        DatasetError: see :func:`rows`.
    """
    found = rows(table)
    first, titles = next(found, None), 0
    while first is not None and sum(map(bool, first.cells)) == 1 and titles < MAX_TITLES:
        following = next(found, None)
        if following is None:
            break
        first, titles = following, titles + 1
    if first is None:
        return
    second = next(found, None)
    longer = second is not None and len(second.cells) == len(first.cells) + 1 and all((first.cells[0], first.cells[-1], second.cells[-1]))
    if second is not None and longer and (second.cells[0] == "1" or headers.column_of(first.cells, headers.IMAGES) is None):
        first.cells.insert(0, "")
    yield first
    if second is not None:
        yield second
    yield from found


def number(path: Path, row: Row, column: int, header: str, separator: str) -> float:
    """Number of a cell; NaN if it is empty, NaN, NA, None or a dash.

    A comma is the decimal mark. If commas also separate the columns, 1,234 may be a thousand, and is rejected.

    Raises:
        DatasetError: the cell holds something else, or an infinite number. The message names line and column.
    """
    text = row.cells[column] if column < len(row.cells) else ""
    if text.lower() in NONE:
        return math.nan
    plain, thousands = text, False
    if "," in text or text.count(".") > 1 or " " in text or "'" in text:
        thousands = re.fullmatch(r"[+-]?\d{1,3}([.,' ]\d{3})+([.,]\d+)?", text) is not None
        if re.fullmatch(r"[+-]?\d*,\d+([eE][+-]?\d+)?", text) and not (thousands and separator == ","):
            plain = text.replace(",", ".")
    try:
        if len(plain) > MAX_NUMBER or "_" in plain:
            raise ValueError
        value = float(plain)
        if math.isinf(value):
            raise ValueError
    except ValueError:
        hint = " Remove the marks of thousands." if thousands else ""
        raise DatasetError(
            f"{path}, line {row.line}, column {cut(visible(header), 60)}: expected a number, received {short(text, 60)}.{hint}"
        ) from None
    return value


def is_number(text: str) -> bool:
    """Whether a cell holds a number, with a decimal point or comma. Words for a missing value are none."""
    return re.fullmatch(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?", text) is not None


def _lines(text: str) -> Iterator[str]:
    start = 0
    while start < len(text):  # not split: a file of line ends would become millions of texts at once
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield text[start:end]
        start = end + 1


def _with_line_ends(text: str, separator: str) -> list[str]:
    return next(csv.reader(text.splitlines(keepends=True), delimiter=separator))


def _outside_quotes(line: str) -> str:
    return "".join(line.split('"')[::2])
