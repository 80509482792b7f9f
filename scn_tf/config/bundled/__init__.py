"""Bundled configurations and studies: YAML files beside this module and in ``studies/``."""

import os
from pathlib import Path

FOLDER = Path(__file__).parent
STUDIES = "studies"
# Where these files once were, and where commands still look for them: in a checkout, and written as a relative path anywhere.
FORMER = "configs"
CHECKOUT = FOLDER.parents[2]


def names() -> list[str]:
    """Names of all configurations."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def study_names() -> list[str]:
    """Names of all studies."""
    return sorted(path.stem for path in (FOLDER / STUDIES).glob("*.yaml"))


def find(name: str | Path) -> Path | None:
    """File of a configuration, or None.

    Args:
        name: with or without ``.yaml``, and with or without ``configs/`` before it.
    """
    name = plain(name)
    return FOLDER / f"{name}.yaml" if name in names() else None


def find_study(name: str | Path) -> Path | None:
    """File of a study, or None. ``name`` is as in :func:`find`, with or without ``studies/`` before it."""
    name = plain(name).removeprefix(f"{STUDIES}/")
    return FOLDER / STUDIES / f"{name}.yaml" if name in study_names() else None


def plain(name: str | Path) -> str:
    """Name of a configuration as in :func:`names`: ``configs/hand_xray.yaml`` becomes ``hand_xray``. Any other path stays as it is."""
    path = Path(name)
    if path.is_absolute() or ".." in path.parts:
        former = os.path.join(CHECKOUT, FORMER, "")
        text = os.path.abspath(path)
        if not text.startswith(former):
            return str(name)
        path = Path(text[len(former) :])
    parts = path.parts[1:] if path.parts[:1] == (FORMER,) else path.parts
    return "/".join(parts).removesuffix(".yaml")


def text(file: Path) -> str:
    """Contents of one of these files."""
    return file.read_text(encoding="utf-8")


def headline(file: Path) -> str:
    """Description of one of these files, from its first line."""
    return text(file).partition("\n")[0].lstrip("# ")
