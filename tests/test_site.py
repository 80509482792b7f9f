"""The documentation site: its menu, what it takes from the code, and references in docstrings; `make docs` builds it."""

import ast
import re

import pytest

import scn_tf
from scn_tf import config
from tests.conftest import REPOSITORY
from tests.test_documents import blocks
from tools import reference

DOCS = REPOSITORY / "docs"
INDEX = (DOCS / "index.md").read_text(encoding="utf-8")
ROLE = re.compile(r":(?:class|func|meth|mod|attr|data|exc|obj):`~?([^`]+)`")


def docstrings(path):
    """(docstring, name of its class or None) of a module, its classes and functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    owners = {child: node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for child in node.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield ast.get_docstring(node) or "", node.name if isinstance(node, ast.ClassDef) else owners.get(node)


def dead(text, module, owner):
    return [target for target in ROLE.findall(text) if not reference.names(target, module, owner)]


def test_every_reference_of_a_docstring_leads_to_something():
    found = {}
    for module in reference.modules():
        path = REPOSITORY / (module.replace(".", "/") + ".py")
        path = path if path.is_file() else path.with_suffix("") / "__init__.py"
        found |= {(module, target): text for text, owner in docstrings(path) for target in dead(text, module, owner)}
    assert found == {}


@pytest.mark.parametrize(
    ("target", "module", "owner", "is_dead"),
    [
        ("scn_tf.config.Config", None, None, False),
        ("scn_tf.config.Cnofig", None, None, True),
        ("ModelConfig.filters", "scn_tf.config.settings", None, False),  # a field, which the class does not have as an attribute
        ("filters", "scn_tf.config.settings", "ModelConfig", False),
        ("_member", "tools.reference", None, False),
        ("_mebmer", "tools.reference", None, True),
        ("np.ndarray", "scn_tf.geometry", None, False),
    ],
)
def test_dead_references_are_noticed(target, module, owner, is_dead):
    assert (dead(f"See :class:`{target}`.", module, owner) != []) == is_dead


def test_the_menu_has_every_page_once():
    listed = re.findall(r"^(?!```|:)(\S+)$", reference.menu(INDEX), flags=re.M)
    pages = [*DOCS.glob("*.md"), *(DOCS / "research").glob("*.md")]
    assert sorted(listed) == sorted(str(page.relative_to(DOCS).with_suffix("")) for page in pages if page.name != "index.md")
    assert listed[:4] == ["data", "checking", "training", "evaluation"]


def test_the_first_page_begins_with_the_three_commands_of_the_readme():
    assert blocks(INDEX)[0] == blocks((REPOSITORY / "README.md").read_text(encoding="utf-8"))[0]


def test_pages_from_the_code_name_every_public_object_setting_and_command():
    api = reference.fill((DOCS / "api.md").read_text(encoding="utf-8"))
    assert [name for name in scn_tf.__all__ if f":: scn_tf.{name}\n" not in api] == ["__version__"]
    settings = reference.fill((DOCS / "settings.md").read_text(encoding="utf-8"))
    assert [name for name in config.field_names() if f"| `{name.split('.')[1]}` |" not in settings] == []
    commands = reference.fill((DOCS / "commands.md").read_text(encoding="utf-8"))
    assert {"train", "evaluate", "predict", "export", "study"} <= set(re.findall(r"^## (\S+)$", commands, flags=re.M))
    assert "| `--split NAME` |" in commands or "| `--split SPLIT` |" in commands
    evaluate = commands.split("## evaluate\n")[1].split("\n## ")[0]
    assert "--data.root DIR" in evaluate
    train = commands.split("## train\n")[1].split("\n## ")[0]
    assert "--resume" in train
    assert "--train.epochs" not in train  # a setting: another page
    with pytest.raises(KeyError):
        reference.fill("<!-- generated: nothing -->")


def test_links_that_leave_the_documents_become_paths_and_pictures_stay():
    text = "[a study](../benchmarks/README.md#stored) ![curves](../benchmarks/a.png) [data](data.md)"
    assert reference.fill(text) == "a study (`benchmarks/README.md` of the repository) ![curves](../benchmarks/a.png) [data](data.md)"


def test_stars_and_bars_of_a_docstring_are_no_markup():
    assert reference.escape("* (x - 1)*2 and |A|, ``a*b``, **kwargs") == r"* (x - 1)\*2 and \|A\|, ``a*b``, \*\*kwargs"


def test_the_files_of_make_quick_exist():
    listed = re.search(r"^QUICK := (.*?[^\\])$", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), flags=re.S | re.M)[1]
    names = listed.replace("\\\n", " ").split()
    assert len(names) > 20
    assert [name for name in names if not (REPOSITORY / "tests" / f"test_{name}.py").is_file()] == []
