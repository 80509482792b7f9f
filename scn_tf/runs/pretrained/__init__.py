"""Models that come with the package: a ``.keras`` file and its card, ``NAME.md``, beside this module."""

import json
import zipfile
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
METADATA = "scn_tf.json"  # as in scn_tf.runs.checkpoints, which imports TensorFlow; listing models need not


def names() -> list[str]:
    """Names of all models."""
    return sorted(path.stem for path in FOLDER.glob("*.keras"))


def find(name: str | Path) -> Path | None:
    """File of a model, or None. A file, run or export of the user's with that name comes first: callers look there before."""
    return FOLDER / f"{name}.keras" if str(name) in names() else None


def describe(name: str) -> dict[str, Any]:
    """Metadata of a model, dict."""
    with zipfile.ZipFile(FOLDER / f"{name}.keras") as archive:
        return json.loads(archive.read(METADATA))


def card(name: str) -> str:
    """Text of a model's card: data, figures, limits."""
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8")
