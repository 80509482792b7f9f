"""``scn-tf convert``: annotations of one format in another."""

import argparse
import warnings
from pathlib import Path

from scn_tf.cli import intake, spelling
from scn_tf.cli.command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the annotations, the file or folder to write, and their formats."""
    parser.add_argument("source", type=Path, metavar="IN", help="annotation file, folder of such files, or folder of a data set")
    parser.add_argument(
        "out", type=Path, metavar="OUT", help="file, or a folder: for formats with one file per image, and for a data set (without images)"
    )
    parser.add_argument(
        "--from", dest="from_", action=intake.StoreFormat, metavar="NAME", help="format of IN (default: by its files): %(formats)s"
    )
    parser.add_argument("--to", metavar="NAME", help="format of OUT (default: by its ending; a folder is a data set)")
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="the images, for formats that count differently (default: those of a data set)"
    )
    intake.add_interpretation(parser)


def run(options: argparse.Namespace) -> None:
    """Convert, and print what was written.

    Raises:
        Error: the annotations cannot be read or written, or their frame is not known.
    """
    from scn_tf.errors import DataWarning
    from scn_tf.intake import conversion
    from scn_tf.storage.files import counted

    row = conversion.target(options.out, options.to)
    source = conversion.read(options.source, options.from_, options.images, intake.asked(options))
    for sentence in source.warnings:
        warnings.warn(sentence, DataWarning, stacklevel=2)
    written = conversion.write(source, options.out, row)
    names = spelling.typed_names(options._parser)
    print(f"read      {counted(len(source.annotations.points), 'image')}, {source.row.name}: {spelling.as_typed(source.how, names)}")
    if source.unused:
        print(f"left out  {counted(len(source.unused), 'annotation')} without an image, such as {source.unused[0]}")
    print(f"written   {row.name}: {counted(len(written), 'file')}, {written[0]}{' ...' if len(written) > 1 else ''}")


COMMAND = Command(
    name="convert",
    help="write annotations of one format in another",
    description="Write annotations of one format in another. Frames are converted by the sizes and headers of the images.",
    examples=("convert points.json points.tps --images FOLDER", "convert head.fcsv head.mrk.json"),
    add_arguments=add_arguments,
    run=run,
    rank=7,
)
