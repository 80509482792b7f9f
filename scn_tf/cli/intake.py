"""Options shared by the commands that read annotations of other programs."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scn_tf.intake.interpretation import Asked

FRAMES = ("lps", "ras", "pixel", "fraction", "percent", "mm")
AXES = ("xy", "yx", "xyz", "zyx")
EMPTY = ("absent", "unknown")


class FormatNames:
    """Names of all formats as text. They are imported when help is printed, not before."""

    def __str__(self) -> str:
        from scn_tf.data.annotations import ANNOTATIONS

        return ", ".join(ANNOTATIONS)


class StoreFormat(argparse.Action):
    """Stores the name of a format. Its help may contain ``%(formats)s``."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        self.formats = FormatNames()
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object, option_string: str | None = None
    ) -> None:
        """Store the value."""
        setattr(namespace, self.dest, values)


def add_interpretation(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how numbers are read, for files that do not state it."""
    group = parser.add_argument_group("how numbers are read", "By default as the format states, else by evidence from the images.")
    group.add_argument(
        "--frame", choices=FRAMES, help="unit: mm of the image's header (lps or ras), pixels, 0 to 1, 0 to 100, mm from the corner"
    )
    group.add_argument("--y-from", choices=("top", "bottom"), help="side of the image from which y is counted")
    group.add_argument("--axes", choices=AXES, help="order of the coordinates in the file")
    group.add_argument("--set-on", metavar="SIZE", help="size of the copies on which points were set: 640x480, or 50%% of each image")
    group.add_argument("--first", type=int, choices=(0, 1), help="number of the first pixel (default: as the format states, else 0)")
    group.add_argument(
        "--empty",
        choices=EMPTY,
        help="meaning of a landmark without coordinates: not in the image, or not annotated (default: unknown, but COCO's visibility 0 and "
        "points that 3D Slicer never placed are absent)",
    )


def asked(options: argparse.Namespace) -> "Asked":
    """The parsed options of :func:`add_interpretation`."""
    from scn_tf.intake.interpretation import Asked

    return Asked(options.frame, options.y_from, options.axes, options.set_on, options.first, empty=options.empty)
