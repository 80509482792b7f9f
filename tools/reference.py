"""What the documentation site takes from the code: the menu, tables of settings and commands, the public API, and one page per package."""

import argparse
import ast
import importlib
import inspect
import pkgutil
import re
import types
import typing
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path

import scn_tf
from scn_tf import config

MARK = re.compile(r"<!-- generated: ([\w ]+)(?:;[^>]*)? -->")
KINDS = {  # groups of the API page, in its order
    "functions": "Functions",
    "classes": "Classes",
    "rows": "What others can add",
    "errors": "Errors",
}


def menu(page: str) -> str:
    """The menu of the site: hidden ``toctree`` blocks of the links in the lists of a page, one per heading."""
    found = ""
    for part in re.split(r"^## ", page, flags=re.M)[1:]:
        pages = re.findall(r"^(?:\d+\.|-) \[[^\]]+\]\(([^):#]+)\.md\)", part, flags=re.M)
        if pages:
            found += "\n```{toctree}\n:hidden:\n:caption: " + part.splitlines()[0] + "\n\n" + "\n".join(pages) + "\n```\n"
    return found


def fill(page: str) -> str:
    """The page with every ``<!-- generated: NAME -->`` replaced, and paths in place of links that lead out of ``docs/``.

    Raises:
        KeyError: no such NAME.
    """
    makers = {"settings": settings_tables, "commands": command_tables, "public objects": public_objects, "packages": packages_list}
    page = re.sub(r"(?<!!)\[([^\]]+)\]\((?:\.\./)+([^)#]+?)(#[^)]*)?\)", r"\1 (`\2` of the repository)", page)
    return MARK.sub(lambda match: makers[match.group(1)](), page)


def _cell(text: object) -> str:
    return str(text).replace("|", "\\|").replace("<", "&lt;")


def settings_tables() -> str:
    """One table per section: setting, default, allowed values, meaning."""
    sections: dict[str, list[str]] = {}
    for name, field in config.field_names().items():
        section, _, setting = name.partition(".")
        allowed = ", ".join(f"`{value}`" for value in config.allowed_values(field) or ())
        default = "" if field.default is None else f"`{field.default}`"
        row = f"| `{setting}` | {_cell(default)} | {_cell(field.description)}{': ' + allowed if allowed else ''} |"
        sections.setdefault(section, []).append(row)
    return "\n\n".join(
        f"## {name}\n\n| setting | default | meaning |\n|---|---|---|\n" + "\n".join(rows) for name, rows in sections.items()
    )


def command_tables() -> str:
    """Usage and options of every command, as its ``--help`` prints them."""
    from scn_tf.cli.parser import build_parser

    parser = build_parser("scn-tf")
    commands = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return "\n\n".join(
        f"## {name}\n\n{_command(chosen, without=config.field_names() if name in ('train', 'suggest') else ())}"
        for name, chosen in commands.choices.items()
    )


def _command(parser: argparse.ArgumentParser, without: Collection[str]) -> str:
    rows = []
    for action in parser._actions:
        names = [name for name in action.option_strings or [str(action.metavar or action.dest)] if name.lstrip("-") not in without]
        if not names or action.help == argparse.SUPPRESS or "--help" in names:
            continue
        value = "" if not action.option_strings or action.nargs == 0 else f" {_value(action)}"
        rows.append(f"| {', '.join(f'`{name}{value}`' for name in names)} | {_cell((action.help or '') % vars(action))} |")
    about = _cell((parser.description or "").replace("%%", "%"))
    return f"{about}\n\n| argument | meaning |\n|---|---|\n" + "\n".join(rows)


def _value(action: argparse.Action) -> str:
    if action.choices:
        return "{" + ",".join(map(str, action.choices)) + "}"
    names = action.metavar or action.dest.upper()
    return " ".join(names) if isinstance(names, tuple) else names


def _row_classes() -> set[object]:
    """Classes of what the functions ``register_*`` take."""
    functions = [getattr(scn_tf, name) for name in scn_tf.__all__ if name.startswith("register_")]
    # Some are the method of a registry itself, which is generic.
    return {
        function.__self__.kind if inspect.ismethod(function) else next(iter(typing.get_type_hints(function).values()))
        for function in functions
    }


def public() -> dict[str, list[str]]:
    """Names of ``scn_tf.__all__`` by the groups of the API page."""
    found: dict[str, list[str]] = {kind: [] for kind in KINDS}
    rows = _row_classes()
    for name in scn_tf.__all__:
        value = getattr(scn_tf, name)
        if inspect.isclass(value) and issubclass(value, Exception):
            found["errors"].append(name)
        elif value in rows or name.startswith("register_"):
            found["rows"].append(name)
        elif inspect.isclass(value):
            found["classes"].append(name)
        elif callable(value):
            found["functions"].append(name)
    return found


def public_objects() -> str:
    """Directives that describe every public object."""
    parts = []
    for kind, names in public().items():
        if names:
            parts.append(f"## {KINDS[kind]}\n\n```{{eval-rst}}\n" + "\n".join(map(_directive, names)) + "```")
    return "\n\n".join(parts)


def _directive(name: str) -> str:
    value = getattr(scn_tf, name)
    if inspect.isclass(value):
        return f".. autoclass:: scn_tf.{name}\n"
    return f".. autofunction:: scn_tf.{name}\n"


@cache
def modules() -> tuple[str, ...]:
    """Every module of the package, ``__main__`` excepted."""
    found = (module.name for module in pkgutil.walk_packages(scn_tf.__path__, "scn_tf."))
    return tuple(sorted(name for name in found if not name.endswith("__main__")))


@cache
def packages() -> dict[str, tuple[str, ...]]:
    """Page -> its modules: one page per package of the top floor, and one for the modules beside them."""
    found: dict[str, list[str]] = {}
    for name in modules():
        top = ".".join(name.split(".")[:2])
        is_package = hasattr(importlib.import_module(top), "__path__")
        found.setdefault(top if is_package else "scn_tf", []).append(name)
    return {page: tuple(names) for page, names in sorted(found.items())}


def packages_list() -> str:
    """The packages with the first sentence of each, and their pages for the menu."""
    rows = []
    for page in packages():
        about = "modules of one verb or noun each" if page == "scn_tf" else (importlib.import_module(page).__doc__ or "").splitlines()[0]
        rows.append(f"| [{page}](modules/{page}.md) | {about.replace('``', '`')} |")
    entries = "\n".join(f"modules/{page}" for page in packages())
    return "| package | what it holds |\n|---|---|\n" + "\n".join(rows) + f"\n\n```{{toctree}}\n:hidden:\n\n{entries}\n```"


def write_modules(folder: Path) -> None:
    """Write a page per package; pages that did not change are left alone, so that Sphinx need not read them again."""
    folder.mkdir(exist_ok=True)
    for page, names in packages().items():
        text = f"# {page}\n" + "".join(f"{_heading(name, page)}\n```{{eval-rst}}\n.. automodule:: {name}\n```\n" for name in names)
        path = folder / f"{page}.md"
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in folder.glob("*.md"):
        if path.stem not in packages():
            path.unlink()


def _heading(name: str, page: str) -> str:
    return "" if name == page else f"\n## {name.removeprefix(f'{page}.')}\n"


def is_section(value: object) -> bool:
    """Whether it is a section of the configuration."""
    return inspect.isclass(value) and issubclass(value, config.settings.Section)


@cache
def _public_places() -> dict[str, str]:
    """Qualified name of a public object where it is defined -> its public name."""
    objects = {name: getattr(scn_tf, name) for name in scn_tf.__all__}
    return {place: f"scn_tf.{name}" for name, value in objects.items() if (place := qualified(value))}


def qualified(value: object) -> str | None:
    """Module and name of a class, function or method; None of anything else."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    return f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) and hasattr(value, "__doc__") else None


def is_described_elsewhere(docname: str, what: str, name: str, value: object) -> bool:
    """Whether a member has no place on a page: public objects are on the page ``api``, settings in tables.

    ``what`` is the kind of the object that has the member.
    """
    if what in ("class", "exception"):
        return name.startswith("model_") or (isinstance(value, types.MemberDescriptorType) and docname != "api")
    return docname.startswith("modules/") and qualified(value) in _public_places()


def names(target: str, module: str | None, owner: str | None) -> list[str]:
    """Qualified names of what a reference in a docstring or signature means, the most likely first; none: Python does not find it.

    Args:
        target: what the reference says, such as ``Config``, ``scn_tf.config.Config``, ``np.ndarray`` or ``split``.
        module: module that refers to it.
        owner: its class, for names of its members.
    """
    target = target.removesuffix("()")
    for start in _starts(target, module, owner):
        found, value = start
        name = qualified(value)
        return [one for one in (_public_places().get(name or ""), name, found) if one]
    return []


def _starts(target: str, module: str | None, owner: str | None) -> Iterator[tuple[str, object]]:
    """(name, object) wherever the target is found: absolute, in the class, in the module, in Python itself."""
    tried = [target]
    if module and owner:
        tried.append(f"{module}.{owner}.{target}")
    if module:
        tried.append(f"{module}.{target}")
        tried += _for_checkers(module).get(target, [])
        tried += [f"{module}.{name}.{target}" for name in _classes(module)]
    if module == "scn_tf":  # docstrings of public objects mean names of the module that has them
        homes = [place.rpartition(".")[0] for place in _public_places()]
        tried += [f"{home}.{target}" for home in homes]
        tried += [name for home in homes for name in _for_checkers(home).get(target, [])]
    tried += [f"{home}.{target}" for home in ANNOTATING]
    for name in tried:
        value = find(name)
        if value is not MISSING:
            yield name, value
    if re.fullmatch(r"-?\d[\d.e+-]*", target):  # a limit in an annotation
        yield target, None


def _classes(module: str) -> list[str]:
    return [name for name, value in vars(importlib.import_module(module)).items() if inspect.isclass(value)]


def escape(line: str) -> str:
    """A line of a docstring without emphasis and substitutions: stars and bars in it belong to formulas."""
    start = re.match(r"\s*(\* )?", line)
    parts = re.split(r"(`+[^`]*`+)", line[start.end() :] if start else line)
    return (start.group() if start else "") + "".join(part if part.startswith("`") else re.sub(r"([*|])", r"\\\1", part) for part in parts)


@cache
def _for_checkers(module: str) -> dict[str, list[str]]:
    """Names that a module has for type checkers alone (``if TYPE_CHECKING``) -> what they stand for."""
    try:
        tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    except OSError:
        return {}
    found: dict[str, list[str]] = {}
    for block in (node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
        for node in ast.walk(block):
            if isinstance(node, ast.ImportFrom):
                found |= {alias.asname or alias.name: [f"{node.module}.{alias.name}"] for alias in node.names}
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found |= {target.id: [module] for target in targets if isinstance(target, ast.Name)}
    return found


ANNOTATING = ("builtins", "types", "annotated_types", "pydantic", "pydantic.fields")  # what annotations name without its home
MISSING = object()


@cache
def find(name: str) -> object:
    """The object of a dotted name, or ``MISSING``."""
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts):
        return MISSING
    for count in range(len(parts), 0, -1):
        try:
            value: object = importlib.import_module(".".join(parts[:count]))
        except ImportError:
            continue
        for part in parts[count:]:
            value = _member(value, part)
        return value
    return MISSING


def _member(value: object, name: str) -> object:
    if value is MISSING or hasattr(value, name):
        return value if value is MISSING else getattr(value, name)
    declared = {key for one in getattr(value, "__mro__", ()) for key in inspect.get_annotations(one)}
    return None if name in declared else MISSING
