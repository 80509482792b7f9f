"""Annotations, the public names and what importing them costs."""

import ast
import inspect
import os
import re
import subprocess
import sys
import tomllib

import pytest

import scn_tf
from scn_tf.types import known
from tests.conftest import REPOSITORY

PACKAGE = REPOSITORY / "scn_tf"
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
MYPY = PROJECT["tool"]["mypy"]


def module_name(path):
    return ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def unannotated(source):
    """``line: name`` of functions, those within functions too, that leave a parameter or the return value open."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = node.args
            every = [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, [given.vararg, given.kwarg])]
            if node.returns is None or any(a.annotation is None for a in every if a.arg not in ("self", "cls")):
                yield f"{node.lineno}: {node.name}"


def python(*arguments, **environment):
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=REPOSITORY, env={**os.environ, **environment}, timeout=300
    )


@pytest.mark.parametrize("name", MODULES)
def test_every_function_is_annotated(name):
    assert list(unannotated(MODULES[name].read_text())) == []


def test_the_annotation_check_sees_open_parameters_and_returns():
    source = (
        "def a(x: int): pass\ndef b(x) -> int: pass\ndef c(*x, **y: int) -> None: pass\nclass D:\n def e(self) -> None:\n  def f(): pass"
    )
    assert list(unannotated(source)) == ["1: a", "2: b", "3: c", "6: f"]


def test_mypy_ignores_nothing_at_large():
    assert MYPY["check_untyped_defs"]
    assert MYPY["disallow_untyped_defs"]
    assert not {"ignore_errors", "ignore_missing_imports", "disable_error_code", "exclude", "follow_imports"} & set(MYPY)
    for section in MYPY["overrides"]:
        assert set(section) == {"module", "ignore_missing_imports"}
        assert all(re.fullmatch(r"[a-z]\w+(\.\w+)*\.\*", name) and not name.startswith("scn_tf") for name in section["module"])
    for path in MODULES.values():
        text = path.read_text()
        assert not re.search(r"#\s*mypy:|#\s*type:\s*ignore(?!\[[a-z-]+\])", text), path


def test_lint_and_continuous_integration_run_the_type_checker():
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (REPOSITORY / "Makefile").read_text(), re.M)
    assert "-m mypy\n" in recipe[1]
    assert re.search(r"^make lint$", (REPOSITORY / ".ci/run").read_text(), re.M)


def test_the_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").is_file()
    assert "py.typed" in PROJECT["tool"]["setuptools"]["package-data"]["scn_tf"]


def test_public_names_are_the_same_for_programs_for_checkers_and_in_all():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    guard = next(node for node in tree.body if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING")
    checked = {alias.name: node.module for node in guard.body for alias in node.names}
    assert checked == {name: f"scn_tf.{home}" for name, home in scn_tf._HOMES.items()}
    assert set(scn_tf.__all__) == {"__version__", *scn_tf._HOMES}
    assert set(scn_tf.__all__) <= set(dir(scn_tf))


def test_no_module_has_the_name_of_a_public_object():
    assert not {name.split(".")[1] for name in MODULES if name.count(".") == 1} & set(scn_tf._HOMES)


@pytest.mark.parametrize("name", sorted(scn_tf._HOMES))
def test_a_public_name_is_the_object_itself(name):
    value = getattr(scn_tf, name)
    assert value is getattr(sys.modules[f"scn_tf.{scn_tf._HOMES[name]}"], name)
    assert value.__module__.startswith(f"scn_tf.{scn_tf._HOMES[name]}")
    assert value.__doc__


@pytest.mark.parametrize("name", ["build_network", "evaluate", "load", "open_dataset", "train"])
def test_public_functions_have_true_signatures(name):
    parameters = inspect.signature(getattr(scn_tf, name)).parameters
    assert parameters
    assert not any(p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL) for p in parameters.values())


def test_build_network_shows_its_options_with_their_types():
    signature = inspect.signature(scn_tf.build_network)
    assert signature.parameters["landmarks"].annotation is int
    assert signature.parameters["landmarks"].default is inspect.Parameter.empty
    assert signature.parameters["dropout"].annotation == float | None
    assert signature.return_annotation == "keras.Model"  # a name: Keras is imported when a network is built


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'scn_tf' has no attribute 'lode'"):
        _ = scn_tf.lode
    assert not hasattr(scn_tf, "__wrapped__")


def test_modules_and_public_functions_keep_apart_in_any_order_of_import():
    program = (
        "import importlib, sys, types, scn_tf\n"
        "first, *others = sys.argv[1].split(',')\n"
        "load = scn_tf.load if first == 'name' else importlib.import_module(first) and scn_tf.load\n"
        "import scn_tf.predict, scn_tf.train_run, scn_tf.evaluate_run\n"
        "assert isinstance(scn_tf.predict, types.ModuleType) and scn_tf.load is load is scn_tf.predict.load\n"
        "assert scn_tf.train is scn_tf.train_run.train and scn_tf.evaluate is scn_tf.evaluate_run.evaluate\n"
        "from scn_tf import train, evaluate, predict, config\n"
        "assert callable(train) and callable(evaluate)\n"
        "assert isinstance(predict, types.ModuleType) and scn_tf.Config is config.Config\n"
    )
    for order in ("name", "scn_tf.predict"):
        ended = python("-c", program, order)
        assert (ended.returncode, ended.stderr) == (0, ""), order


def test_importing_the_package_is_light_and_errors_of_settings_need_no_tensorflow():
    program = (
        "import sys, scn_tf; heavy = {'tensorflow', 'keras', 'numpy', 'pydantic', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "scn_tf.ConfigError, scn_tf.Config, scn_tf.WriteError, scn_tf.MissingExtra, scn_tf.ConversionError, scn_tf.DatasetError\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    ended = python("-c", program)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("backend", ["torch", "nonsense"])
def test_under_another_backend_of_keras_a_public_object_is_there_or_a_setting_error(backend):
    program = (
        "import scn_tf\n"
        "for name in scn_tf.__all__:\n"
        "    try: getattr(scn_tf, name)\n"
        "    except scn_tf.ConfigError as error: print(name, str(error).split(':')[0])\n"
    )
    ended = python("-c", program, KERAS_BACKEND=backend)
    assert (ended.returncode, ended.stderr) == (0, "")
    refused = dict(line.split() for line in ended.stdout.splitlines())
    assert set(refused.values()) == {"KERAS_BACKEND"}
    needing = {name for name, home in scn_tf._HOMES.items() if home not in scn_tf._WITHOUT_TENSORFLOW}
    assert {"load", "train", "Predictor"} <= needing
    assert set(refused) == needing


def test_importing_the_package_takes_less_than_a_tenth_of_a_second():
    program = "import time; start = time.perf_counter(); import scn_tf; print(time.perf_counter() - start)"
    assert min(float(python("-c", program).stdout) for _ in range(7)) < 0.1


def test_help_takes_less_than_half_a_second():
    program = (
        "import subprocess, sys, time; start = time.perf_counter()\n"
        "subprocess.run([sys.executable, '-m', 'scn_tf', '--help'], check=True, stdout=subprocess.DEVNULL)\n"
        "print(time.perf_counter() - start)"
    )
    assert min(float(python("-c", program).stdout) for _ in range(7)) < 0.5


def test_a_type_checker_sees_the_real_functions_and_refuses_names_that_are_none(tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "program.py").write_text(
        "import scn_tf\n"
        "scn_tf.build_network('scn', 2, landmarks=3, image_size=(32, 48), dropout=0.1)\n"
        "scn_tf.build_network('scn', 2, landmarks='three')\n"
        "scn_tf.build_network('scn', 2)\n"
        "scn_tf.lode('hand_xray')\n"
        "scn_tf.load('hand_xray', colour=1)\n"
        "raise scn_tf.CheckpointError('text')\n"
    )
    configuration, cache = str(REPOSITORY / "pyproject.toml"), str(tmp_path / "cache")
    ended = python(
        "-m", "mypy", "--config-file", configuration, "--cache-dir", cache, str(tmp_path / "program.py"), MYPYPATH=str(REPOSITORY)
    )
    found = re.findall(r"program\.py:(\d+): error: .*\[([a-z-]+)\]", ended.stdout)
    assert found == [("3", "arg-type"), ("4", "call-arg"), ("5", "attr-defined"), ("6", "call-arg")], ended.stdout + ended.stderr


def test_a_value_that_must_be_known_is_refused_where_it_is_none():
    assert known(0.0) == 0.0
    with pytest.raises(ValueError, match="received None: resolve the configuration first"):
        known(None)
