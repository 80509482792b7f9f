"""Coverage, size and use of calibrated radii on images that neither trained nor calibrated a run.

`python benchmarks/calibrated_errors.py RUN [--split val] [--data.root FOLDER] [--others FOLDER...]`

Each image of the split in turn is left out: the run is calibrated on the others and judged on it. The table compares the radii with those
of plain quantiles per landmark, of the judged images themselves and of the others, and with the width of the heatmap's peak.
`--others` are data sets of other kinds, whose images should be flagged, as should mirrored, turned and inverted ones and noise.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from scn_tf.data import images, pipeline
from scn_tf.data.dataset import open_dataset
from scn_tf.data.preprocess import network_input
from scn_tf.runs import checkpoints
from scn_tf.runs.training_images import trained_on
from scn_tf.scoring import calibration, localization
from scn_tf.systems import opening
from scn_tf.uncertainty import conformal, error_model, fitting, ordinary
from scn_tf.uncertainty.fitting import Observed

CHI2_95 = {2: 5.991, 3: 7.815}  # squared radius of a Gaussian's 95 % region, in squared standard deviations


def judged(observed, training, decoder):
    """Radii (I, N) and fields of one calibration per image, each measured on the other images."""
    radii, fitted = [], []
    for left_out in range(len(observed.errors)):
        others = np.arange(len(observed.errors)) != left_out
        one = fitting.calibrate(Observed(observed.errors[others], observed.statistics[others]), training, split="", decoder=decoder)
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


def row(name, errors, radii, dims):
    """Line of the table; errors and radii (I, N) in the unit."""
    known = np.isfinite(errors)
    error, radius = errors[known], radii[known]
    covered = error <= radius
    thirds = [covered[part].mean() * 100 for part in np.array_split(np.argsort(radius, kind="stable"), 3)]
    size = np.pi * radius**2 if dims == 2 else 4 / 3 * np.pi * radius**3
    beyond = [area_under_roc(radius, error >= limit) for limit in (2, 4)]
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


def strangeness(array, observe, info, usual):
    """Of one image, by pixels."""
    loaded = images.from_array(array, dims=info.dims, channels=info.channels, spacing=info.spacing_mm)
    fit = pipeline.fit_image(loaded, info.spacing_mm, info.config.model, name="image")
    ready = network_input(loaded.array, fit.scale.astype("float32"), fit.translation.astype("float32"), info.image_size)
    return float(ordinary.strangeness(usual, observe(ready[None]).statistics)[0])


def flags(network, info, dataset, ids, fitted, folders):
    """Share of the images of each kind that are flagged, by the calibrations without the image itself."""
    observe, rng = localization.observer(network, info.config.heatmap.decoder), np.random.default_rng(0)
    found = {}
    for image_id, one in zip(ids, fitted, strict=True):
        array = dataset.read(image_id).array
        for name, pixels in {"ordinary": array, **changed(array, rng)}.items():
            ratio = strangeness(pixels, observe, info, one.ordinary) / one.largest_strangeness
            found.setdefault(name, []).append(ratio)
    for folder in folders:
        other = open_dataset(folder)
        for image_id in sorted(other.files)[:40]:
            array = other.read(image_id).array
            array = array[len(array) // 2] if array.ndim > info.dims + 1 else array  # the middle slice of a volume
            found.setdefault(folder.name, []).append(strangeness(array, observe, info, fitted[0].ordinary) / fitted[0].largest_strangeness)
    print("\n| images | flagged | strangeness, in limits: from, median, to |\n|---|---|---|")
    for name, ratios in found.items():
        flagged = sum(ratio > 1 for ratio in ratios)
        print(f"| {name} | {flagged} of {len(ratios)} | {min(ratios):.2f}, {np.median(ratios):.2f}, {max(ratios):.2f} |")


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
    observed, trained = (calibration.observed(observe, data, info) for data in (examples, training))
    per_pixel = np.stack([example["unit_per_pixel"].numpy().mean() for example in examples])[:, None]
    radii, fitted = judged(observed, trained, decoder)
    errors, dims = observed.errors * per_pixel, info.dims
    unit = dataset.unit
    print(f"{options.run}, {options.split}: {len(ids)} images, mean error {np.nanmean(errors):.3f} {unit}\n")
    print(f"| radii | coverage | by thirds of the radius | mean size, {unit}{dims} | median | AUROC 2 {unit} | 4 {unit} |")
    print("|---|---|---|---|---|---|---|")
    row("calibrated", errors, radii * per_pixel, dims)
    row("quantiles per landmark of the judged images", errors, per_landmark(errors, "itself"), dims)
    row("quantiles per landmark of the others", errors, per_landmark(errors, "others"), dims)
    peak = np.sqrt(CHI2_95[dims] * np.exp(observed.statistics[..., 2]) / dims)
    row("95 % region of the heatmap's peak", errors, peak * per_pixel, dims)
    flags(network, info, dataset, ids, fitted, options.others)


if __name__ == "__main__":
    main()
