"""A task for workers of a cluster, in a module that imports nothing slow."""

import os


def answered(task):
    """Ten more; at 3 it ends its worker."""
    return os._exit(1) if task == 3 else task + 10
