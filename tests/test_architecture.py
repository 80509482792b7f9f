"""House rules that a program can check."""

import argparse
import ast
import re

import pytest

from scn_tf.cli import spelling
from scn_tf.cli.command import COMMANDS
from scn_tf.cli.parser import build_parser
from scn_tf.runs import folder
from tests.conftest import REPOSITORY

# A module may import modules of its own or a lower floor. docs/architecture.md says why.
FLOORS = [
    {"errors", "messages", "presence", "registry", "types"},
    {"storage"},
    {"environment"},
    {"geometry", "measurements", "shapes"},
    {"heatmaps", "models"},
    {"uncertainty"},
    {"config"},
    {"build"},
    {"data"},
    {"figures", "intake", "runs", "suggest"},
    {"doctor", "scoring"},
    {"training"},
    {"systems"},
    {"calibrate_folds", "calibrate_run", "combine_runs", "compare_runs", "evaluate_run"}
    | {"export", "next_images", "predict", "prediction", "train_run"},
    {"launch", "serving", "study"},
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
    blind = re.compile(r"/((serving|export|scoring|runs|prediction)/\w+|combine_runs|evaluate_run|predict)\.py$")
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


def texts(source):
    """Texts of a module but its docstrings, ``X`` in place of what is filled in."""
    tree = ast.parse(source)
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (alone | parts):
            yield node.value


LIBRARY = [path for path in MODULES if "cli" not in path.relative_to(REPOSITORY / "scn_tf").parts]
# Of modules that start programs or write job files: words of their command lines, and those files.
STARTING = {"launch/kind.py", "launch/kinds/slurm.py", "serving/demo.py", "study/cluster.py", "study/execute.py"}
COMMAND_LINE = re.compile(r"--[\w.-]+|#.*|X --run .*", flags=re.S)


def with_options(source, *, starting=False):
    """Texts that name an option of a command line."""
    found = [text for text in texts(source) if re.search(r"(?<![\w-])--\w", text.replace("tensorboard --logdir", ""))]
    return [text for text in found if not (starting and COMMAND_LINE.fullmatch(text))]


def test_messages_of_the_library_name_arguments_and_not_options_of_the_command_line():
    """Who calls ``serve(port=70000)`` has no ``--port``; only ``cli`` speaks of such."""
    assert len(LIBRARY) > 100
    paths = {path.relative_to(REPOSITORY / "scn_tf").as_posix(): path for path in LIBRARY}
    found = {name: with_options(path.read_text(), starting=name in STARTING) for name, path in paths.items()}
    assert {name: those for name, those in found.items() if those} == {}


def test_options_are_found_in_errors_warnings_and_what_is_printed():
    source = """def f(x):
    \"\"\"Docstrings may speak of --port.\"\"\"
    raise ValueError(f"{x}: pass --port.")
    warnings.warn("lower " "--train.learning_rate")
    print(f"see --{x}", "a - b -- c", "--port")
    """
    assert set(with_options(source)) == {"X: pass --port.", "see --X", "lower --train.learning_rate", "--port"}
    assert set(with_options(source, starting=True)) == {"X: pass --port.", "see --X", "lower --train.learning_rate"}


def test_every_argument_that_messages_mark_can_be_typed():
    """The command line prints ``--run-dir`` for the `run_dir` of a message; a misspelt mark would stay as it is."""
    commands = next(action.choices for action in build_parser("scn-tf")._actions if isinstance(action, argparse._SubParsersAction))
    typed = {name for parser in commands.values() for name in spelling.typed_names(parser)}
    marked = {name: path for path in LIBRARY for text in texts(path.read_text()) for name in spelling.MARKED.findall(text)}
    assert {"run_dir", "accept_changed_data", "train.learning_rate"} <= set(marked)
    assert {name: path for name, path in marked.items() if name not in typed} == {}


def test_every_command_is_a_module_with_one_row():
    modules = {path.stem for path in (REPOSITORY / "scn_tf" / "cli" / "commands").glob("[!_]*.py")}
    assert len(modules) > 12
    assert {name.replace("-", "_") for name in COMMANDS} == modules


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
