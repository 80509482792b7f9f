"""Small pictures of images with their landmarks, from the copies that an inspection keeps."""

import io

import numpy as np
from PIL import Image as Drawing
from PIL import ImageDraw

from scn_tf.doctor.inspection import Inspection
from scn_tf.messages import cut, visible
from scn_tf.presence import known
from scn_tf.types import Array

SIDE = 420  # pixels of the longer side of a picture
MARK, STRONG = 4, 8  # half the size of a mark
GREEN, RED, YELLOW = (60, 230, 90), (255, 60, 60), (255, 230, 60)
QUALITY = 80


def picture(inspection: Inspection, image_id: str, landmarks: set[str], *, beside: bool = False) -> bytes | None:
    """JPEG of an image with its points; None if the image could not be read.

    Args:
        inspection: of the set.
        image_id: ID of the image.
        landmarks: names of those to stress.
        beside: whether to show a copy beside what it is a copy of.

    A volume is shown by its maximum along z and along y.
    """
    found = inspection.pictures.get(image_id)
    if found is None or not found.is_read:
        return None
    panels = _panels(inspection, image_id, landmarks)
    for pair in inspection.copies if beside else ():
        other = {pair.first: pair.second, pair.second: pair.first}.get(image_id)
        if other is not None:
            panels = panels[:1] + _panels(inspection, other, set())[:1]
            break
    height = max(panel.height for panel in panels)
    whole = Drawing.new("RGB", (sum(panel.width for panel in panels) + 4 * (len(panels) - 1), height))
    left = 0
    for panel in panels:
        whole.paste(panel, (left, 0))
        left += panel.width + 4
    content = io.BytesIO()
    whole.save(content, "JPEG", quality=QUALITY)
    return content.getvalue()


def _panels(inspection: Inspection, image_id: str, landmarks: set[str]) -> list[Drawing.Image]:
    shown = inspection.pictures[image_id]
    small, fit, size = shown.shown(), known(shown.fit), known(shown.size)
    dims = small.ndim
    half = size * fit.scale / 2
    middle = (np.array(small.shape[::-1]) - 1) / 2
    low = np.clip(np.floor(middle - half + 0.5), 0, None).astype(int)
    high = np.minimum(np.ceil(middle + half + 0.5), np.array(small.shape[::-1])).astype(int)
    grey = np.clip((small + 1) * 127.5, 0, 255).astype("uint8")
    grey = grey[tuple(slice(one, max(one + 1, other)) for one, other in zip(low[::-1], high[::-1], strict=True))]
    points = np.zeros((0, dims))
    if image_id in inspection.ids:
        points = inspection.points[inspection.ids.index(image_id)] - low
    names = inspection.names
    views = [(grey, points)] if dims == 2 else [(grey.max(axis=0), points[:, [0, 1]]), (grey.max(axis=1), points[:, [0, 2]])]
    return [_panel(array, places, names, landmarks, upward=number == 1) for number, (array, places) in enumerate(views)]


def _panel(array: Array, points: Array, names: tuple[str, ...], landmarks: set[str], *, upward: bool) -> Drawing.Image:
    """One view, enlarged, with marks. ``upward``: rows are drawn from the bottom, as z is."""
    factor = SIDE / max(array.shape)
    size = max(1, round(array.shape[1] * factor)), max(1, round(array.shape[0] * factor))
    panel = Drawing.fromarray(array[::-1] if upward else array).resize(size, Drawing.Resampling.BILINEAR).convert("RGB")
    draw = ImageDraw.Draw(panel)
    for name, point in zip(names, points, strict=False):
        if not np.isfinite(point).all():
            continue
        x, y = (float(value) for value in np.clip((point + 0.5) * factor, -1e4, 1e4))
        y = size[1] - y if upward else y
        reach, colour = (STRONG, RED) if name in landmarks else (MARK, GREEN)
        draw.line((x - reach, y, x + reach, y), fill=colour, width=1)
        draw.line((x, y - reach, x, y + reach), fill=colour, width=1)
        if name in landmarks:
            draw.ellipse((x - reach - 4, y - reach - 4, x + reach + 4, y + reach + 4), outline=RED, width=2)
            label = cut(visible(name), 24).encode("latin-1", "replace").decode("latin-1")
            draw.text((min(x + reach + 6, size[0] - 40), max(0, y - 6)), label, fill=YELLOW)
    return panel
