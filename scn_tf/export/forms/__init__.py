"""Every form that a network can be exported in: one package or file and one row per form.

A row is imported when help lists the forms: it must not import TensorFlow itself, so its functions import what they need.
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
    """Something to choose when a form is written: a keyword of ``write``, and of ``scn-tf export``.

    Args:
        name: keyword.
        description: for help texts.
        kind: ``"choice"`` of ``choices``; ``"switch"``, off unless given; ``"folder"``, a path that other forms need not know;
            ``"value"``, from Python alone.
        choices: the first one is taken where none is given.
    """

    name: str
    description: str
    kind: Literal["choice", "switch", "folder", "value"]
    choices: tuple[str, ...] = ()

    @property
    def default(self) -> str | bool | None:
        """The value of an option that is not given."""
        return {"choice": self.choices[0] if self.choices else None, "switch": False}.get(self.kind)


@dataclass(frozen=True, kw_only=True)
class ExportForm:
    """One form: how it is written, recognised, opened and judged.

    Args:
        name: of the form in options and tables.
        title: as its makers spell it, for messages: "TFLite".
        description: what it is for, a few words for help texts and tables.
        suffix: of its file, in lower case, such as ``".tflite"``; empty: it is a folder.
        write: function (run, path, **options) -> path of what it wrote. Of a file form ``path`` is a new file, which is moved to its
            place when ``write`` returns; a folder form sees to that itself. The run is a folder or model file
            (:func:`scn_tf.export.signatures.load_service` reads it). The result must carry ``ModelInfo.public().to_json()`` as JSON.
        open: function path -> (function of images float32 (B, [D,] H, W, C) as the network takes them -> outputs by name, what the
            file says of itself). The outputs are those of :func:`scn_tf.export.answers.answer_of`. Several threads may call it.
        is_there: function of a folder: whether it holds such an export. A folder form has one.
        is_ours: function of a file that is there already: whether ``write`` may replace it. By default it must contain
            ``scn_tf.json``, the name under which forms keep the JSON.
        options: that ``write`` takes.
        instead: what to do in place of an option of other forms, by its name.
        more_error: growth of the mean error that parity allows, by ``ModelInfo.quantize`` or by the kind of what ``callers`` sends.
            What is not named must repeat Keras' arithmetic.
        callers: function (path, :class:`scn_tf.export.parity.Sent`) -> further ways to ask this export, which parity compares.
        rank: place in lists; of several folder forms the first one is taken for a folder without ``--form``.
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
        """Its option of that name."""
        return next((option for option in self.options if option.name == name), None)


FORMS: Registry[ExportForm] = Registry("form of export", ExportForm, home="scn_tf.export.forms", group="scn_tf.export_forms")


def register_export_form(form: ExportForm) -> None:
    """Add a value of ``scn-tf export --form``; packages offer theirs by an entry point instead (docs/extending.md).

    Raises:
        ConfigError: it is no :class:`ExportForm`, or its name is taken.
    """
    FORMS.register(form)
