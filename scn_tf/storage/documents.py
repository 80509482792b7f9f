"""Reading of users' text and YAML files within limits of size, depth and alias expansion."""

import codecs
from pathlib import Path

import yaml

from scn_tf.messages import cut, short, visible

MAX_BYTES = 2**18  # of a YAML file
MAX_TABLE_BYTES = 2**26  # of any other text
MAX_NODES = 50_000  # values of a document, with everything that an alias stands for counted again
MAX_DEPTH = 40
UTF_16_32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class DocumentError(ValueError):
    """A file is not valid text or YAML. The message holds only the reason; the caller names the file."""


class _Loader(yaml.SafeLoader):
    """YAML loader with limits: it counts depth and values, and refuses duplicate keys."""

    depth = nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose one node; see :class:`yaml.composer.Composer`. An alias counts as many values as it stands for."""
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            if event.anchor in self.anchors and not hasattr(self.anchors[event.anchor], "weight"):
                raise DocumentError(f"line {event.start_mark.line + 1}: the alias {event.anchor[:40]} refers to a value that contains it")
            named = super().compose_node(parent, index)
            self._count(getattr(named, "weight", 1))
            return named
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise DocumentError(f"is nested more than {MAX_DEPTH} levels deep")
        before = self.nodes
        self._count(1)
        node = super().compose_node(parent, index)
        setattr(node, "weight", self.nodes - before)  # noqa: B010  (an attribute of ours on the library's object)
        self.depth -= 1
        return node

    def _count(self, number: int) -> None:
        self.nodes += number
        if self.nodes > MAX_NODES:
            raise DocumentError(f"holds more than {MAX_NODES:,} values, those that aliases (*name) stand for included")

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        """Build a dict, and refuse duplicate keys."""
        if isinstance(node, yaml.MappingNode):
            seen: dict[tuple[str, str], int] = {}
            for key, _ in node.value:
                name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else None
                if name in seen:
                    line = key.start_mark.line + 1
                    raise DocumentError(f"line {line}: {short(key.value, 60)} appears twice, first in line {seen[name]}")
                if name is not None and key.tag != "tag:yaml.org,2002:merge":
                    seen[name] = key.start_mark.line + 1
        return super().construct_mapping(node, deep)


def parse_yaml(text: str) -> object:
    """Values of a YAML text.

    Raises:
        DocumentError: the text is no YAML, exceeds a limit, or has a duplicate key.
    """
    if len(text) > MAX_BYTES:
        raise DocumentError(f"has more than {MAX_BYTES:,} characters")
    loader = None
    try:
        loader = _Loader(text)
        return loader.get_single_data()
    except yaml.YAMLError as error:
        raise DocumentError(f"is no valid YAML ({cut(visible(' '.join(str(error).split())))})") from None
    except DocumentError:
        raise
    except (ValueError, OverflowError, TypeError, RecursionError) as error:  # a date such as 2020-13-45, a number of 5000 digits
        raise DocumentError(f"is no valid YAML ({cut(visible(str(error)))})") from None
    finally:
        if loader is not None:
            loader.dispose()


def read_yaml(path: str | Path) -> object:
    """Values of a YAML file in UTF-8; see :func:`parse_yaml`."""
    return parse_yaml(read_text(path, most=MAX_BYTES))


def read_text(path: str | Path, *, most: int = MAX_TABLE_BYTES) -> str:
    """Text of a UTF-8 file, with or without a byte order mark. Line ends become line feeds.

    Raises:
        DocumentError: the file is missing, unreadable, longer than ``most`` bytes, or not UTF-8 text.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(most + 1)  # not its size: a device or pipe states none
    except OSError as error:
        raise DocumentError(f"cannot be read ({error.strerror})") from None
    except ValueError:  # a null character in the name
        raise DocumentError("cannot be read (invalid file name)") from None
    if len(content) > most:
        raise DocumentError(f"has more than {most:,} bytes")
    if content.startswith(UTF_16_32):
        raise DocumentError("is UTF-16 or UTF-32 text; save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DocumentError(f"is no UTF-8 text (byte 0x{content[error.start]:02x} in line {line}); save it as UTF-8") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DocumentError(f"is no text: it holds a null byte in line {line}; save it as UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")
