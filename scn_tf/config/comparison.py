"""Comparison of configurations: whether two describe the same run."""

from scn_tf.config.settings import Config


def differences(first: Config, second: Config) -> list[str]:
    """Names of the settings in which two runs differ, as ``section.field``.

    One configuration may name a preset and the other the preset's values. ``data.root``, ``data.missing``, ``data.cache`` and
    ``data.service`` are not compared. ``auto`` of ``train.precision`` and ``train.compile`` equals any other value.

    Args:
        first, second: :class:`scn_tf.config.Config`, resolved or not.

    Returns:
        list of names. ``["model.image_size"]`` if the dimensions differ, ``["model"]`` if only one of the two is valid.
    """
    sized = {len(config.model.image_size) for config in (first, second) if config.model.image_size}
    if len(sized) > 1:
        return ["model.image_size"]
    found: dict[str, None] = {}
    for dims in sized or (2, 3):  # where neither tells, they must mean the same in both
        (one, whole), (other, other_whole) = _values(first, dims), _values(second, dims)
        names = {name: None for name in one if name in other and one[name] != other[name]}
        found |= names or ({} if whole == other_whole else {"model": None})
    free = {"data.root", "data.missing", "data.cache", "data.service"}
    free |= {f"train.{name}" for name in ("precision", "compile") if "auto" in (getattr(first.train, name), getattr(second.train, name))}
    return [name for name in found if name not in free]


def _values(config: Config, dims: int) -> tuple[dict[str, object], bool]:
    """(value by ``section.field``, whether these are all).

    A configuration that is invalid in this dimension gives only the fields that are set.
    """
    try:
        config, complete = config.resolved(dims), True
    except ValueError:
        complete = False
    every = {f"{section}.{field}": value for section, fields in config.model_dump().items() for field, value in fields.items()}
    return {name: value for name, value in every.items() if complete or value is not None}, complete
