"""Docstrings and messages of the package: short sentences, in the words of the field."""

import pytest

from tools import prose

LONGEST, MEAN = 32, 11  # words per sentence


@pytest.fixture(scope="module")
def sources():
    return {str(path.relative_to(prose.REPOSITORY)): path.read_text(encoding="utf-8") for path in prose.modules()}


@pytest.mark.parametrize(
    ("texts", "split"), [(prose.docstrings, prose.docstring_sentences), (prose.messages, prose.sentences)], ids=["docstrings", "messages"]
)
def test_sentences_of_the_package_are_short(texts, split, sources):
    found = [(name, line, sentence) for name, source in sources.items() for line, text in texts(source) for sentence in split(text)]
    counts = [prose.words(sentence) for _, _, sentence in found]
    assert len(found) > 500
    assert [row for row, count in zip(found, counts, strict=True) if count > LONGEST] == []
    assert sum(counts) <= MEAN * len(counts), f"{sum(counts) / len(counts):.1f} words per sentence"


@pytest.mark.parametrize("texts", [prose.docstrings, prose.messages], ids=["docstrings", "messages"])
def test_the_package_uses_the_words_of_the_field(texts, sources):
    found = [
        (name, line, phrase, better)
        for name, source in sources.items()
        for line, text in texts(source)
        for _, phrase, better in prose.retired(" ".join(text.split()), prose.RETIRED_IN_CODE)
    ]
    assert found == []


SOURCE = '''
"""Module: what it does."""

def load(path: str) -> None:
    """Open a file.

    It is read
    once.

    Args:
        path: the file. It stays open.

    Raises:
        ValueError, OSError: the file is damaged.
    """
    raise ValueError(f"{path}: was not written " f"by {len('us')} programs; choose another.") if path else KeyError("name")

STYLE = "body{margin:0}td,th{padding:0 and more and more}"
HELP = ["number of images to use", "two words"]
'''


def test_docstrings_are_split_into_sentences_of_paragraphs_and_items():
    texts = prose.docstrings(SOURCE)
    assert [line for line, _ in texts] == [2, 5]
    assert prose.docstring_sentences(texts[1][1]) == [
        "Open a file.",
        "It is read once.",
        "It stays open.",
        "the file is damaged.",
    ]


def test_messages_are_strings_that_read_as_sentences():
    assert [text for _, text in prose.messages(SOURCE)] == [
        "`code`: was not written by `code` programs; choose another.",
        "number of images to use",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "a run that goes on",
        "one map a label",
        "what a model says of itself",
        "the file is there already",
        "a file that is none of ours",
        "it begins anew",
        "Find out before work",
        "ConfigError: no such name",
        "the user is told",
    ],
)
def test_retired_phrases_of_code_are_found(text):
    assert len(prose.retired(f"Here is {text}.", prose.RETIRED_IN_CODE)) == 1
