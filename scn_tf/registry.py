"""Choices that others can add to, one row per choice: networks, decoders, losses, formats, export forms, commands.

A registry finds its rows in three places. Its home package: every module there that defines a row. ``register``: a program
adds its own. Entry points: an installed package names rows in the registry's group (docs/extending.md).
"""

import difflib
import importlib
import importlib.metadata
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, Protocol, TypeVar

from scn_tf.errors import ConfigError
from scn_tf.messages import cut, visible


class Named(Protocol):
    """What every row has."""

    @property
    def name(self) -> str: ...


Row = TypeVar("Row", bound=Named)


class Registry(Mapping[str, Row], Generic[Row]):
    """Rows by name, in the order home package (sorted by ``rank``, then name), registered, entry points.

    Args:
        noun: what a row is, for messages: "network".
        kind: class of the rows.
        home: package whose modules and packages hold the rows of this package. Importing them must be cheap: help texts list their names.
        group: entry-point group of other packages' rows.
    """

    def __init__(self, noun: str, kind: type[Row], *, home: str, group: str) -> None:
        self.noun, self.kind, self.home, self.group = noun, kind, home, group
        self._rows: dict[str, Row] | None = None
        self._offered: dict[str, Callable[[], object]] = {}

    def register(self, row: Row) -> None:
        """Add a row.

        Raises:
            ConfigError: it is no row of this registry, or its name is taken.
        """
        if not isinstance(row, self.kind):
            raise ConfigError(f"{self.noun}: expected a {self.kind.__name__}, received {type(row).__name__}.")
        rows = self._loaded()
        if row.name in rows or row.name in self._offered:
            raise ConfigError(f"{self.noun} {row.name}: is registered already; choose another name.")
        rows[row.name] = row

    def unregister(self, name: str) -> None:
        """Take a registered row away again, as tests do."""
        self._loaded().pop(name, None)

    def imported(self) -> Mapping[str, Row]:
        """The rows that cost no import of another package: its own, the registered ones, and plug-ins that were used."""
        return self._loaded()

    def __getitem__(self, name: str) -> Row:
        """The row of a name; an entry point's is imported here.

        Raises:
            ConfigError: no such name, with the nearest one; an entry point that cannot be imported or is no row.
        """
        rows = self._loaded()
        if name not in rows and name in self._offered:
            rows[name] = self._import_offered(name)
        if name not in rows:
            asked = cut(visible(str(name)), 60)
            match = difflib.get_close_matches(asked, list(self), n=1, cutoff=0.5)
            hint = f"did you mean {match[0]}?" if match else f"known: {', '.join(self)}"
            raise ConfigError(f"{self.noun} {asked}: unknown; {hint}")
        return rows[name]

    def __contains__(self, name: object) -> bool:
        return name in self._loaded() or name in self._offered

    def __iter__(self) -> Iterator[str]:
        rows = self._loaded()
        yield from rows
        yield from (name for name in self._offered if name not in rows)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _loaded(self) -> dict[str, Row]:
        """Rows of the home package, read once, and what entry points offer by name."""
        if self._rows is None:
            self._rows = {}
            found = [row for module in _modules(self.home) for row in vars(module).values() if isinstance(row, self.kind)]
            for row in sorted(found, key=lambda row: (getattr(row, "rank", 100), row.name)):
                self._rows.setdefault(row.name, row)
            for point in importlib.metadata.entry_points(group=self.group):
                self._offered.setdefault(point.name, point.load)
        return self._rows

    def _import_offered(self, name: str) -> Row:
        try:
            row = self._offered[name]()
        except Exception as error:  # another package's import may raise anything
            raise ConfigError(
                f"{self.noun} {name}: the plug-in that offers it cannot be imported ({type(error).__name__}: {error})."
            ) from None
        if not isinstance(row, self.kind) or row.name != name:
            raise ConfigError(f"{self.noun} {name}: the entry point in group {self.group} is no {self.kind.__name__} of that name.")
        return row


def _modules(home: str) -> Iterator[object]:
    package = importlib.import_module(home)
    for found in pkgutil.iter_modules(package.__path__):
        if not found.name.startswith("_"):
            yield importlib.import_module(f"{home}.{found.name}")
