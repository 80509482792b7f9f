"""Coverage, size and use of calibrated radii on images that neither trained nor calibrated a run.

`python benchmarks/calibrated_errors.py RUN [--split val] [--data.root FOLDER] [--others FOLDER...]`

Each image of the split in turn is left out: the run is calibrated on the others and judged on it. The table compares the radii with those
of plain quantiles per landmark, of the judged images themselves and of the others, and with the width of the heatmap's peak.
Ellipses are compared with the circles, and points that do not lie where the others say are counted: found ones, and ones that were moved
or exchanged.
`--others` are data sets of other kinds, whose images should be flagged, as should mirrored, turned and inverted ones and noise. Parts of 2D
images that leave out a third of the landmarks show how well presence is told.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from scipy import ndimage
from sklearn.datasets import load_sample_images

from scn_tf.data import images, pipeline
from scn_tf.data.dataset import open_dataset
from scn_tf.data.preprocess import network_input
from scn_tf.runs import checkpoints
from scn_tf.runs.training_images import trained_on
from scn_tf.scoring import calibration, localization
from scn_tf.systems import opening
from scn_tf.training.parts import PER_IMAGE, parts
from scn_tf.uncertainty import conformal, ellipses, error_model, fitting, ordinary, places
from scn_tf.uncertainty.fitting import Observed

CROPS = 4  # parts of each image
CHI2_95 = {2: 5.991, 3: 7.815}  # squared radius of a Gaussian's 95 % region, in squared standard deviations


def judged(observed, training, decoder, power=conformal.POWER, cut=None):
    """Radii (I, N) and fields of one calibration per image, each measured on the other images, and on the parts cut from them."""
    radii, fitted = [], []
    for left_out in range(len(observed.errors)):
        others = np.arange(len(observed.errors)) != left_out
        theirs = Observed(*(values[others] for values in observed))
        pieces = None if cut is None else Observed(*(values[np.repeat(others, PER_IMAGE)[: len(values)]] for values in cut))
        one = fitting.calibrate(theirs, training, pieces, split="", decoder=decoder, power=power)
        expected = np.asarray(error_model.expected_error(one.error_model, observed.statistics[left_out].astype("float32")))
        radii.append(one.factor * expected**one.power)
        fitted.append(one)
    return np.stack(radii), fitted


def per_landmark(errors, judge):
    """Plain quantiles of the errors of each landmark: of all images, or of the others in turn."""
    if judge == "itself":
        return np.broadcast_to(np.nanquantile(errors, conformal.LEVEL, axis=0), errors.shape)
    others = [np.delete(errors, image, axis=0) for image in range(len(errors))]
    return np.stack([[min(conformal.quantile(column[np.isfinite(column)]), np.nanmax(column)) for column in own.T] for own in others])


def area_under_roc(values, positive):
    ranks = np.argsort(np.argsort(values)) + 1.0
    count = positive.sum()
    return np.nan if count in (0, positive.size) else (ranks[positive].sum() - count * (count + 1) / 2) / (count * (~positive).sum())


def in_ellipses(observed, radii, fitted):
    """Lengths of the errors and radii (I, N) of circles as large as the ellipses: a length within the radius is inside the ellipse."""
    dims = observed.vectors.shape[-1]
    matrices = [one.ellipse_matrices for one in fitted]
    matrices = np.stack([np.broadcast_to(np.eye(dims), (radii.shape[1], dims, dims)) if one is None else one for one in matrices])
    sizes = np.linalg.det(matrices) ** (0.5 / dims)
    lengths = [ellipses.lengths(vectors, one) for vectors, one in zip(observed.vectors, matrices, strict=True)]
    return np.stack(lengths) * sizes, radii * sizes


def count_misplaced(found, true, errors):
    """How often found points (I, N, d) are named, and points that are moved by a tenth of the shape or exchanged; true (J, N, d)."""
    rng, landmarks, size = np.random.default_rng(0), found.shape[1], np.nanmax(np.nanmean(np.ptp(found, axis=1), axis=0))
    named, moved, exchanged = [], [], []
    for image, points in enumerate(found):
        usual = places.fit(true, np.delete(found, image, axis=0))
        named.append(places.misplaced(usual, points))
        for number in range(landmarks):
            step = rng.normal(size=points.shape[1])
            changed = points.copy()
            changed[number] += 0.1 * size * step / np.linalg.norm(step)
            moved.append(places.misplaced(usual, changed)[number])
            pair = rng.choice(landmarks, 2, replace=False)
            changed = points.copy()
            changed[pair] = points[pair[::-1]]
            exchanged.append(places.misplaced(usual, changed)[pair].all())
    named = np.stack(named) & np.isfinite(errors)
    print(
        f"\nNamed as not where the others say: {named.sum()} of {np.isfinite(errors).sum()} found points, in {named.any(axis=1).sum()} "
        f"images, with errors of {', '.join(f'{error:.1f}' for error in errors[named]) or 'none'}; {100 * np.mean(moved):.1f} % of points "
        f"moved by a tenth of the shape; both of {100 * np.mean(exchanged):.1f} % of exchanged pairs"
    )


def row(name, errors, radii, dims, distances=None):
    """Line of the table; errors and radii (I, N) in the unit. ``distances``: of the points, where errors are lengths by an ellipse."""
    known = np.isfinite(errors)
    error, radius = errors[known], radii[known]
    covered = error <= radius
    thirds = [covered[part].mean() * 100 for part in np.array_split(np.argsort(radius, kind="stable"), 3)]
    size = np.pi * radius**2 if dims == 2 else 4 / 3 * np.pi * radius**3
    distance = error if distances is None else distances[known]
    beyond = [area_under_roc(radius, distance >= limit) for limit in (2, 4)]
    print(
        f"| {name} | {100 * covered.mean():.1f} % | {', '.join(f'{share:.1f}' for share in thirds)} | {size.mean():.2f} | "
        f"{np.median(size):.2f} | {beyond[0]:.3f} | {beyond[1]:.3f} |"
    )


def changed(array, rng):
    """Images of no ordinary kind, by name."""
    flat = np.ascontiguousarray
    return {
        "mirrored": flat(array[..., ::-1, :]),
        "upside down": flat(array[..., ::-1, :, :]),
        "turned by a half": flat(array[..., ::-1, ::-1, :]),
        "inverted": array.max() + array.min() - array,
        "noise": rng.normal(array.mean(), array.std(), array.shape).astype("float32"),
    }


def photographs():
    """Pieces of the photographs of scikit-learn (a temple, a flower), grey (H, W, 1)."""
    whole = [picture.mean(axis=-1, keepdims=True).astype("float32") for picture in load_sample_images().images]
    return [part for one in whole for half in np.array_split(one, 2) for part in np.array_split(half, 4, axis=1)] + whole


def of_a_screen(array, rng):
    """An image (H, W, 1) as a camera sees it on a screen: turned a little, smaller, a dark room around it, stripes, uneven light."""
    height, width = array.shape[:2]
    grey = (array[..., 0] - array.min()) / max(float(np.ptp(array)), 1e-6)
    rows, columns = np.mgrid[:height, :width]
    stripes = 1 + 0.15 * np.sin(2 * np.pi * (rows + 0.3 * columns) / 5)
    seen = ndimage.rotate(grey * stripes * np.linspace(1, 0.6, width), rng.uniform(-12, 12), reshape=True, order=1)
    room = np.pad(seen, [(height // 3, height // 4), (width // 2, width // 3)]) + 0.05
    return (room + rng.normal(0, 0.03, room.shape))[..., None].astype("float32")


def shown(array, observe, info, spacing):
    """Statistics (N, K) of one image, by pixels."""
    loaded = images.from_array(array, dims=info.dims, channels=info.channels, spacing=spacing)
    fit = pipeline.fit_image(loaded, spacing, info.config.model, name="image")
    ready = network_input(loaded.array, fit.scale.astype("float32"), fit.translation.astype("float32"), info.image_size)
    return observe(ready[None]).statistics[0].numpy()


def strangeness(array, observe, info, one, spacing):
    """Strangeness of one image by pixels, in limits of a calibration."""
    return float(ordinary.strangeness(one.ordinary, shown(array, observe, info, spacing)[None])[0]) / one.largest_strangeness


def flags(network, info, dataset, ids, fitted, folders):
    """Share of the images of each kind that are flagged, by the calibrations without the image itself."""
    observe, rng = localization.observer(network, info.config.heatmap.decoder), np.random.default_rng(0)
    found = {}
    for image_id, one in zip(ids, fitted, strict=True):
        image = dataset.read(image_id)
        kinds = {"ordinary": image.array, **changed(image.array, rng)}
        if info.dims == 2 and info.channels == 1:
            kinds["on a photographed screen"] = of_a_screen(image.array, rng)
        for name, pixels in kinds.items():
            found.setdefault(name, []).append(strangeness(pixels, observe, info, one, dataset.pixel_size(image)))
    if info.dims == 2 and info.channels == 1:
        found["photographs"] = [strangeness(one, observe, info, fitted[0], info.spacing_mm) for one in photographs()]
    for folder in folders:
        other = open_dataset(folder)
        for image_id in sorted(other.files)[:40]:
            array = other.read(image_id).array
            array = array[len(array) // 2] if array.ndim > info.dims + 1 else array  # the middle slice of a volume
            found.setdefault(folder.name, []).append(strangeness(array, observe, info, fitted[0], info.spacing_mm))
    print("\n| images | flagged | strangeness, in limits: from, median, to |\n|---|---|---|")
    for name, ratios in found.items():
        flagged = sum(ratio > 1 for ratio in ratios)
        print(f"| {name} | {flagged} of {len(ratios)} | {min(ratios):.2f}, {np.median(ratios):.2f}, {max(ratios):.2f} |")


def cut(points, sides, rng):
    """Slices of a random part of an image (H, W) with about a third of the points (N, 2) outside, and which are inside."""
    for _ in range(1000):
        axis, share = rng.integers(2), rng.uniform(0.2, 0.8)
        border = int(share * sides[axis])
        part = slice(0, border) if rng.integers(2) else slice(border, sides[axis])
        inside = (points[:, 1 - axis] >= part.start) & (points[:, 1 - axis] < part.stop)
        if 0.23 <= 1 - inside.mean() <= 0.43:
            return (part, slice(None)) if axis == 0 else (slice(None), part), inside
    raise SystemExit("no part of an image leaves a third of its points outside")


def crops(network, info, dataset, ids, fitted):
    """Presence in parts of the images, by the calibrations without the image itself."""
    observe, rng = localization.observer(network, info.config.heatmap.decoder), np.random.default_rng(0)
    evidence, present, kept = [], [], []
    for image_id, one in zip(ids, fitted, strict=True):
        image = dataset.read(image_id)
        points = dataset.truth_in_array(image_id, image)
        for _ in range(CROPS):
            part, inside = cut(points, image.array.shape[:2], rng)
            found = ordinary.presence(one.ordinary, shown(image.array[part], observe, info, dataset.pixel_size(image)))
            known = np.isfinite(points).all(axis=1)
            evidence += list(found[known])
            kept += list(found[known] >= one.lowest_presence)
            present += list(inside[known])
    present, kept = np.array(present), np.array(kept)
    print(
        f"\nPresence in {CROPS * len(ids)} parts of images: AUROC {area_under_roc(np.array(evidence), present):.4f}, "
        f"{100 * (~kept[present]).mean():.1f} % of the landmarks inside refused, {100 * kept[~present].mean():.1f} % of those outside kept"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--data.root", dest="root", type=Path)
    parser.add_argument("--others", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    network, info = checkpoints.load_model(opening.landmark_network_file(options.run))
    dataset = open_dataset(options.root or info.config.data.root)
    ids, decoder = dataset.split(options.split), info.config.heatmap.decoder
    examples = pipeline.examples(dataset, ids, info.config)
    observe = localization.observer(network, decoder)
    training = pipeline.examples(dataset, trained_on(info, dataset)[: calibration.MAX_TRAINING], info.config, measured=False)
    results = [localization.localize(observe, data) for data in (examples, training, parts(examples, info.config))]
    observed, trained, cut = (calibration.of_result(result, info) for result in results)
    per_pixel = np.stack([example["unit_per_pixel"].numpy().mean() for example in examples])[:, None]
    radii, fitted = judged(observed, trained, decoder, cut=cut)
    errors, dims = observed.errors * per_pixel, info.dims
    unit = dataset.unit
    print(f"{options.run}, {options.split}: {len(ids)} images, mean error {np.nanmean(errors):.3f} {unit}\n")
    print(f"| radii | coverage | by thirds of the radius | mean size, {unit}{dims} | median | AUROC 2 {unit} | 4 {unit} |")
    print("|---|---|---|---|---|---|---|")
    row("calibrated", errors, radii * per_pixel, dims)
    row("ellipses", *(values * per_pixel for values in in_ellipses(observed, radii, fitted)), dims, errors)
    for power in (1.0, 0.9, 0.7, 0.6):
        row(f"with the power {power:g} of the expected error", errors, judged(observed, trained, decoder, power)[0] * per_pixel, dims)
    row("quantiles per landmark of the judged images", errors, per_landmark(errors, "itself"), dims)
    row("quantiles per landmark of the others", errors, per_landmark(errors, "others"), dims)
    peak = np.sqrt(CHI2_95[dims] * np.exp(observed.statistics[..., 2]) / dims)
    row("95 % region of the heatmap's peak", errors, peak * per_pixel, dims)
    count_misplaced(results[0]["predicted"].astype(float), np.where(np.isfinite(trained.vectors), results[1]["landmarks"], np.nan), errors)
    flags(network, info, dataset, ids, fitted, options.others)
    if dims == 2:
        crops(network, info, dataset, ids, fitted)


if __name__ == "__main__":
    main()
