"""``scn-tf predict``: a table of landmarks from images."""

import argparse
import os
import sys
from pathlib import Path

from scn_tf.cli import forms
from scn_tf.cli.command import Command

ENDINGS = (".csv",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the model, the images and the table."""
    parser.add_argument("model", type=Path, metavar="MODEL", help=f"name of a bundled model (scn-tf models), {forms.models()}")
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="image files, or folders to search for them; a folder of DICOM slices is one image",
    )
    parser.add_argument("--out", type=Path, default=Path("predictions.csv"), metavar="FILE.csv", help="table (default: predictions.csv)")
    parser.add_argument("--overlay", type=Path, metavar="DIR", help="also write pictures with the landmarks drawn in")
    parser.add_argument(
        "--spacing", type=float, nargs="+", metavar="MM", help="mm per pixel, x y (z), of files that state none or a wrong one"
    )


def run(options: argparse.Namespace) -> int:
    """Find landmarks in every readable image. The exit status is 1 if any image was left out."""
    import numpy as np
    from tqdm import tqdm

    from scn_tf import predict
    from scn_tf.data import images
    from scn_tf.figures import pictures
    from scn_tf.storage import files, tables

    files.check_writable(options.out)
    files.check_ending(options.out, ENDINGS, "--out")
    images.check_exist(options.images)
    predictor = predict.load(options.model)
    sources, left_out = images.collect(options.images, dims=predictor.info.dims)
    if options.overlay:
        check_overlays(options.overlay, [f"{source.id}.png" for source in sources])
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    failures, coordinates = len(left_out), ""
    for line in left_out:
        _report(line)
    try:
        for source in tqdm(sources, desc="Finding landmarks", unit="image", leave=False, disable=None):
            try:
                prediction = predictor.predict(source.path, spacing=options.spacing)
            except images.ImageError as error:
                failures += 1
                _report(str(error))
                continue
            found[source.id] = prediction.landmarks, prediction.scores  # keep points, not pixels
            coordinates = prediction.coordinates
            if options.overlay:
                picture = pictures.overlay_figure(prediction.image.array, prediction.array_landmarks, prediction.names)
                with files.replaced(options.overlay / f"{source.id}.png") as temporary:
                    temporary.write_bytes(pictures.encode_png(picture))
    finally:  # after Ctrl-C or with a full disk too: what was found is not lost
        if found:
            points, scores = (np.stack(arrays) for arrays in zip(*found.values(), strict=True))
            files.write_text(options.out, tables.points(found, predictor.names, points, scores))
            print(f"{files.counted(len(found), 'image')}, {len(predictor.names)} landmarks each, {coordinates} coordinates: {options.out}")
    if failures:
        _report(f"{files.counted(failures, 'file')} left out, {files.counted(len(found), 'image')} predicted.")
    return 1 if failures else 0


def check_overlays(folder: Path, names: list[str]) -> None:
    """Check before any work that all pictures can be written.

    Raises:
        WriteError: other programs' pictures have these names, or the folder is not writable.
    """
    from scn_tf.storage import files, ownership

    files.make_folder(folder)
    foreign = [name for name in names if os.path.isfile(folder / name) and not ownership.is_ours(folder / name)]
    if foreign:
        more = f", like {len(foreign) - 1} more of {len(names)}" if len(foreign) > 1 else ""
        raise files.WriteError(
            f"{folder / foreign[0]}: already exists and was not written by scn_tf{more}. Pictures of versions before 0.3 carry no mark. "
            "Choose another --overlay folder, or remove them."
        )
    if names:  # the others are alike; each call looks through the folder
        files.check_writable(folder / max(names, key=len))


def _report(line: str) -> None:
    """Print a line on standard error, clear of any progress bar."""
    from tqdm import tqdm

    tqdm.write(f"error: {line}", file=sys.stderr)


COMMAND = Command(
    name="predict",
    help="find landmarks in images",
    description=(
        "Find landmarks in image files. Writes a table id,landmark,x,y[,z],score in the coordinates that the model was trained on: "
        "pixels of the files, or mm."
    ),
    examples=("predict hand_xray HAND.jpg --out predictions.csv --overlay pictures", "predict runs/first FOLDER --out predictions.csv"),
    add_arguments=add_arguments,
    run=run,
    rank=30,
)
