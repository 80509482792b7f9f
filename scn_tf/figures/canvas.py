"""Figures of Matplotlib without a display. It is imported with the first one: most commands draw nothing, and do not wait for it."""

from __future__ import annotations

import functools
import io
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from scn_tf.types import Array

BOX = "\u25a1"

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation


def figure(width: float, height: float, **options: Any) -> Figure:
    """Empty figure of a size in inches, with further options of ``matplotlib.figure.Figure``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), **options)
    FigureCanvasAgg(made)
    return made


def pixels(drawn: Figure) -> Array:
    """Pixels of a figure, uint8 (height, width, 3)."""
    canvas = cast("FigureCanvasAgg", drawn.canvas)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def png(drawn: Figure) -> bytes:
    """PNG bytes of a figure."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def jpeg(drawn: Figure, *, quality: int) -> bytes:
    """JPEG bytes of a figure."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="jpg", pil_kwargs={"quality": quality})
    return buffer.getvalue()


def add_ellipse(axis: Axes, centre: Array, width: float, height: float, angle: float, **style: Any) -> None:
    """Draw the outline of an ellipse, turned by an angle in degrees."""
    from matplotlib.patches import Ellipse

    axis.add_patch(Ellipse((centre[0], centre[1]), width, height, angle=angle, fill=False, **style))


def outline(text: Annotation) -> None:
    """Draw letters with black around them: they are yellow, and may lie on bright bone."""
    from matplotlib.patheffects import withStroke

    text.set_path_effects([withStroke(linewidth=1.5, foreground="black")])


def bare(axis: Axes) -> None:
    """Hide the axes around a picture, and their ticks, which Matplotlib would otherwise make and not draw."""
    from matplotlib.ticker import NullLocator

    axis.set_axis_off()
    for one in (axis.xaxis, axis.yaxis):
        one.set_major_locator(NullLocator())


def drawable(text: str) -> str:
    """A text with a box for each character that the font of the figures lacks. Matplotlib would draw it too, with a warning each time."""
    from matplotlib import font_manager

    known = _characters(font_manager.findfont(font_manager.FontProperties()))
    return "".join(character if ord(character) in known else BOX for character in text)


@functools.lru_cache(maxsize=4)
def _characters(font: str) -> frozenset[int]:
    from matplotlib import font_manager

    return frozenset(font_manager.get_font(font).get_charmap())
