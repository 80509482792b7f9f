"""Files that start one training on several machines. Each kind of cluster is a row; users edit the files and submit them."""

from pathlib import Path

from scn_tf.launch.kind import Kind, Launch
from scn_tf.registry import Registry

__all__ = ["KINDS", "Kind", "Launch", "write"]

KINDS = Registry("kind of launch files", Kind, home="scn_tf.launch.kinds", group="scn_tf.launch_kinds")


def write(kind: str, launch: Launch, folder: str | Path) -> list[Path]:
    """Write the launch files of a kind, see :func:`scn_tf.storage.edited.write`.

    Args:
        kind: name in ``KINDS``.
        launch: :class:`Launch`.
        folder: created if missing.

    Raises:
        ConfigError: the kind is unknown, or needs other values.
        WriteError: a file exists with other contents, or the folder is not writable.
    """
    from scn_tf.storage import edited  # here, for the help of the command line needs the kinds alone

    return edited.write(folder, KINDS[kind].files(launch))
