"""Choice of a form by its name, the ending of a file, or the content of a folder. Cheap to import, for help texts."""

import contextlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from scn_tf.errors import ConfigError, ConversionError
from scn_tf.export.forms import FORMS, ExportForm, Option

VERSIONED = re.compile(r"(\.v?\d+)?")  # hands-1.2 is a folder's name


def rows() -> list[ExportForm]:
    """All forms, without broken plug-ins, which must not disable the others."""
    found = []
    for name in FORMS:
        with contextlib.suppress(ConfigError):
            found.append(FORMS[name])
    return sorted(found, key=lambda form: form.rank)


def form_of(out: Path, name: str | None = None) -> ExportForm:
    """Form by its name, or else by the name of the target.

    Raises:
        ConfigError: the form is unknown, or no form has the ending.
    """
    if name is not None:
        return FORMS[name]
    found = _by_suffix(out) or (_folder_form() if out.is_dir() or VERSIONED.fullmatch(out.suffix) else None)
    if found is None:
        list(FORMS.values())  # a plug-in that cannot be imported is named first: the ending may be its own
        raise ConfigError(
            f"{out}: {out.suffix} is no form of export; expected {targets()}. "
            f"Should a folder have this name: `form` {listed((form.name for form in rows() if not form.suffix), 'or')}."
        )
    return found


def form_at(path: Path) -> ExportForm | None:
    """Form of an existing export: of a file by its ending, of a folder by its content. None if it is no export."""
    return _by_suffix(path) or next((form for form in rows() if form.is_there is not None and form.is_there(path)), None)


def _by_suffix(path: Path) -> ExportForm | None:
    return next((form for form in rows() if form.suffix and form.suffix == path.suffix), None)


def _folder_form() -> ExportForm | None:
    return next((form for form in rows() if not form.suffix), None)


def options() -> dict[str, list[tuple[ExportForm, Option]]]:
    """The options of all forms by name, each with the forms that have it."""
    found: dict[str, list[tuple[ExportForm, Option]]] = {}
    for form in rows():
        for option in form.options:
            found.setdefault(option.name, []).append((form, option))
    return found


def misfit(form: ExportForm, name: str, value: object, out: object) -> str | None:
    """Reason why an option is invalid for a form, without the option's name; None if it is valid."""
    option = form.option(name)
    if option is None:
        having = options().get(name, [])
        if having and (having[0][1].kind == "folder" or value == having[0][1].default):
            return None  # says where something lies, or what is the case anyhow
        shown = f"{value} is" if isinstance(value, str) else "is"
        owners = listed(other.title for other, _ in having) or "no form of export"
        return f"{shown} for {owners}; {form.instead.get(name) or f'{out} would be written as {form.title}'}."
    if option.kind == "choice" and value not in option.choices:
        return f"expected one of {', '.join(option.choices)}, received {value!r}."
    return None


def checked(form: ExportForm, out: object, given: Mapping[str, object]) -> dict[str, object]:
    """Given options that a form takes, after checks.

    Raises:
        ConversionError: an option belongs to other forms, or its value is invalid.
    """
    for name, value in given.items():
        if problem := misfit(form, name, value, out):
            raise ConversionError(f"`{name}`: {problem}")
    return {name: value for name, value in given.items() if form.option(name)}


def targets() -> str:
    """Possible targets: "FILE.tflite, FILE.onnx or a folder"."""
    files = [f"FILE{form.suffix}" for form in rows() if form.suffix]
    return listed([*files, "a folder"] if _folder_form() else files, "or")


def endings() -> list[str]:
    """Endings of the forms that are files."""
    return [form.suffix for form in rows() if form.suffix]


def folder_titles() -> list[str]:
    """Titles of the forms that are folders."""
    return [form.title for form in rows() if not form.suffix]


def limits() -> str:
    """Growth of the mean error that parity allows, for help texts: "0.02 (dynamic), 0.1 (int8)"."""
    return ", ".join(f"{growth:g} ({kind})" for form in rows() for kind, growth in form.more_error.items())


def listed(words: Iterable[str], last: str = "and") -> str:
    """``a, b and c``."""
    *first, end = [*words] or [""]
    return f"{', '.join(first)} {last} {end}" if first else end
