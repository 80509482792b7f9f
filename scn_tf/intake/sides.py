"""Left and right landmarks by their names, for ``flip_pairs``."""

import re
from collections.abc import Iterator, Sequence

# Words of the left side with their counterparts. Single letters count only as words, or in front of a capital or a number.
WORDS = {"left": "right", "l": "r", "lt": "rt", "lft": "rgt", "links": "rechts", "gauche": "droite", "izquierda": "derecha", "sin": "dex"}
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^A-Za-z\d]+")


def flip_pairs(names: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of numbers of a left landmark and its right counterpart, by their names: ``L_eye`` and ``R_eye``, ``earLeft`` and ``earRight``.

    A landmark is in one pair at most.
    """
    numbers = {name: number for number, name in enumerate(names)}
    pairs: list[tuple[int, int]] = []
    taken: set[int] = set()
    for number, name in enumerate(names):
        for other in _counterparts(name):
            partner = numbers.get(other)
            if partner is not None and not {number, partner} & taken:
                pairs.append((number, partner))
                taken |= {number, partner}
                break
    return pairs


def _counterparts(name: str) -> Iterator[str]:
    """The name with one word of the left side replaced by that of the right side."""
    for match in WORD.finditer(name[:200]):
        word = match[0]
        for left in (word, word[:1] if len(word) > 1 and word[0] == "L" and word.isupper() else word):
            right = WORDS.get(left.lower())
            if right is not None:
                yield f"{name[: match.start()]}{_like(right, left)}{name[match.start() + len(left) :]}"


def _like(word: str, other: str) -> str:
    """A word in the capitals of another."""
    return word.upper() if other.isupper() else word.capitalize() if other[0].isupper() else word
