"""Draws method.png, the README's picture, from a run on the synthetic hands: `python docs/pictures/method.py RUN [--landmark NAME]`."""

import argparse
from pathlib import Path

import keras
import numpy as np

import scn_tf  # noqa: F401
from scn_tf.data import pipeline
from scn_tf.data.dataset import open_dataset
from scn_tf.figures import canvas, pictures
from scn_tf.runs import checkpoints
from scn_tf.scoring import localization
from scn_tf.systems import opening

TITLES = {
    "local appearance": "local appearance:\nevery joint looks like it",
    "spatial configuration": "spatial configuration:\nroughly where it can be",
    "heatmaps": "their product:\nthe landmark",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder or .keras file of an SCN")
    parser.add_argument("--landmark", default="ring_pip")
    parser.add_argument("--image", type=int, default=0, help="number of the image in the validation split")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("method.png"))
    options = parser.parse_args()
    network, info = checkpoints.load_model(opening.network_file(options.run))
    settings = info.config
    dataset = open_dataset(settings.data.root)
    example = next(iter(pipeline.examples(dataset, dataset.split("val")[options.image : options.image + 1], settings)))
    image, number = example["image"][None], info.landmarks.index(options.landmark)
    found = np.asarray(localization.localizer(network, settings.heatmap.decoder)(image)[0])[0]
    parts = pictures.heatmap_parts(network)
    maps = keras.Model(network.input, parts)(image)

    # The two factors may both be negative, which is the same landmark.
    sign = np.sign(np.asarray(maps["spatial configuration"])[0, ..., number].ravel()[np.asarray(maps["heatmaps"])[0, ..., number].argmax()])

    figure = canvas.figure(9.6, 3.0, layout="constrained", dpi=100)
    first, *others = figure.subplots(1, 1 + len(parts))
    first.set_title(f"all {len(found)} landmarks\nfound at once", fontsize=10)
    first.imshow(image[0, ..., 0], cmap="gray")
    first.plot(*found.T, "x", color="red", markersize=4)
    for axis, (title, tensor) in zip(others, maps.items(), strict=True):
        shown = np.asarray(tensor)[0, ..., number] * (1 if title == "heatmaps" else sign)
        limit = np.abs(shown).max()
        axis.imshow(image[0, ..., 0], cmap="gray_r", vmax=3)
        axis.imshow(shown, cmap="RdBu_r", vmin=-limit, vmax=limit, alpha=np.minimum(1, 0.1 + 2 * np.abs(shown) / limit))
        axis.set_title(TITLES[title], fontsize=10)
    for axis in (first, *others):
        axis.set_axis_off()
    options.out.write_bytes(canvas.png(figure))
    print(options.out)


if __name__ == "__main__":
    main()
