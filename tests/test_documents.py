"""README and docs: links, prose, command lines, Python blocks, and the messages that troubleshooting quotes."""

import argparse
import ast
import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from scn_tf.cli import spelling
from scn_tf.cli.parser import build_parser
from tests.conftest import REPOSITORY
from tools import prose

GUIDES = prose.documents()
PAGES = [*GUIDES, *sorted((REPOSITORY / "docs" / "research").glob("*.md")), REPOSITORY / "benchmarks" / "README.md"]
PAGES += sorted((REPOSITORY / "benchmarks" / "results").glob("*/README.md"))
PAGES += [REPOSITORY / "tools" / "README.md", REPOSITORY / "CONTRIBUTING.md"]
MEAN, SHARE = 16, 0.05  # words per sentence; share of sentences above prose.LONG
SCRIPTS = {  # script of the repository -> what it puts before its arguments
    "train.py": ["train"],
    "evaluate.py": ["evaluate"],
    "export/to_saved_model.py": ["export", "--form", "saved_model"],
    "export/to_tflite.py": ["export", "--form", "tflite"],
    "export/to_onnx.py": ["export", "--form", "onnx"],
    "export/check_parity.py": ["check_parity"],
    "export/serve.py": ["serve"],
    "export/client.py": ["client"],
}
COMMAND = re.compile(rf"(?:scn-tf|python ({'|'.join(map(re.escape, SCRIPTS))}))(?= )")


def name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def blocks(text: str) -> list[tuple[str, str]]:
    """(language, content) of the fenced blocks."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.S | re.M)


def anchors(text: str) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M)
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.*)$", text, flags=re.M):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        number = 1
        unique = anchor
        while unique in found:
            unique, number = f"{anchor}-{number}", number + 1
        found.add(unique)
    return found


def broken_links(page: Path, text: str) -> list[str]:
    """Relative links whose file, or whose heading, does not exist."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M)
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        is_inside = target.is_relative_to(REPOSITORY)
        if not is_inside or not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            broken.append(link)
    return broken


def command_lines(text: str) -> list[list[str]]:
    """Arguments, as `scn-tf` would get them, of the command lines in fenced blocks; a comment or redirection ends one."""
    found = []
    for language, content in blocks(text):
        if language == "python":
            continue
        for line in content.replace("\\\n", " ").splitlines():
            if match := COMMAND.match(line.strip().removeprefix("$ ").removeprefix(".venv/bin/")):
                rest = line[line.index(match.group()) + len(match.group()) :]
                words = shlex.split(re.split(r"\s[|>&]\s", f"{rest} ")[0], comments=True)
                found.append([*SCRIPTS.get(match.group(1), []), *words])
    return found


def inline_commands(text: str) -> list[list[str]]:
    """The same of commands inside sentences and tables, those with `...` or `|` for choices excepted."""
    found = []
    for code in re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M)):
        match = COMMAND.match(code)
        if match and "|" not in code:
            found.append([*SCRIPTS.get(match.group(1), []), *shlex.split(re.split(r"\s[>&]\s", code[match.end() :])[0])])
    return found


def refusal(arguments: list[str]) -> str | None:
    """Why the command line is none; None if it parses."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            _, unknown = build_parser("scn-tf").parse_known_args(arguments)
    except SystemExit as end:
        return said.getvalue().strip().splitlines()[-1] if end.code else None
    except argparse.ArgumentError as error:
        return str(error)
    return f"unknown: {unknown}" if unknown else None


def options_are_known(arguments: list[str]) -> bool:
    """Whether the command and all of its options exist: a command in a sentence may leave out what it needs."""
    commands = next(action.choices for action in build_parser("scn-tf")._actions if isinstance(action, argparse._SubParsersAction))
    if not arguments or arguments[0].startswith("-"):
        return True
    options = [word.split("=")[0] for word in arguments[1:] if re.match(r"--?[a-z]", word)]
    return arguments[0] in commands and all(option in commands[arguments[0]]._option_string_actions for option in options)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_relative_link_leads_to_a_file_and_a_heading(page):
    assert broken_links(page, page.read_text(encoding="utf-8")) == []


def test_a_link_to_a_missing_file_heading_or_place_outside_is_noticed():
    page = REPOSITORY / "docs" / "data.md"
    text = "[a](nowhere.md) [b](serving.md#no-such) [c](#none) [d](../../elsewhere.md) [e](serving.md#parity) [f](https://example.org)"
    assert broken_links(page, text) == ["nowhere.md", "serving.md#no-such", "#none", "../../elsewhere.md"]


@pytest.mark.parametrize("page", GUIDES, ids=name)
def test_sentences_of_the_guides_are_short_and_use_the_words_of_the_field(page):
    text = page.read_text(encoding="utf-8")
    words = prose.lengths(text)
    assert sum(words) <= MEAN * len(words), f"{sum(words) / len(words):.1f} words per sentence"
    long = [sentence for sentence in prose.sentences(text) if sum(prose.lengths(sentence)) > prose.LONG]
    assert len(long) <= SHARE * len(words), long
    assert prose.retired(text) == []


@pytest.mark.parametrize(
    "text",
    ["it goes on", "a model comes along", "one job a run", "the user is told", "has no such thing, it is ignored", "EXIF turns nothing"],
)
def test_retired_phrases_are_found(text):
    assert prose.retired(f"# Title\n\nHere {text}.\n")


def test_the_readme_is_short_and_begins_with_the_picture_and_three_commands():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    assert text.index("docs/pictures/method.png") < text.index("```")
    assert len(blocks(text)[0][1].splitlines()) == 3
    for guide in (REPOSITORY / "docs").glob("*.md"):
        assert f"(docs/{guide.name})" in text, f"README does not link {guide.name}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_line_parses(page):
    text = page.read_text(encoding="utf-8")
    wrong = {shlex.join(words): why for words in command_lines(text) if (why := refusal(words))}
    wrong |= {shlex.join(words): "unknown option" for words in inline_commands(text) if not options_are_known(words)}
    assert wrong == {}


def test_enough_command_lines_are_found_and_wrong_ones_noticed():
    found = [words for page in GUIDES for words in command_lines(page.read_text(encoding="utf-8"))]
    assert len(found) > 30
    assert {words[0] for words in found} >= {"train", "evaluate", "predict", "export", "check-parity", "serve", "demo", "study", "client"}
    text = "```\npython train.py --modle.levels 3   # no such\n```\n```\nscn-tf export RUN\nscn-tf serve served --port 8501 > log\n```\n"
    assert command_lines(text) == [["train", "--modle.levels", "3"], ["export", "RUN"], ["serve", "served", "--port", "8501"]]
    assert [refusal(words) is None for words in command_lines(text)] == [False, False, True]
    assert [options_are_known(words) for words in inline_commands("`scn-tf train --resmue` `scn-tf train --resume` `scn-tf tarin x`")] == [
        False,
        True,
        False,
    ]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_script_that_is_named_exists(page):
    named = re.findall(r"python3? ((?:benchmarks|tools|export)/\w+\.py)", page.read_text(encoding="utf-8"))
    assert [script for script in named if not (REPOSITORY / script).is_file()] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_python_block_compiles(page):
    for language, content in blocks(page.read_text(encoding="utf-8")):
        if language == "python":
            compile(content, name(page), "exec")


def test_every_configuration_of_the_documents_is_bundled():
    from scn_tf.config import bundled

    for page in PAGES:
        for words in command_lines(page.read_text(encoding="utf-8")):
            if "--config" in words and not words[words.index("--config") + 1].isupper():
                assert words[words.index("--config") + 1] in bundled.names(), f"{name(page)}: {shlex.join(words)}"


def test_scripts_of_the_repository_do_what_the_table_of_commands_here_says():
    for script, before in SCRIPTS.items():
        source = (REPOSITORY / script).read_text(encoding="utf-8")
        assert all(f'"{word}"' in source for word in before), script


def test_messages_of_the_troubleshooting_page_are_those_of_the_code():
    texts = [  # as the command line has them
        re.sub(r"`([a-z_.]+)`", lambda match: f"--{match[1].replace('_', '-')}", node.value)
        for path in (REPOSITORY / "scn_tf").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    # As the command line shows them.
    commands = next(action.choices for action in build_parser("scn-tf")._actions if isinstance(action, argparse._SubParsersAction))
    names = {name: typed for parser in commands.values() for name, typed in spelling.typed_names(parser).items()}
    texts = [spelling.as_typed(text, names) for text in texts]
    page = (REPOSITORY / "docs" / "troubleshooting.md").read_text(encoding="utf-8").split("## Poor results")[0]
    quoted = [code for row in re.findall(r"^\|([^|]*)\|", page, flags=re.M) for code in re.findall(r"`([^`]+)`", row)]
    fragments = [part.strip(" ;") for code in quoted if code != "Retry-After" for part in code.split("…") if len(part.strip(" ;")) > 3]
    assert len(fragments) >= 20
    assert [part for part in fragments if not any(part in text for text in texts)] == []


def test_the_architecture_page_names_every_module_of_the_package():
    page = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    package = REPOSITORY / "scn_tf"
    rows = {"models", "decoders", "losses", "readers", "formats", "forms", "commands", "bundled", "parts", "checks", "kinds"}
    parts_of_rows = {"forest", "label_map", "images", "annotations", "dicom", "saved_model", "tflite", "onnx"}
    folders = [package, *(path for path in package.rglob("*") if path.is_dir() and path.name not in rows | parts_of_rows | {"__pycache__"})]
    modules = [path for folder in folders for path in folder.glob("[!_]*.py")]
    assert len(modules) > 50
    assert [path.stem for path in modules if not re.search(rf"\b{path.stem}\b", page)] == []
