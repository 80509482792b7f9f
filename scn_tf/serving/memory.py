"""Memory of a server: kept between ordinary requests, back to the system after a large one.

Measured with 256 x 256 pixels, F = 64, batches of 8: TensorFlow's own allocator for oneDNN never gives back the most that it had (1.1 GB
after an image of 63 megapixels in colour). The system's does, but asks the kernel for every large tensor anew: 60 % more processor time.
With one arena that keeps what is free, and is emptied after large requests, that is gone.
"""

import contextlib
import ctypes
import os

from scn_tf.environment import devices

SYSTEM_ALLOCATOR = "TF_ONEDNN_USE_SYSTEM_ALLOCATOR"
M_ARENA_MAX = -8  # malloc.h


def prepare() -> None:
    """To be called before the first tensor of the process is made; on other systems than Linux with glibc little happens."""
    os.environ.setdefault(SYSTEM_ALLOCATOR, "1")
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(M_ARENA_MAX, 1)
    devices.keep_large_blocks()


def give_back() -> None:
    """Return what the C library keeps free to the system."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
