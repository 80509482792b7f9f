"""Folders of what can be made again at any time. They belong to a machine, not to a run."""

import os
from pathlib import Path

FOLDER = "SCN_TF_CACHE_DIR"  # environment variable


def folder(name: str) -> Path:
    """One of these folders: in ``SCN_TF_CACHE_DIR``, else in ``scn_tf`` in ``XDG_CACHE_HOME`` or ``~/.cache``."""
    named, base = os.environ.get(FOLDER), os.environ.get("XDG_CACHE_HOME", "")
    if named:
        return Path(named).expanduser().absolute() / name
    home = base if os.path.isabs(base) else os.path.expanduser("~/.cache")  # the XDG specification ignores relative paths
    return Path(home) / "scn_tf" / name
