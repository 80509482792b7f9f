"""House rules that a program can check."""

import argparse
import ast
import re

import pytest

from scn_tf.runs import folder
from tests.conftest import REPOSITORY

# A module may import modules of its own or a lower floor. docs/architecture.md says why.
FLOORS = [
    {"errors", "messages", "presence", "registry", "types"},
    {"storage"},
    {"environment"},
    {"geometry"},
    {"heatmaps", "models"},
    {"config"},
    {"build"},
    {"data"},
    {"figures", "runs"},
    {"scoring"},
    {"training"},
    {"systems"},
    {"combine_runs", "evaluate_run", "export", "predict", "train_run"},
    {"serving", "study"},
    {"cli"},
    {"__main__"},
]
MODULES = sorted((REPOSITORY / "scn_tf").rglob("*.py"))


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("scn_tf"):
            parts = node.module.split(".")
            yield from [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names if not alias.name.startswith("_")]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_imports_point_downward(path):
    name = path.relative_to(REPOSITORY / "scn_tf").parts[0].removesuffix(".py")
    if name == "__init__":
        return
    floor = {module: level for level, modules in enumerate(FLOORS) for module in modules}
    for other in imported(path):
        assert floor[other] <= floor[name], f"{name} imports {other}"


def test_serving_and_evaluation_see_no_augmentation_and_no_training():
    blind = re.compile(r"/((serving|export|scoring|runs)/\w+|combine_runs|evaluate_run|predict)\.py$")
    seeing = [path for path in MODULES if blind.search(path.as_posix())]
    assert len(seeing) > 3
    for path in seeing:
        assert not {"training", "train_run"} & set(imported(path)), path


def test_files_stay_short_and_say_what_they_are():
    for path in MODULES:
        text = path.read_text()
        assert len(text.splitlines()) <= 400, path
        assert ast.get_docstring(ast.parse(text)), path


def test_nothing_is_pickled():
    for path in MODULES:
        assert "pickle" not in path.read_text().replace("allow_pickle=False", ""), path


def texts(path):
    """Texts of a module's code, docstrings left out; ``X`` in place of what is filled in."""
    tree = ast.parse(path.read_text())
    documented = [node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body]
    docstrings = {id(node.body[0].value) for node in documented if isinstance(node.body[0], ast.Expr)}
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings | parts:
            yield node.value


def test_messages_of_the_library_name_arguments_and_not_options_of_the_command_line():
    """Who calls ``serve(port=70000)`` has no ``--port``; only ``cli`` writes options: it has them in place of marked arguments."""
    commands_of_others = {"study/cluster.py", "study/execute.py", "serving/demo.py"}  # sbatch, kubectl, npm, our own command line
    library = [path for path in MODULES if "cli" not in path.parts and "/".join(path.parts[-2:]) not in commands_of_others]
    assert len(library) > 100
    found = {text: path for path in library for text in texts(path) if re.search(r"(?<![\w-])--\w", text)}
    assert {text: path for text, path in found.items() if "tensorboard --logdir" not in text} == {}


def test_public_errors_are_one_family():
    """Whoever calls the library catches all of them with one class."""
    named = re.compile(r"class (\w+(?:Error|Diverged|Extra))\((.*?)\):")
    inner = {"DocumentError", "HeaderError", "InputError"}  # become one of the public ones before a user sees them
    found = {name: bases for path in MODULES for name, bases in named.findall(path.read_text()) if name not in inner}
    assert len(found) > 9
    for name, bases in found.items():
        own = {base.strip() for base in bases.split(",")}
        assert "Error" in own or own & set(found), name


def strings(path):
    """Texts in a module's code; docstrings are none."""
    tree = ast.parse(path.read_text())
    documented = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and isinstance(node.body[0], ast.Expr)
    }
    return [
        node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and type(node.value) is str and id(node) not in documented
    ]


def test_names_of_a_runs_files_are_in_one_place():
    home = REPOSITORY / "scn_tf" / "runs" / "folder.py"
    names = [folder.SETTINGS, folder.MODEL, folder.FORESTS, folder.DATA, folder.HISTORY, folder.STATE, "last.npz", "older.npz"]
    assert all(any(name in text for text in strings(home)) for name in names)
    others = [path for path in MODULES if path != home]
    assert {(path.name, text) for path in others for text in strings(path) for name in names if name in text} == set()


def test_facts_of_a_model_are_attributes():
    """Nobody asks a dict called metadata for them."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            asked = node.value if isinstance(node, ast.Subscript) else node
            asked = node.value if isinstance(node, ast.Attribute) and node.attr == "get" else asked
            if asked is not node:
                assert getattr(asked, "attr", getattr(asked, "id", "")) != "metadata", f"{path}:{node.lineno}"
