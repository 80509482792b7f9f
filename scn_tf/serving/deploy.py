"""Deployment files that run TensorFlow Serving under Docker Compose and Kubernetes, written to a folder of the user."""

from pathlib import Path

from scn_tf.storage import edited

SOURCE = Path(__file__).parent / "deployment"


def names() -> list[str]:
    """Names of the deployment files."""
    return sorted(path.name for path in SOURCE.iterdir() if path.suffix in (".config", ".yml", ".yaml"))


def write(folder: str | Path) -> list[Path]:
    """Write all deployment files into a folder, see :func:`scn_tf.storage.edited.write`."""
    return edited.write(folder, {name: (SOURCE / name).read_text(encoding="utf-8") for name in names()})
