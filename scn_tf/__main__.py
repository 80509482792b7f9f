"""``python -m scn_tf`` and ``scn-tf``: the command. Ctrl-C has no traceback, even while modules are imported."""

import sys


def run() -> int:
    """Run the command line of this process, and return the exit status."""
    try:
        from scn_tf.cli import main

        return main()
    except KeyboardInterrupt:
        print("error: interrupted.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(run())
