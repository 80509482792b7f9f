"""Put a run into the package: `python tools/pack_model.py RUN NAME`. Its card, NAME.md, is written by hand."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import scn_tf  # noqa: F401
from scn_tf.runs import checkpoints, pretrained
from scn_tf.systems import opening

MAX_MB = 4


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    options = parser.parse_args()
    source = opening.network_file(options.run)
    _, info = checkpoints.load_model(source)
    if both := {*info.config.data.train_split.split("+")} & {*info.config.data.val_split.split("+")}:
        info = info.model_copy(update={"validation": None})  # of images it was trained on
        print(f"{', '.join(sorted(both))}: trained this model, so its error there is left out.")
    info = info.public()
    target = pretrained.FOLDER / f"{options.name}.keras"
    checkpoints.halve(source, target, info)
    megabytes = target.stat().st_size / 1e6
    print(f"{target}: {megabytes:.2f} MB")
    if megabytes > MAX_MB:
        sys.exit(f"error: {target}: larger than {MAX_MB} MB.")


if __name__ == "__main__":
    main()
