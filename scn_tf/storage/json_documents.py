"""Reading of users' JSON files within limits of size and number of values."""

import json
import math
import re
from pathlib import Path

from scn_tf.messages import cut, short, visible
from scn_tf.storage.documents import MAX_TABLE_BYTES, DocumentError, read_text

MAX_VALUES = 4_000_000  # of a document; each takes up to 100 bytes of memory
LONGEST_INTEGER = 300  # digits, as many as a float has
MAX_DEPTH = 40  # of values by whose beginning a file is recognised
TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}:]|-?(?:NaN|Infinity)', re.DOTALL)

PARTS = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[\[\]{},]', re.DOTALL)


def read_json(path: str | Path, *, most: int = MAX_TABLE_BYTES) -> object:
    """Values of a JSON file in UTF-8; see :func:`parse_json`.

    Raises:
        DocumentError: see :func:`parse_json`; or the file cannot be read as text, or is longer than ``most`` bytes.
    """
    return parse_json(read_text(path, most=most))


def parse_json(text: str) -> object:
    """Values of a JSON text. All numbers are finite, and no object has a key twice.

    Raises:
        DocumentError: the text is no JSON, exceeds a limit, has a duplicate key, or a number that is not finite.
    """
    if sum(map(text.count, ",[{")) > MAX_VALUES:
        raise DocumentError(f"holds more than {MAX_VALUES:,} values")

    def refuse(name: str) -> float:
        line = next((text.count("\n", 0, found.start()) + 1 for found in TOKENS.finditer(text) if found.group() == name), 1)
        raise DocumentError(f"line {line}: expected a finite number, received {name}")

    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=refuse, parse_float=_finite, parse_int=_whole)
    except json.JSONDecodeError as error:
        end = " The file seems to be cut short." if not text[error.pos :].strip() and text.strip() else ""
        raise DocumentError(f"line {error.lineno}: is no valid JSON ({cut(visible(error.msg), 80)}).{end}".rstrip(".")) from None
    except RecursionError:
        raise DocumentError("is nested too deeply") from None


def top_keys(head: bytes) -> tuple[str, set[str]]:
    """Kind and keys of the outermost value of a JSON text, from its first bytes.

    Returns:
        (``"{"`` for an object, ``"["`` for a list, else ``""``; keys of the object, or of the objects in the list).
    """
    text = head.decode("utf-8-sig", errors="replace").lstrip()
    kind = text[:1] if text[:1] in ("{", "[") else ""
    keys: set[str] = set()
    wanted, depth, last = (1 if kind == "{" else 2), 0, ""
    for found in TOKENS.finditer(text) if kind else ():
        token = found.group()
        if token in "[{":
            depth += 1
        elif token in "]}":
            depth -= 1
        elif token == ":" and depth == wanted and last:
            keys.add(last)
        last = token[1:-1] if token[0] == '"' else ""
    return kind, keys


def begun(head: bytes) -> object:
    """Values of a JSON text from its first bytes. A text that is cut ends behind the last complete value of the outermost kind.

    Returns:
        the outermost value, as far as the lists and objects in it are complete; None if the text is no JSON.
    """
    text = head.decode("utf-8-sig", errors="ignore")
    open_: list[str] = []
    end, depth, closing, last = 0, MAX_DEPTH, "", ""
    for found in PARTS.finditer(text):
        token = found.group()
        if token in ("[", "{"):
            open_.append("]" if token == "[" else "}")
        elif token in ("]", "}") and (not open_ or open_.pop() != token):
            return None
        elif token == "," and last in ("]", "}") and len(open_) <= depth:
            end, depth, closing = found.start(), len(open_), "".join(reversed(open_))
        last = token
        if len(open_) > MAX_DEPTH:
            return None
    try:
        return parse_json(text[:end] + closing if open_ else text)
    except DocumentError:
        return None


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise DocumentError(f"has the key {short(twice, 60)} twice in one object")
    return values


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise DocumentError(f"expected a finite number, received {cut(text, 60)}")
    return value


def _whole(text: str) -> int:
    if len(text) > LONGEST_INTEGER:
        raise DocumentError(f"holds an integer of {len(text):,} digits")
    return int(text)
