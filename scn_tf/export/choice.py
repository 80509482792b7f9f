"""Which form is meant: by its name, by the ending of a file, or by what a folder holds. Cheap to import, for help texts."""

import contextlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from scn_tf.errors import ConfigError, ConversionError
from scn_tf.export.forms import FORMS, ExportForm, Option

VERSIONED = re.compile(r"(\.v?\d+)?")  # hands-1.2 is a folder's name


def rows() -> list[ExportForm]:
    """Every form; without those of plug-ins that cannot be imported, which must not stop the others."""
    found = []
    for name in FORMS:
        with contextlib.suppress(ConfigError):
            found.append(FORMS[name])
    return sorted(found, key=lambda form: form.rank)


def form_of(out: Path, name: str | None = None) -> ExportForm:
    """The form that is named, or that the target's name means.

    Raises:
        ConfigError: no such form, or an ending that is none's.
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
    """The form of an export that is there: a file's by its ending, a folder's by what it holds; None if it is no export."""
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
    """What is wrong with an option that was given for a form, without its name; None if nothing is."""
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
    """The given options that a form takes.

    Raises:
        ConversionError: an option of other forms, or a value that it does not have.
    """
    for name, value in given.items():
        if problem := misfit(form, name, value, out):
            raise ConversionError(f"`{name}`: {problem}")
    return {name: value for name, value in given.items() if form.option(name)}


def targets() -> str:
    """What can be written: "FILE.tflite, FILE.onnx or a folder"."""
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
