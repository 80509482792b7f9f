"""Sentence lengths and retired words of the documents: `python tools/prose.py [FILE...]`.

Plain sentences are short. Of every Markdown file: number of sentences, mean words per sentence, share above 30 words, and each retired
phrase with its line. Code, tables, headings and link targets do not count.
"""

import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
LONG = 30  # words
PER = r"(image|landmark|run|epoch|row|second|request|point|step|line|pixel|batch|form|job)"  # what rates are counted by
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


def lengths(text: str) -> list[int]:
    """Words of each sentence."""
    return [len(re.findall(r"[\w'%.,/+-]+", sentence)) for sentence in sentences(text)]


def retired(text: str) -> list[tuple[int, str, str]]:
    """(line, phrase, better word) of every retired phrase."""
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        for pattern, better in RETIRED.items():
            rows += [(number, match.group(), better) for match in re.finditer(pattern, line, flags=re.I)]
    return rows


def documents() -> list[Path]:
    """The user documents: README and docs, laboratory notes excepted."""
    return [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def main() -> int:
    """Print the figures."""
    every = []
    for path in map(Path, sys.argv[1:]) if sys.argv[1:] else documents():
        text = path.read_text(encoding="utf-8")
        words = lengths(text)
        every += words
        share = 100 * sum(count > LONG for count in words) / max(1, len(words))
        print(f"{path.name:20s} {len(words):4d} sentences  mean {sum(words) / max(1, len(words)):5.1f} words  {share:4.1f} % above {LONG}")
        for number, phrase, better in retired(text):
            print(f"    line {number}: {phrase!r} -> {better}")
    print(f"{'all':20s} {len(every):4d} sentences  mean {sum(every) / max(1, len(every)):5.1f} words  "
          f"{100 * sum(count > LONG for count in every) / max(1, len(every)):4.1f} % above {LONG}")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
