"""Settings of the documentation site: ``make docs`` builds it into ``build/docs``.

The pages are plain Markdown that code hosts show as well. What only the site has is added while Sphinx reads them:
the menu from the list in ``index.md``, tables and the reference from the code (``tools/reference.py``).
"""

import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

import scn_tf  # noqa: E402
from tools import reference  # noqa: E402

project = "scn_tf"
author = "The scn_tf authors"
copyright = author
version = release = scn_tf.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
nitpicky = True  # a reference to nothing is a warning, and `make docs` takes warnings for errors
exclude_patterns = ["pictures/*.py"]
html_theme = "furo"
html_title = f"scn_tf {release}"
html_copy_source = False
smartquotes = False  # options begin with two hyphens

myst_heading_anchors = 4  # headings can be linked as on code hosts
napoleon_google_docstring, napoleon_numpy_docstring = True, False
napoleon_use_ivar = True  # the fields of a named tuple are described once
napoleon_use_rtype = False  # what stands before a colon in "Returns:" need not be a type
python_maximum_signature_line_length = 100
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True, "ignore-module-all": True}
autodoc_inherit_docstrings = False


def add_generated(app: Sphinx, docname: str, source: list[str]) -> None:
    """Complete a page: the menu, and what stands for each ``<!-- generated: NAME -->``."""
    if docname == "index":
        source[0] += reference.menu(source[0])
    source[0] = reference.fill(source[0])


def outdated(app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]) -> list[str]:
    """Pages that take something from the code are read anew: Sphinx sees changes of their own files alone."""
    return [name for name in env.found_docs if reference.MARK.search(Path(env.doc2path(name)).read_text(encoding="utf-8"))]


def write_modules(app: Sphinx) -> None:
    """One page per package; git ignores them."""
    reference.write_modules(Path(app.srcdir) / "modules")


def shorten_signature(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None] | None:
    """Sections of a configuration: their table of settings says it better than 30 annotated arguments.

    Fields of data classes with a default factory: Sphinx cuts annotations at every comma where a default is no Python.
    """
    if reference.is_section(obj):
        return "(**settings)", None
    return (signature and signature.replace("<factory>", "..."), returned)


def skip_member(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Whether to leave a member out: each object has one place, public ones the page ``api``; None leaves the choice to autodoc."""
    return True if reference.is_described_elsewhere(app.env.docname, what, name, obj) else None


def escape_formulas(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Before napoleon reads the docstring."""
    lines[:] = map(reference.escape, lines)


def restore_sentence(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """After napoleon, which takes what stands before a colon in the docstring of a property for its type."""
    if what == "property" and lines:
        types = [line for line in lines if line.startswith(":type: ")]
        lines[0] = "".join(f"{line.removeprefix(':type: ')}: " for line in types) + lines[0]
        lines[:] = [line for line in lines if line not in types]


def resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement) -> nodes.Element | None:
    """A reference that the site does not have under this name.

    Objects with two names are linked by the one that the site has. Private objects and those of other libraries become plain text.
    What Python cannot find either stays unresolved: Sphinx reports it.
    """
    if node.get("refdomain") != "py":
        return None
    names = reference.names(node["reftarget"], node.get("py:module") or "scn_tf", node.get("py:class"))
    domain = env.domains["py"]
    for name in names:
        if name in domain.objects:  # type: ignore[attr-defined]
            place = domain.objects[name]  # type: ignore[attr-defined]
            uri = app.builder.get_relative_uri(node.get("refdoc", env.docname), place.docname)
            return nodes.reference("", "", content, internal=True, refuri=f"{uri}#{place.node_id}")
    return content if names else None


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", write_modules)
    app.connect("env-get-outdated", outdated)
    app.connect("source-read", add_generated)
    app.connect("autodoc-skip-member", skip_member)
    app.connect("autodoc-process-docstring", escape_formulas, priority=400)
    app.connect("autodoc-process-docstring", restore_sentence, priority=600)
    app.connect("autodoc-process-signature", shorten_signature)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True}
