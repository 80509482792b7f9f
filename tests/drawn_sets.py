"""Two drawn data sets as tools leave them: wings with a TPS file, fish with a table of fractions."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

WING = {  # name -> place, about the middle, in units of half a wing
    "root": (-0.9, 0.05),
    "front": (-0.2, -0.42),
    "tip": (0.95, -0.05),
    "rear": (0.25, 0.4),
    "fork": (-0.35, -0.05),
    "cross_1": (0.1, -0.2),
    "cross_2": (0.15, 0.15),
    "cell": (0.5, -0.02),
}
VEINS = (
    "root fork cross_1 cell tip",
    "root front tip",
    "root rear tip",
    "fork cross_2 cell",
    "cross_1 cross_2",
    "front cross_1",
    "cross_2 rear",
)
FISH = {
    "snout": (-0.9, 0.0),
    "eye": (-0.68, -0.08),
    "fin": (-0.1, -0.36),
    "belly": (-0.15, 0.34),
    "tail_top": (0.92, -0.3),
    "tail_end": (0.92, 0.3),
}


def moved(shape, size, rng):
    """Points (N, 2) of a shape in an image of a size: turned, scaled, moved, and each a little by itself."""
    angle, scale = rng.uniform(-0.25, 0.25), 0.42 * size[0] * rng.uniform(0.85, 1.0)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = np.array(list(shape.values())) * [1.0, rng.uniform(0.85, 1.15)]
    middle = (np.array(size) - 1) / 2 + rng.uniform(-0.04, 0.04, 2) * size
    return points @ turn.T * scale + middle + rng.normal(0, 0.008 * size[0], points.shape)


def noisy(picture, rng):
    """The picture a little blurred, with noise."""
    values = np.asarray(picture.filter(ImageFilter.GaussianBlur(0.8)), float)
    return Image.fromarray(np.clip(values + rng.normal(0, 6, values.shape), 0, 255).astype("uint8"))


def wings(folder, *, count, size=(200, 140), seed=0):
    """Write JPEG images and ``wings.tps``, whose y is counted from the bottom. Returns ID -> points (N, 2) in pixels from the top."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    truth, blocks = {}, []
    for number in range(count):
        points = moved(WING, size, rng)
        places = dict(zip(WING, map(tuple, points), strict=True))
        picture = Image.new("RGB", size, (226, 220, 205))
        draw = ImageDraw.Draw(picture)
        draw.polygon([places[name] for name in ("root", "front", "tip", "rear")], fill=(206, 196, 168))
        for vein in VEINS:
            draw.line([places[name] for name in vein.split()], fill=(70, 50, 40), width=2)
        noisy(picture, rng).save(folder / "images" / f"wing_{number:03d}.jpg", quality=92)
        truth[f"wing_{number:03d}"] = points
        lines = "\n".join(f"{x:.5f} {size[1] - 1 - y:.5f}" for x, y in points)
        blocks.append(f"LM={len(points)}\n{lines}\nIMAGE=wing_{number:03d}.jpg\nID={number}\n")
    (folder / "wings.tps").write_text("".join(blocks))
    return truth


def fish(folder, *, count, seed=0):
    """Write PNG images of several sizes and ``fish.csv`` with fractions, semicolons and no unit. Returns ID -> points in pixels."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    truth, rows = {}, ["file;" + ";".join(f"{name}_{axis}" for name in FISH for axis in "xy")]
    for number in range(count):
        size = tuple(map(int, rng.integers([150, 110], [221, 151])))
        points = moved(FISH, size, rng)
        places = dict(zip(FISH, map(tuple, points), strict=True))
        picture = Image.new("L", size, 40)
        draw = ImageDraw.Draw(picture)
        draw.polygon([places[name] for name in ("snout", "fin", "tail_top", "tail_end", "belly")], fill=150)
        draw.line([places["tail_top"], places["tail_end"]], fill=230, width=3)
        x, y = places["eye"]
        draw.ellipse([x - 5, y - 5, x + 5, y + 5], fill=245)
        draw.ellipse([x - 2, y - 2, x + 2, y + 2], fill=10)
        noisy(picture, rng).save(folder / f"fish_{number:03d}.png")
        truth[f"fish_{number:03d}"] = points
        rows.append(f"fish_{number:03d}.png;" + ";".join(f"{value:.8f}" for value in np.ravel(points / np.array(size))))
    (folder / "fish.csv").write_text("\n".join(rows))
    return truth
