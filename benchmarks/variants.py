"""Train with a part of the network exchanged: `python benchmarks/variants.py VARIANT --config FILE --data.root FOLDER --run-dir RUN ...`.

Variants that were measured for docs/research/accuracy.md and not built in. What follows VARIANT is what `python train.py` takes.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from keras import layers

from scn_tf import cli
from scn_tf.models import scn
from scn_tf.models.parts import blocks


def channel_dropout():
    """Dropout leaves out whole channels."""
    blocks.dropout = layers.SpatialDropout2D


def smooth_pooling():
    """Halving by the binomial filter 1-3-3-1 in place of the mean of two: less of what is finer than the new pixels remains."""
    plain = scn.average_pooling

    def smooth(dims, size, *, name):
        if size != 2:
            return plain(dims, size, name=name)
        pad = layers.ZeroPadding2D(1, name=f"{name}_pad")  # on both sides: nothing moves
        means, after = [layers.AveragePooling2D(2, strides=1, name=f"{name}_smooth{i}") for i in (1, 2)], plain(dims, 2, name=name)

        return lambda tensor: after(means[1](means[0](pad(tensor))))

    scn.average_pooling = smooth


VARIANTS = {"channel_dropout": channel_dropout, "smooth_pooling": smooth_pooling}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variant", choices=VARIANTS)
    options, training = parser.parse_known_args()
    VARIANTS[options.variant]()
    return cli.main(["train", *training])


if __name__ == "__main__":
    sys.exit(main())
