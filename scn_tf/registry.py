"""Registries: extensible choices with one row each, such as networks, decoders, losses, formats, export forms and commands.

A registry has three sources of rows. Modules of its home package define rows. Programs call ``register``. Installed packages
declare entry points in the registry's group (docs/extending.md).
"""

import difflib
import importlib
import importlib.metadata
import pkgutil
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, Protocol, TypeVar

from scn_tf.errors import ConfigError
from scn_tf.messages import cut, visible


class Named(Protocol):
    """Attributes of every row."""

    @property
    def name(self) -> str: ...


Row = TypeVar("Row", bound=Named)


class Registry(Mapping[str, Row], Generic[Row]):
    """Rows by name. The order is: home package (by ``rank``, then name), registered rows, entry points.

    Args:
        noun: word for a row in messages, such as "network".
        kind: class of the rows.
        home: package whose modules and packages define rows. Help texts import them, so importing them must be cheap.
        group: entry-point group for rows of other packages.
    """

    def __init__(self, noun: str, kind: type[Row], *, home: str, group: str) -> None:
        self.noun, self.kind, self.home, self.group = noun, kind, home, group
        self._rows: dict[str, Row] | None = None
        self._offered: dict[str, Callable[[], object]] = {}
        self._importing: set[str] = set()  # names of entry points
        self._lock = threading.RLock()  # several threads may open models at once

    def register(self, row: Row) -> None:
        """Add a row. A module that registers its row may also be an entry point: the same row may come twice.

        Raises:
            ConfigError: the row has another class, or its name is taken.
        """
        if not isinstance(row, self.kind):
            raise ConfigError(f"{self.noun}: expected a {self.kind.__name__}, received {type(row).__name__}.")
        rows = self._loaded()
        if rows.get(row.name) is row:
            return
        if row.name in rows or row.name in self._offered.keys() - self._importing:
            raise ConfigError(f"{self.noun} {row.name}: is already registered; choose another name.")
        rows[row.name] = row

    def unregister(self, name: str) -> None:
        """Remove a registered row, as tests do."""
        self._loaded().pop(name, None)

    def imported(self) -> Mapping[str, Row]:
        """Rows that need no further import: those of the home package, registered ones, and plug-ins already used."""
        return self._loaded()

    def __getitem__(self, name: str) -> Row:
        """The row of a name. This imports the row of an entry point.

        Raises:
            ConfigError: the name is unknown (the message has the nearest one), or its entry point cannot be imported or is no row.
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
        """Rows that are imported. The first call reads the home package and the names of all entry points."""
        with self._lock:
            if self._rows is None:
                found = [row for module in _modules(self.home) for row in vars(module).values() if isinstance(row, self.kind)]
                ordered = sorted(found, key=lambda row: (getattr(row, "rank", 100), row.name))
                for point in importlib.metadata.entry_points(group=self.group):
                    self._offered.setdefault(point.name, point.load)
                self._rows = {row.name: row for row in ordered}
            return self._rows

    def _import_offered(self, name: str) -> Row:
        self._importing.add(name)
        try:
            row = self._offered[name]()
        except Exception as error:  # another package's import may raise anything
            raise ConfigError(
                f"{self.noun} {name}: the plug-in that offers it cannot be imported ({type(error).__name__}: {error})."
            ) from None
        finally:
            self._importing.discard(name)
        if not isinstance(row, self.kind) or row.name != name:
            raise ConfigError(f"{self.noun} {name}: the entry point in group {self.group} is no {self.kind.__name__} of that name.")
        return row


def _modules(home: str) -> Iterator[object]:
    package = importlib.import_module(home)
    for found in pkgutil.iter_modules(package.__path__):
        if not found.name.startswith("_"):
            yield importlib.import_module(f"{home}.{found.name}")
