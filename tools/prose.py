"""Sentence lengths and retired words of the documents and the code: `python tools/prose.py [FILE...]`.

Plain sentences are short. The tool prints four things per file: number of sentences, mean words per sentence, share above 30 words, and
each retired phrase with its line. It reads Markdown files, and the docstrings and messages of Python files. Code, tables, headings and
link targets do not count.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
LONG = 30  # words
PER = r"(image|landmark|run|epoch|row|second|request|point|step|line|pixel|batch|form|job)"  # what rates are counted by
SECTIONS = "Args|Attributes|Returns|Raises|Yields|Source"  # of docstrings
SENTENCE = r"(?:[A-Za-z]{2,}[,;:.]? ){2}[A-Za-z]{2,}"  # three words in a row
MARKUP = r"<\w+[ >]|[{};]\w[^ ]*[{};]|^#!|^\w+/\w+;"  # HTML, style sheets, scripts, media types
# What it should be instead.
RETIRED = {
    r"\b(go(es|ing)?|went) on\b": "resume, continue",
    r"\b(com(e|es|ing)|came) along\b": "bundled",
    r"\b(told|said)\b": "reported",
    r"\bmended\b": "fixed",
    rf"\b(a|an|one|two|three|four) \w+ an? {PER}\b": "per",
    rf"\b(seconds?|images?|times?|ms|errors?|one|two|task|job|process|core) an? {PER}\b": "per",
    r"\bno such thing\b": "not used by this model",
    r"\bno patience\b": "",
    r"\b(who is there|that encrypts)\b": "a reverse proxy with TLS and authentication",
    r"\b(numbers in the range they have|preparation takes it out)\b": "pass raw intensities",
    r"\bturns nothing\b": "is ignored",
}
# Of docstrings and messages as well: documents may use these words in their plain sense.
RETIRED_IN_CODE = {
    **RETIRED,
    r"\b(says?|states?) of (itself|themselves)\b": "facts of the file",
    r"\b(is|are|be) (there already|there yet)\b": "already exists",
    r"\b(lies?|stands?|nothing) there\b": "exists",
    r"\b(?<!has )no such (name|one|model|form|format|loss)\b": "unknown",
    r"\bnone of ours\b": "was not written by scn_tf",
    r"\botherwise than\b": "different from",
    r"\bas (it|they|he) ha(s|ve) (it|them)\b": "as in",
    r"\b(afresh|anew)\b": "again",
    r"\bFind out before\b": "Check before",
    r"\b(whoever|nobody|somebody)\b": "the caller, no process",
    r"\bcomes? with the package\b": "bundled",
    r"\b(a|one) \w+ an? (axis|level|system|pixel|label|path|task|channel|step)\b": "per",
    r"\b(settings?|values?|frame|spacing) that cannot be\b": "invalid",
    r"\bof it the\b|\bof them the\b": "",
    r"\bwhat cannot be\b": "unsupported",
}


def sentences(text: str) -> list[str]:
    """Sentences of a Markdown text: paragraphs and list items without code, tables, headings and pictures."""
    text = re.sub(r"```.*?```", "", text, flags=re.S)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    found = []
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.)\s)", text):
        if block.lstrip().startswith(("|", "#", "!", "<")):
            continue
        block = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", block)
        block = re.sub(r"`[^`]*`", "code", block)
        block = " ".join(re.sub(r"^\s*(?:[-*]|\d+\.)\s+", "", block).split())
        found += [part for part in re.split(r"(?<=[.!?:;])\s+(?=[A-Z0-9\"(*_`c])", block) if len(part.split()) > 2]
    return found


def words(sentence: str) -> int:
    """Number of words of a sentence."""
    return len(re.findall(r"[\w'%.,/+-]+", sentence))


def lengths(text: str) -> list[int]:
    """Words of each sentence."""
    return [words(sentence) for sentence in sentences(text)]


def retired(text: str, phrases: dict[str, str] = RETIRED) -> list[tuple[int, str, str]]:
    """(line, phrase, better word) of every retired phrase."""
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        for pattern, better in phrases.items():
            rows += [(number, match.group(), better) for match in re.finditer(pattern, line, flags=re.I)]
    return rows


def _docstring(node: ast.AST) -> ast.Constant | None:
    """The docstring of a module, class or function."""
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or not node.body:
        return None
    first = node.body[0]
    value = first.value if isinstance(first, ast.Expr) else None
    return value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None


def docstrings(source: str) -> list[tuple[int, str]]:
    """(line, text) of every docstring of a Python module."""
    found = filter(None, map(_docstring, ast.walk(ast.parse(source))))
    return [(node.lineno, str(node.value)) for node in found]


def messages(source: str) -> list[tuple[int, str]]:
    """(line, text) of every string of a Python module that reads as a sentence; a filled-in value becomes `code`."""
    tree = ast.parse(source)
    docs = set(map(id, map(_docstring, ast.walk(tree))))

    def strings(node: ast.AST) -> Iterator[tuple[int, str]]:
        if isinstance(node, ast.JoinedStr):
            yield node.lineno, "".join(str(part.value) if isinstance(part, ast.Constant) else "`code`" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.lineno, node.value
        inner = node.values if isinstance(node, ast.JoinedStr) else ast.iter_child_nodes(node)
        for child in inner:
            if not (isinstance(node, ast.JoinedStr) and isinstance(child, ast.Constant)):
                yield from strings(child)

    return [(line, text) for line, text in strings(tree) if re.search(SENTENCE, text.replace("`", "")) and not re.search(MARKUP, text)]


def docstring_sentences(text: str) -> list[str]:
    """Sentences of a docstring: of its paragraphs, and of each described argument, result and error."""
    text = re.sub(r":(?:func|class|meth|mod|data|attr|exc):`[^`]*`|``[^`]*``", "`code`", text)
    text = re.sub(rf"^ *(?:{SECTIONS}):\n", "\n", text, flags=re.M)
    text = re.sub(r"^ +[\w*]+(?:, [\w*]+)*: ", "\n\n", text, flags=re.M)
    return sentences(text)


def documents() -> list[Path]:
    """The user documents: README and docs, laboratory notes excepted."""
    return [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def modules() -> list[Path]:
    """The modules of the package."""
    return sorted((REPOSITORY / "scn_tf").rglob("*.py"))


def _parts(path: Path) -> list[tuple[str, list[int], list[tuple[int, str, str]]]]:
    """(what, words of its sentences, retired phrases with lines) of a file: docstrings and messages of a module, the text of a page."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return [("text", lengths(text), retired(text))]
    parts = []
    for what, found, split in (("docstrings", docstrings(text), docstring_sentences), ("messages", messages(text), sentences)):
        counts = [words(sentence) for _, one in found for sentence in split(one)]
        phrases = [(line, *row[1:]) for line, one in found for row in retired(" ".join(one.split()), RETIRED_IN_CODE)]
        parts.append((what, counts, phrases))
    return parts


def _figures(title: str, counts: list[int]) -> str:
    """One line of figures."""
    number = max(1, len(counts))
    share = 100 * sum(count > LONG for count in counts) / number
    return f"{title:40s} {len(counts):5d} sentences  mean {sum(counts) / number:5.1f} words  {share:4.1f} % above {LONG}"


def main() -> int:
    """Print the figures of each file, or of all documents and, in total, of the package."""
    totals: dict[str, list[int]] = {}
    for path in map(Path, sys.argv[1:]) if sys.argv[1:] else [*documents(), *modules()]:
        for what, counts, phrases in _parts(path):
            totals.setdefault(what, []).extend(counts)
            if sys.argv[1:] or what == "text":
                print(_figures(f"{path.name} {what}", counts))
            for line, phrase, better in phrases:
                print(f"    {path}, line {line}: {phrase!r} -> {better}")
    for what, counts in totals.items():
        print(_figures(f"all {what}", counts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
