"""``python -m scn_tf``: the ``scn-tf`` command."""

import sys

from scn_tf.cli import main

sys.exit(main())
