"""Forms of export, with one package or file and one row per form.

Help texts import the rows, so these must not import TensorFlow. Their functions import what they need.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from scn_tf.registry import Registry
from scn_tf.storage import ownership

if TYPE_CHECKING:
    from scn_tf.export.parity import Compared, Sent
    from scn_tf.runs.info import ModelInfo
    from scn_tf.types import PathName, Respond


class Option(NamedTuple):
    """An option of a form: a keyword of ``write``, and an option of ``scn-tf export``.

    Args:
        name: name of the keyword.
        description: text for help.
        kind: ``"choice"``, one of ``choices``; ``"switch"``, off unless given; ``"folder"``, a path that other forms may ignore;
            ``"value"``, only from Python.
        choices: possible values; the first one is the default.
    """

    name: str
    description: str
    kind: Literal["choice", "switch", "folder", "value"]
    choices: tuple[str, ...] = ()

    @property
    def default(self) -> str | bool | None:
        """Value of an option that is not given."""
        return {"choice": self.choices[0] if self.choices else None, "switch": False}.get(self.kind)


@dataclass(frozen=True, kw_only=True)
class ExportForm:
    """One form of export: how it is written, recognised, opened and compared.

    Args:
        name: name of the form in options and tables.
        title: official spelling for messages, such as "TFLite".
        description: its purpose, a few words for help texts and tables.
        suffix: ending of its file in lower case, such as ``".tflite"``. Empty for a folder.
        write: function (run, path, **options) -> path of the result. For a file, ``path`` is a temporary file, which is moved when
            ``write`` returns. A folder form must do this itself. The run is a folder or model file
            (:func:`scn_tf.export.signatures.load_service` reads it). The result must contain ``ModelInfo.public().to_json()`` as
            JSON.
        open: function path -> (function of prepared images float32 (B, [D,] H, W, C) -> outputs by name, facts of the file). The
            outputs are those of :func:`scn_tf.export.answers.answer_of`. Several threads may call it.
        is_there: function that tells whether a folder holds such an export. Required for folder forms.
        is_ours: function that tells whether ``write`` may replace an existing file. By default, the file must contain
            ``scn_tf.json``, the name under which forms keep the JSON.
        options: options that ``write`` takes.
        instead: advice by name of an option that only other forms have.
        more_error: growth of the mean error that parity allows, by ``ModelInfo.quantize`` or by the kind of input that ``callers``
            sends. All others must repeat Keras' arithmetic.
        callers: function (path, :class:`scn_tf.export.parity.Sent`) -> further ways to call this export, which parity compares.
        rank: place in lists. The first folder form is the default for a folder without ``--form``.
    """

    name: str
    title: str
    description: str
    suffix: str
    write: Callable[..., Path]
    open: Callable[[PathName], tuple[Respond, ModelInfo]]
    is_there: Callable[[Path], bool] | None = None
    is_ours: Callable[[Path], bool] = field(default=ownership.marked())
    options: Sequence[Option] = ()
    instead: Mapping[str, str] = field(default_factory=dict)
    more_error: Mapping[str, float] = field(default_factory=dict)
    callers: Callable[[Path, Sent], list[Compared]] | None = None
    rank: int = 100

    def option(self, name: str) -> Option | None:
        """Option of that name."""
        return next((option for option in self.options if option.name == name), None)


FORMS: Registry[ExportForm] = Registry("form of export", ExportForm, home="scn_tf.export.forms", group="scn_tf.export_forms")


def register_export_form(form: ExportForm) -> None:
    """Add a value of ``scn-tf export --form``. Installed packages declare an entry point instead (docs/extending.md).

    Raises:
        ConfigError: the row is not an :class:`ExportForm`, or its name is taken.
    """
    FORMS.register(form)
