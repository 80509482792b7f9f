"""Memory of a server: kept between ordinary requests, returned to the system after a large one.

Measured with 256 x 256 pixels, F = 64, batches of 8: TensorFlow's own allocator for oneDNN never returns its peak memory (1.1 GB
after a colour image of 63 megapixels). The system's allocator does, but requests every large tensor from the kernel: 60 % more
processor time. One arena that keeps free memory, and is emptied after large requests, avoids both.
"""

import contextlib
import ctypes
import os

from scn_tf.environment import devices

SYSTEM_ALLOCATOR = "TF_ONEDNN_USE_SYSTEM_ALLOCATOR"
M_ARENA_MAX = -8  # malloc.h


def prepare() -> None:
    """Prepare the allocator. Call it before the first tensor of the process exists. It does little without Linux and glibc."""
    os.environ.setdefault(SYSTEM_ALLOCATOR, "1")
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(M_ARENA_MAX, 1)
    devices.keep_large_blocks()


def give_back() -> None:
    """Return free memory of the C library to the system."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
