"""The grammar of measurements. A text becomes a function of points, whose kind is checked while it is read.

.. code-block:: text

    sum     = product {("+" | "-") product}
    product = factor {("*" | "/") factor}
    factor  = "-" factor | number | function "(" sum {"," sum} ")" | landmark | "(" sum ")"
    landmark = name | "any name" | 'any name'

Nothing else exists: no attributes, no variables, no powers. Texts are short and shallow, so reading ends quickly.
"""

import difflib
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple, NoReturn

import numpy as np

from scn_tf.measurements.functions import ANGLE, FUNCTIONS, LENGTH, NUMBER, POINT, Kind
from scn_tf.messages import cut, short, visible
from scn_tf.types import Array

MAX_TEXT = 1000  # characters
MAX_DEPTH = 30  # parentheses and signs inside each other
MAX_POWER = 4  # of a unit
TOKEN = re.compile(r"(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[^\W\d]\w*)|\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|"
    r"(?P<sign>[-+*/(),])")  # fmt: skip

Evaluate = Callable[[Array], Array]  # points (..., N, d) -> (...) of a quantity, (..., d) of a point


class Part(NamedTuple):
    """Part of an expression: its kind, its function of the points, and the numbers of the landmarks in it."""

    kind: Kind
    evaluate: Evaluate
    landmarks: frozenset[int] = frozenset()


class Token(NamedTuple):
    """One word of an expression. ``start`` counts characters from 1."""

    kind: str
    text: str
    start: int


def parse(text: str, names: Sequence[str], dims: int) -> Part:
    """Read an expression.

    Args:
        text: the expression.
        names: N landmark names. A set without names has "0", "1", ..., which may also be written L0, L1, ...
        dims: 2 or 3.

    Returns:
        :class:`Part`, a quantity.

    Raises:
        ValueError: the text is no expression of a quantity. The message states the position, what was expected and received.
    """
    if len(text) > MAX_TEXT:
        raise ValueError(f"expected at most {MAX_TEXT} characters, received {len(text)}")
    found = _Reader(text, names, dims).whole()
    if not found.landmarks:
        raise ValueError(f"expected an expression of landmarks, such as {_example(names)}, received {short(text, 60)}")
    if found.kind.point:
        raise ValueError(f"expected a length, angle or ratio, received a point; measure it, such as distance({short(text, 40)[1:-1]}, ...)")
    return found


class _Reader:
    """Reads one expression from left to right (recursive descent)."""

    def __init__(self, text: str, names: Sequence[str], dims: int) -> None:
        self.text, self.names, self.dims = text, names, dims
        self.numbers = {name: number for number, name in enumerate(names)}
        self.counted = list(names) == [str(number) for number in range(len(names))]
        self.tokens = _tokens(text)
        self.place = self.depth = 0

    @property
    def next(self) -> Token:
        return self.tokens[self.place]

    def take(self) -> Token:
        self.place += 1
        return self.tokens[self.place - 1]

    def at(self, *signs: str) -> bool:
        return self.next.kind == "sign" and self.next.text in signs

    def expect(self, sign: str) -> None:
        if not self.at(sign):
            self.refuse(self.next, f"expected {sign}, received {_shown(self.next)}")
        self.take()

    @staticmethod
    def refuse(token: Token, reason: str) -> NoReturn:
        raise ValueError(f"position {token.start}: {reason}")

    def whole(self) -> Part:
        found = self.sum()
        if self.next.kind != "end":
            self.refuse(self.next, f"expected + - * / or the end, received {_shown(self.next)}")
        return found

    def sum(self) -> Part:
        found = self.product()
        while self.at("+", "-"):
            sign = self.take()
            other = self.product()
            if found.kind.point or other.kind.point or found.kind != other.kind:
                what = f"{found.kind.title} {sign.text} {other.kind.title}"
                self.refuse(sign, f"expected two values of one unit, received {what}")
            found = _joined(np.add if sign.text == "+" else np.subtract, found.kind, found, other)
        return found

    def product(self) -> Part:
        found = self.factor()
        while self.at("*", "/"):
            sign = self.take()
            other = self.factor()
            if found.kind.point or other.kind.point:
                self.refuse(sign, f"expected two numbers, lengths or angles, received {found.kind.title} {sign.text} {other.kind.title}")
            factor = 1 if sign.text == "*" else -1
            kind = Kind(found.kind.length + factor * other.kind.length, found.kind.angle + factor * other.kind.angle)
            if max(abs(kind.length), abs(kind.angle)) > MAX_POWER:
                self.refuse(sign, f"expected units up to the power {MAX_POWER}, received {kind.unit('mm')}")
            found = _joined(np.multiply if factor == 1 else np.divide, kind, found, other)
        return found

    def factor(self) -> Part:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.refuse(self.next, f"is nested more than {MAX_DEPTH} levels deep")
        found = self._factor()
        self.depth -= 1
        return found

    def _factor(self) -> Part:
        token = self.take()
        if token.kind == "number":
            return self.number(token)
        if token.kind == "name" and self.at("("):
            return self.call(token)
        if token.kind in ("name", "quoted"):
            return self.landmark(token)
        if token.kind == "sign" and token.text == "-":
            inner = self.factor()
            if inner.kind.point:
                self.refuse(token, "expected a number, length or angle after -, received a point")
            return _joined(np.negative, inner.kind, inner)
        if token.kind == "sign" and token.text == "(":
            inner = self.sum()
            self.expect(")")
            return inner
        self.refuse(token, f"expected a landmark, a function, a number or (, received {_shown(token)}")

    def number(self, token: Token) -> Part:
        value = float(token.text)
        if not np.isfinite(value):
            self.refuse(token, f"expected a finite number, received {_shown(token)}")
        return Part(NUMBER, lambda points: np.full(points.shape[:-2], value))

    def landmark(self, token: Token) -> Part:
        number = self.numbers.get(token.text)
        if number is None and self.counted and token.kind == "name" and re.fullmatch("L[0-9]{1,9}", token.text):
            number = self.numbers.get(str(int(token.text[1:])))
        if number is None:
            self.refuse(token, f"unknown landmark {_shown(token)}{self.hint(token.text)}")
        return Part(POINT, lambda points: points[..., number, :], frozenset([number]))

    def hint(self, text: str) -> str:
        """The nearest landmark as it is written in an expression."""
        names = [f"L{name}" for name in self.names] if self.counted else list(self.names)
        near = difflib.get_close_matches(text, names, n=1, cutoff=0.5)
        folded = [name for name in names if name.lower() == text.lower()]
        spelled = [_spelled(name) for name in (folded or near)[:1]]
        if spelled:
            return f"; did you mean {spelled[0]}?"
        return f"; known: {cut(visible(', '.join(map(_spelled, names[:20]))), 160)}"

    def call(self, token: Token) -> Part:
        function = FUNCTIONS.get(token.text)
        if function is None:
            near = difflib.get_close_matches(token.text, FUNCTIONS, n=1, cutoff=0.5)
            self.refuse(
                token, f"unknown function {_shown(token)}" + (f"; did you mean {near[0]}?" if near else f"; known: {', '.join(FUNCTIONS)}")
            )
        self.expect("(")
        given: list[Part] = []
        while True:
            start = self.next
            part = self.sum()
            self.check_argument(start, part, given, token.text)
            given.append(part)
            if not self.at(","):
                break
            self.take()
        self.expect(")")
        if len(given) not in function.counts:
            self.refuse(token, f"expected {function.usage}, received {len(given)} argument{'s' if len(given) > 1 else ''}")
        if function.flat and self.dims != 2:
            self.refuse(token, f"{token.text} is for 2D alone, since sides and crossings of lines need a plane")
        return _joined(function.apply, function.result or given[0].kind, *given)

    def check_argument(self, start: Token, part: Part, given: Sequence[Part], name: str) -> None:
        """Refuse an argument of another kind than the function takes."""
        function = FUNCTIONS[name]
        if function.points and not part.kind.point:
            help_text = ""
            if start.kind == "number" and start.text in self.numbers:
                help_text = f"; landmark {start.text} is written {'L' if self.counted else ''}{_spelled(start.text, self.counted)}"
            self.refuse(start, f"{name} expected a landmark or point, received {part.kind.title}{help_text}")
        if not function.points and part.kind.point:
            self.refuse(start, f"{name} expected a length, angle or number, received a point")
        if not function.points and given and part.kind != given[0].kind:
            self.refuse(start, f"{name} expected values of one unit, received {given[0].kind.title} and {part.kind.title}")


def _joined(apply: Callable[..., Array], kind: Kind, *parts: Part) -> Part:
    """Function of several parts."""
    inner = [part.evaluate for part in parts]
    return Part(kind, lambda points: apply(*[evaluate(points) for evaluate in inner]), frozenset().union(*(p.landmarks for p in parts)))


def _tokens(text: str) -> list[Token]:
    found: list[Token] = []
    place = 0
    while True:
        while place < len(text) and text[place].isspace():
            place += 1
        if place == len(text):
            return [*found, Token("end", "", place + 1)]
        match = TOKEN.match(text, place)
        if match is None:
            what = "a quotation mark without its end" if text[place] in "\"'" else short(text[place])
            raise ValueError(f"position {place + 1}: expected a landmark, function, number or sign, received {what}")
        kind = str(match.lastgroup)
        found.append(Token("quoted" if kind in ("double", "single") else kind, match[kind], place + 1))
        place = match.end()


def _shown(token: Token) -> str:
    return "the end" if token.kind == "end" else cut(visible(_spelled(token.text) if token.kind == "quoted" else token.text), 60)


def _spelled(name: str, plain: bool = False) -> str:
    """A landmark as it is written in an expression: in quotation marks unless it is one word."""
    if plain or re.fullmatch(r"[^\W\d]\w*", name):
        return name
    return f"'{name}'" if '"' in name else f'"{name}"'


def _example(names: Sequence[str]) -> str:
    counted = list(names) == [str(number) for number in range(len(names))]
    first, second = ([f"L{n}" for n in (0, 1)] if counted else [*map(_spelled, names[:2]), "B"])[:2]
    return f"distance({cut(visible(first), 40)}, {cut(visible(second), 40)})"


__all__ = ["ANGLE", "LENGTH", "MAX_DEPTH", "MAX_TEXT", "Part", "parse"]
