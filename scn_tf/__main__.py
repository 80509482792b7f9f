"""``python -m scn_tf`` and ``scn-tf``: the command. Ctrl-C has no traceback, even while modules are imported."""

import contextlib
import os
import signal
import sys
from collections.abc import Sequence


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line of this process, and return the exit status.

    After an interruption, what shall be saved is saved. The process then ends here, without waiting for threads that still compute.
    """
    try:
        from scn_tf.cli import interruption, main
        from scn_tf.environment import parent

        parent.end_with_it(lambda: os.kill(os.getpid(), signal.SIGTERM))
        status = main(arguments)
    except KeyboardInterrupt:
        print("error: interrupted.", file=sys.stderr)
        return 130
    if interruption.came:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)
    return status


if __name__ == "__main__":
    sys.exit(run())
