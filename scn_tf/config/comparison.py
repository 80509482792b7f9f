"""Whether two configurations mean the same run."""

from scn_tf.config.settings import Config


def differences(first: Config, second: Config) -> list[str]:
    """Names of the settings in which two runs differ, as ``section.field``.

    One configuration may have every field set where the other has a preset. Where the data lie and what is done about missing images
    does not count, and a precision of ``auto`` is any.

    Args:
        first, second: :class:`scn_tf.config.Config`, resolved or not.

    Returns:
        list of names; of other dimensions ``["model.image_size"]``, ``["model"]`` where one of them alone cannot be.
    """
    sized = {len(config.model.image_size) for config in (first, second) if config.model.image_size}
    if len(sized) > 1:
        return ["model.image_size"]
    found: dict[str, None] = {}
    for dims in sized or (2, 3):  # where neither tells, they must mean the same in both
        (one, whole), (other, other_whole) = _values(first, dims), _values(second, dims)
        names = {name: None for name in one if name in other and one[name] != other[name]}
        found |= names or ({} if whole == other_whole else {"model": None})
    free = {"data.root", "data.missing"}
    if "auto" in (first.train.precision, second.train.precision):
        free.add("train.precision")
    return [name for name in found if name not in free]


def _values(config: Config, dims: int) -> tuple[dict[str, object], bool]:
    """(value by ``section.field``, whether these are all: of a configuration that cannot be in this dimension only those that are set)."""
    try:
        config, complete = config.resolved(dims), True
    except ValueError:
        complete = False
    every = {f"{section}.{field}": value for section, fields in config.model_dump().items() for field, value in fields.items()}
    return {name: value for name, value in every.items() if complete or value is not None}, complete
