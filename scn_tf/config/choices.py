"""Fields whose allowed values are the rows of a registry."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic_core import PydanticCustomError, core_schema

from scn_tf.registry import Registry


@dataclass(frozen=True)
class OneOf:
    """Annotation of a ``str`` field whose value is a name of a registry. The registry is read at validation, so plug-ins count."""

    registry: Registry[Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], core_schema.CoreSchema]) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def check(self, value: str) -> str:
        """Return the value unchanged.

        Raises:
            PydanticCustomError: the registry lacks the name.
        """
        if value not in self.registry:
            names = [repr(name) for name in self.registry]
            listed = f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else names[0]
            raise PydanticCustomError("literal_error", "Input should be {expected}", {"expected": listed})
        return value

    def described(self) -> str:
        """Names with descriptions, for help texts and tables. A plug-in that is not imported yet has only its name."""
        rows = self.registry.imported()
        return "; ".join(f"{name}: {rows[name].description}" if name in rows else name for name in self.registry)
