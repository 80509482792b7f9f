"""Read settings from YAML files, dicts and ``--section.field`` texts. Errors suggest the nearest valid name."""

import difflib
import os
import types
import typing
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import pydantic
from pydantic.fields import FieldInfo

from scn_tf.config import bundled
from scn_tf.config.choices import OneOf
from scn_tf.config.settings import Config
from scn_tf.errors import ConfigError, ConfigWarning
from scn_tf.messages import cut, short, visible
from scn_tf.presence import known
from scn_tf.storage import documents

# What pydantic says in the words of Python, by its kind of error.
MESSAGES = {
    "tuple_type": "expected a number for each side, such as 128,128",
    "int_from_float": "expected a whole number",
    "int_parsing": "expected a whole number",
    "float_parsing": "expected a number",
    "finite_number": "expected a finite number",
}
MAX_NAME = 100
MAX_MISTAKES = 10  # lines of a message


def from_dict(values: object, *, source: str = "configuration") -> Config:
    """Validate a nested dict.

    Raises:
        ConfigError: a section or field is unknown (the message has the nearest name), or a value is invalid.
    """
    try:
        return Config.model_validate(values)
    except pydantic.ValidationError as error:
        found = error.errors(include_url=False)
        lines = [_explain(item, source) for item in found[:MAX_MISTAKES]]
        if len(found) > MAX_MISTAKES:
            lines.append(f"{source}: and {len(found) - MAX_MISTAKES} more mistakes")
        raise ConfigError("\n".join(lines)) from None


def locate(path: str | Path, *, study: bool = False, beside: str | Path = "") -> Path:
    """Find the file of a path or of a bundled configuration's name. An existing file takes precedence.

    Args:
        path: path of a file, or a name such as ``hand_xray`` (also ``hand_xray.yaml`` and ``configs/hand_xray.yaml``).
        study: look for a study instead of a configuration.
        beside: folder that a relative path starts from.

    Raises:
        ConfigError: there is neither; the message has the nearest name.
    """
    file, reason = Path(beside) / path, "Is a directory"
    try:
        if not os.path.isdir(file):  # a data set may have the name of a configuration
            os.stat(file)
            return file
    except OSError as error:
        reason = error.strerror or str(error)
    except ValueError:  # a null character
        reason = "invalid file name"
    named = file if ".." in Path(path).parts else path
    found = bundled.find_study(named) if study else bundled.find(named)
    if found is None:
        folder = " Name a data set with `data.root`." if os.path.isdir(file) else ""
        raise ConfigError(f"{path}: cannot be read ({reason}){_other_names(path, study)}{folder}")
    if file.with_name(f"{file.name}.yaml").is_file():
        warnings.warn(
            f"{path}: the bundled {'study' if study else 'configuration'} is used, not {file}.yaml; write {path}.yaml for that file.",
            ConfigWarning,
            stacklevel=2,
        )
    return found


def _other_names(path: str | Path, study: bool) -> str:
    """End of a message about a missing file: the bundled configuration that may be meant."""
    name = bundled.plain(path).removeprefix(f"{bundled.STUDIES}/")
    kind, names, others = "configurations", bundled.names(), bundled.study_names()
    if study:
        kind, names, others = "studies", others, names
    if name in others:
        return f"; {name} is a bundled {'configuration' if study else 'study'}, expected a {'study' if study else 'configuration'}."
    match = difflib.get_close_matches(name[:MAX_NAME], names, n=1, cutoff=0.6)
    return f"; did you mean the bundled {match[0]}?" if match else f"; bundled {kind}: {', '.join(names)}."


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Nested dict of a YAML file. Without such a file, that of a bundled configuration (:func:`locate`).

    Raises:
        ConfigError: the file is missing, is invalid YAML or does not hold a mapping.
    """
    try:
        values = documents.read_yaml(_file(path)) or {}
    except documents.DocumentError as error:
        raise ConfigError(f"{path}: {error}.") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected sections ({', '.join(Config.model_fields)}), received {short(values)}.")
    return values


def _file(path: str | Path) -> str | Path:
    """The path if it exists, else the bundled configuration of that name."""
    return path if os.path.lexists(path) and not os.path.isdir(path) else bundled.find(path) or path


def load(path: str | Path) -> Config:
    """:class:`Config` of a YAML file; see :func:`read_yaml`."""
    return from_dict(read_yaml(path), source=str(path))


def override(values: dict[str, Any], assignments: Mapping[str, object]) -> dict[str, Any]:
    """Merge ``{"section.field": text}`` into a nested dict. The text is parsed as YAML.

    Raises:
        ConfigError: a name is no ``section.field``; the message has the nearest one.
    """
    for key, section in values.items():
        if key in Config.model_fields and not isinstance(section, dict | types.NoneType):
            raise ConfigError(f"{key}: expected fields with values, such as {key}: {{...}}, received {short(section)}.")
    merged = {key: dict(section) if isinstance(section, dict) else section for key, section in values.items()}
    for name, text in assignments.items():
        if name not in field_names():
            raise ConfigError(f"{cut(visible(str(name)), 60)}: unknown field{nearest(str(name), field_names())}")
        section, field = name.split(".")
        merged[section] = {**(merged.get(section) or {}), field: _parse(text, field_names()[name].annotation)}
    return merged


def field_names() -> dict[str, FieldInfo]:
    """All ``section.field`` names, with their pydantic field."""
    return {
        f"{section}.{name}": field
        for section, info in Config.model_fields.items()
        for name, field in known(info.annotation).model_fields.items()
    }


def about(section: str) -> str:
    """One-line description of a section."""
    return (known(Config.model_fields[section].annotation).__doc__ or "").splitlines()[0]


def allowed_values(field: FieldInfo) -> tuple[str, ...] | None:
    """Choices of a field whose type is a Literal or a registry's names, else None."""
    for choice in field.metadata:
        if isinstance(choice, OneOf):
            return tuple(choice.registry)
    options = [field.annotation, *typing.get_args(field.annotation)]
    for option in options:
        if typing.get_origin(option) is Literal:
            return typing.get_args(option)
    return None


def describe(field: FieldInfo) -> str:
    """A field's description. If a registry has its values, their descriptions follow."""
    choices = [choice.described() for choice in field.metadata if isinstance(choice, OneOf)]
    return f"{field.description} ({choices[0]})" if choices else str(field.description)


def _parse(text: object, annotation: Any) -> object:
    kinds = {annotation, *typing.get_args(annotation)}
    if not isinstance(text, str):
        return text
    if text.lower() in ("none", "null") and types.NoneType in kinds:
        return None
    if kinds & {str, Path}:  # a split or folder may be called 042
        return text
    for separator in (",", "x", " "):
        parts = [part for part in text.strip("[]() ").split(separator) if part.strip()]
        if len(parts) > 1 and all(part.strip().isdecimal() for part in parts):
            return [int(part) for part in parts]
    try:
        # YAML 1.1 reads 1e-3 as text, Python as a number.
        return float(text) if not text.lstrip("-").isdecimal() else int(text)
    except ValueError:
        return text


def nearest(name: str, names: Iterable[str], *, prefix: str = "") -> str:
    """End of a message about an unknown name: the nearest known name, or all known names.

    Args:
        name: as the user wrote it, without ``prefix``.
        names: known names, without the prefix.
        prefix: text before every name.
    """
    match = difflib.get_close_matches(name[:MAX_NAME], list(names), n=1, cutoff=0.5)
    return f"; did you mean {prefix}{match[0]}?" if match else f"; known: {', '.join(prefix + known for known in names)}"


def _explain(item: Any, source: str) -> str:
    location = ".".join(cut(visible(str(part)), 60) for part in item["loc"] if isinstance(part, str) and "[" not in part)
    if item["type"] == "extra_forbidden":
        known = list(field_names()) if len(item["loc"]) > 1 else list(Config.model_fields)
        return f"{source}: {location}: unknown field{nearest(location, known)}"
    message = cut(MESSAGES.get(item["type"], item["msg"]).removeprefix("Value error, "))
    received = item.get("input")
    shown = "" if isinstance(received, (dict, types.NoneType)) else f", received {short(received)}"
    return f"{source}: {location}: {message[0].lower()}{message[1:]}{shown}"
