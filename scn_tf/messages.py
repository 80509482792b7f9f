"""User values in messages: cut to a length that fits a terminal, with unprintable characters escaped."""

import re
import reprlib

LONGEST = 200  # characters of a value in a message
# Everything that starts a new line for Python, a terminal or a spreadsheet, or that shows nothing.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
ESCAPES = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}

_limited = reprlib.Repr()
_limited.maxlevel, _limited.maxstring, _limited.maxother, _limited.maxlong = 3, 120, 120, 60


def short(value: object, most: int = LONGEST) -> str:
    """``repr`` of a value in at most ``most`` characters. Nested values are shortened before they are written."""
    try:
        return cut(visible(_limited.repr(value)), most)
    except (ValueError, RecursionError):  # numbers of more than 4300 digits have no text
        return f"a value of type {type(value).__name__}"


def cut(text: str, most: int = LONGEST) -> str:
    """A text of at most ``most`` characters; three dots replace the end of a longer one."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def visible(text: str) -> str:
    r"""A text in one line: control characters become escapes such as ``\n`` and ``\x07``, undecodable bytes of file names ``\xff``."""
    return UNPRINTABLE.sub(_escape, text)


def _escape(match: re.Match) -> str:
    character = match.group()
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # a byte of a file name that is not UTF-8
        return f"\\x{number - 0xDC00:02x}"
    return ESCAPES.get(character, f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}")
