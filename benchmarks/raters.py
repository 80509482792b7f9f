"""A run on a data set with several raters: errors against each and against their mean, beside the raters' own spread.

`python benchmarks/raters.py RUN ROOT --raters NAME=TABLE... [--split val] [--columns TABLE=8,9,2]`

ROOT is a data set; TABLE is a path in it. A temporary data set links to its images, with these tables as `raters`.
A table of some landmarks alone is spread to all of them: `--columns` names their numbers in the order of its columns.
"""

import argparse
import os
import sys
import tempfile
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import yaml

from scn_tf import evaluate_run

FIGURES = ("between_raters", "rater_from_others", "model_from_others", "raters_within_percent", "within_percent")


def spread_out(text, columns, count, dims=2):
    """A table of some landmarks as one of all: further fields are empty."""
    lines = []
    for row in filter(None, text.split("\n")):
        name, *values = row.strip().split(",")
        cells = [""] * (count * dims)
        for place, column in enumerate(columns):
            cells[column * dims : column * dims + dims] = values[place * dims : place * dims + dims]
        lines.append(",".join([name, *cells]))
    return "\n".join(lines) + "\n"


def build(folder, root, raters, columns):
    """A data set in a folder that links to the images of another one and names these tables, name -> path in ``root``, as raters."""
    described = yaml.safe_load((root / "dataset.yaml").read_text())
    count = described["landmarks"] if isinstance(described["landmarks"], int) else len(described["landmarks"])
    for name in ("images", "splits"):
        os.symlink((root / name).resolve(), folder / name)
    for name, place in raters.items():
        text = (root / place).read_text()
        (folder / f"{name}.csv").write_text(spread_out(text, columns[place], count, described["dims"]) if place in columns else text)
    described["raters"] = {name: f"{name}.csv" for name in raters}
    (folder / "dataset.yaml").write_text(yaml.safe_dump(described, sort_keys=False))


def show(found):
    """Print the part ``raters`` of a summary."""
    print(f"{found['points']} points, {found['by_fewer']} not by all raters; lengths in {found['unit']}")
    print("\nagainst      points   mean median     sd")
    for name, one in found["errors"].items():
        print(
            f"{name:12s} {one['points']:6d} {one['mean']:6.3f} {one['median']:6.3f} {one['sd']:6.3f}"
            if one["points"]
            else f"{name:12s}      0"
        )
    print("\nlandmark     points  " + "  ".join(FIGURES))
    for name, one in [*found["by_landmark"].items(), ("all", found["spread"])]:
        if one["points"]:
            print(f"{name:12s} {one['points']:6d}  " + "  ".join(f"{one[key]:{len(key)}.2f}" for key in FIGURES))
    for axis, one in found["bland_altman"].items():
        parts = {"model": one["model"], **one["raters"]}
        shown = [
            f"{name} {np.mean(part['limits_of_agreement']):+.2f} ± {1.96 * part['sd']:.2f}" for name, part in parts.items() if part["sd"]
        ]
        print(f"\nalong {axis}: {', '.join(shown)}")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("root", type=Path)
    parser.add_argument("--raters", nargs="+", required=True, metavar="NAME=TABLE")
    parser.add_argument("--columns", nargs="+", default=[], metavar="TABLE=NUMBERS")
    parser.add_argument("--split", default="val")
    options = parser.parse_args(arguments)
    raters = dict(pair.split("=", 1) for pair in options.raters)
    columns = {table: [*map(int, numbers.split(","))] for table, numbers in (pair.split("=", 1) for pair in options.columns)}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (data := Path(folder) / "data").mkdir()
        build(data, options.root, raters, columns)
        summary, _ = evaluate_run.evaluate(options.run, options.split, root=data, out=Path(folder) / "out")
    show(summary["raters"])
    return summary["raters"]


if __name__ == "__main__":
    main()
