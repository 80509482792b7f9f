"""Networks that could be trained on a data set: inputs from coarse to fine, each with levels and a spatial part that fit it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scn_tf import models
from scn_tf.config.settings import ModelConfig
from scn_tf.models import MODELS
from scn_tf.suggest.cost import Shape
from scn_tf.suggest.measure import Facts

SMALLEST, LARGEST = {2: 48, 3: 24}, {2: 768, 3: 256}  # longest side of an input
FINER = 2**0.125  # from one input to the next
FILTERS = {2: (16, 24, 32, 48, 64), 3: (16, 24, 32)}
LEVELS = {2: 4, 3: 3}
COARSEST = 4  # pixels along the shortest side at the last level
KERNELS, POOLINGS = {2: (11,), 3: (5, 7)}, {2: (8, 16, 32), 3: (4, 8, 16)}
SMALL = 112  # longest side of a 2D input up to which its spatial part pools by 4
SEEN = 0.7  # of the distance across a shape, which the spatial part must overlook
LEAST_SPATIAL = {2: 1, 3: 32}  # channels: in 3D the spatial part has few cells, so they cost little
ALONE = 0.6  # share of the input's longest side that a shape takes, where a single landmark has none


@dataclass(frozen=True)
class Layout:
    """One network on one input.

    Attributes:
        shape: its sizes.
        spacing_mm: mm per network pixel; None: the image fills the input.
        pixel: length of a network pixel in the unit of the facts.
        across: network pixels across a shape.
    """

    shape: Shape
    spacing_mm: float | None
    pixel: float
    across: float


def fixed_fields(given: ModelConfig, dims: int) -> dict[str, Any]:
    """Fields of the section ``model`` that are not decided: those given, and those that the network's own row sets."""
    row = MODELS[given.name]
    fixed = {key: value[dims] if isinstance(value, dict) else value for key, value in row.defaults.items()}
    return fixed | {key: value for key, value in given.model_dump().items() if value is not None}


def layouts(facts: Facts, given: ModelConfig, *, with_spacing: bool) -> Iterator[Layout]:
    """All networks to choose from, coarse inputs first, narrow networks first.

    Args:
        facts: of the data set.
        given: the section ``model`` as the user gave it. Its values are kept.
        with_spacing: whether to give inputs a spacing, where the user did not say.
    """
    fixed = fixed_fields(given, facts.dims)
    for image_size, spacing in _inputs(facts, fixed, given, with_spacing=with_spacing):
        pixel = spacing or max(length / side for length, side in zip(facts.extent, reversed(image_size), strict=True))
        across = facts.shapes.diagonal / pixel or ALONE * max(image_size)
        fields = _fields(image_size, across, fixed, facts.dims)
        for filters in [fixed["filters"]] if "filters" in fixed else filters_of(given.name, facts):
            spatial = fixed.get("spatial_filters") or max(filters, LEAST_SPATIAL[facts.dims])
            shape = Shape(
                image_size=image_size,
                landmarks=facts.landmarks,
                filters=filters,
                levels=fields["levels"],
                spatial_filters=spatial if "spatial_pooling" in models.options(given.name) else 0,
                spatial_kernel=fields["spatial_kernel"],
                spatial_pooling=fields["spatial_pooling"],
                finest_filters=fixed.get("finest_filters"),
                separable=fixed.get("spatial_convolution") == "separable",
            )
            yield Layout(shape, spacing, pixel, across)


def filters_of(name: str, facts: Facts) -> list[int]:
    """Channels to choose from. Some networks need as many as there are landmarks."""
    choices = list(FILTERS[facts.dims])
    if MODELS[name].filters_per_landmark:
        enough = [count for count in choices if count >= facts.landmarks]
        return enough or [16 * math.ceil(facts.landmarks / 16)]
    return choices


def _inputs(
    facts: Facts, fixed: Mapping[str, Any], given: ModelConfig, *, with_spacing: bool
) -> Iterator[tuple[tuple[int, ...], float | None]]:
    """(size of the input in array order, mm per pixel or None)."""
    spacing = given.spacing_mm
    if "image_size" in fixed:
        yield tuple(fixed["image_size"]), spacing
        return
    with_spacing = with_spacing or spacing is not None
    lengths = facts.largest if with_spacing else facts.extent  # with a spacing, nothing may be cut off
    longest, whole = max(lengths), math.ceil if with_spacing else round
    seen = set()
    for side in [longest / spacing] if spacing else _sides(longest / min(facts.pixel), facts.dims):
        pixel = spacing or rounded(longest / side)
        wanted = [length / pixel for length in reversed(lengths)]
        divisor = MODELS[given.name].divisor({**_fields(wanted, facts.shapes.diagonal / pixel, fixed, facts.dims), **fixed})
        size = tuple(divisor * max(1, whole(length / divisor - 1e-6)) for length in wanted)
        if size not in seen:
            seen.add(size)
            yield size, spacing or (_filling(lengths, size) if with_spacing else None)


def _sides(native: float, dims: int) -> list[float]:
    """Longest sides to try, up to that of the image itself."""
    count = math.ceil(math.log(LARGEST[dims] / SMALLEST[dims], FINER)) + 1
    sides = [SMALLEST[dims] * FINER**step for step in range(count)]
    return [side for side in sides if side < native] + ([native] if native <= LARGEST[dims] else [])


def _filling(lengths: Sequence[float], size: Sequence[int]) -> float:
    """Smallest spacing of two digits at which lengths (x, y[, z]) fit into an input (array order)."""
    least = max(length / side for length, side in zip(lengths, reversed(size), strict=True))
    step = 10.0 ** (math.floor(math.log10(least)) - 1)
    return rounded(step * math.ceil(least / step - 1e-6))


def rounded(value: float) -> float:
    """Two significant digits."""
    return float(f"{value:.2g}")


def _fields(size: Sequence[float], across: float, fixed: Mapping[str, Any], dims: int) -> dict[str, int]:
    """Levels, kernel and pooling for an input. Whole sides must be multiples of the poolings."""

    def fits(pooling: int) -> bool:
        return not any(isinstance(side, int) and side % pooling for side in size)

    levels = fixed.get("levels") or max(
        (n for n in range(1, LEVELS[dims] + 1) if fits(2 ** (n - 1)) and min(size) >= COARSEST * 2 ** (n - 1)), default=1
    )
    kernels = [fixed["spatial_kernel"]] if "spatial_kernel" in fixed else KERNELS[dims]
    usual = (4, *POOLINGS[dims]) if dims == 2 and max(size) <= SMALL else POOLINGS[dims]
    poolings = [fixed["spatial_pooling"]] if "spatial_pooling" in fixed else [pooling for pooling in usual if fits(pooling)]
    poolings = poolings or [pooling for pooling in (4, 2, 1) if fits(pooling)]
    for pooling in poolings:
        for kernel in kernels:
            if (4 * (kernel - 1) + 1) * pooling >= SEEN * across:
                return {"levels": levels, "spatial_kernel": kernel, "spatial_pooling": pooling}
    return {"levels": levels, "spatial_kernel": kernels[-1], "spatial_pooling": poolings[-1]}
