"""Interpretations that the numbers of a file may have: by their size, by options, and by what is often confused."""

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np

from scn_tf.data.evidence import CORNER, MIN_LANDMARKS, SCALE_IMAGES, SCALES, SQUARES
from scn_tf.intake.interpretation import PHYSICAL, Asked, Interpretation, Unit, copy
from scn_tf.intake.witness import Witness

NEAR_FRACTION = (-0.05, 1.05)
NEAR_PERCENT = (-5.0, 105.0)
SMALL = 10  # side of an image in whose corner pixel landmarks may lie
STEPS, MARGIN = 40, 0.05  # of sizes of pixels, and by how much the images agree better
LEAST_PERCENT = 30.0  # largest value that percent have at least


def plausible(witness: Witness, asked: Asked) -> Iterator[Interpretation]:
    """One interpretation per unit in which the points lie in the images, in the order of preference."""
    found: list[Interpretation] = []
    for unit in _units(witness, asked):
        base = with_options(Interpretation(unit), asked)
        if not witness.applies(base):
            continue
        fitting = [how for how in (base, *variants(base, asked)) if how.unit == unit and witness.inside(how)]
        if not fitting:
            continue
        best = fitting[0]
        for other in fitting[1:]:
            if witness.prefers(other, fitting[0]) and witness.mean(other) > witness.mean(best):
                best = other
        if not any(witness.same(best, other) for other in found):
            found.append(best)
            yield best


def _units(witness: Witness, asked: Asked) -> list[Unit]:
    """Units that the numbers may have by their size."""
    if asked.frame is not None:
        return [asked.frame]
    if asked.set_on is not None or asked.first is not None:
        return ["pixel"]
    values = witness.values()
    if are_fractions(witness):
        return ["fraction"]
    units: list[Unit] = ["pixel", "lps", "ras"] if have_frames(witness) else ["pixel"]
    pixel, percent = Interpretation(), Interpretation("percent")
    doubtful = not witness.inside(pixel) or cornered(witness, pixel)
    if doubtful:
        units.append("mm")
    in_range = (values >= NEAR_PERCENT[0]).all() and (values <= NEAR_PERCENT[1]).all() and (values.max(axis=0) >= LEAST_PERCENT).all()
    if in_range and (doubtful or witness.prefers(percent, pixel)):
        units.append("percent")
    return units


def are_fractions(witness: Witness) -> bool:
    """Whether all values lie between 0 and 1, which as pixels would be one corner pixel."""
    values = witness.values()
    smallest = min(min(look.facts.size) for look in witness.looks.values())
    near = (values >= NEAR_FRACTION[0]).all() and (values <= NEAR_FRACTION[1]).all()
    return bool(near and smallest > SMALL and (values % 1 != 0).any())


def have_frames(witness: Witness) -> bool:
    return all(look.facts.physical_from_pixel is not None for look in witness.looks.values())


def with_options(how: Interpretation, asked: Asked) -> Interpretation:
    """An interpretation changed by the options."""
    unit = asked.frame or how.unit
    first = how.first if unit == how.unit else 0
    return Interpretation(
        unit=unit,
        bottom=how.bottom if asked.y_from is None else asked.y_from == "bottom",
        reversed=how.reversed if asked.reversed is None else asked.reversed,
        first=first if asked.first is None else asked.first,
        set_on=copy(asked.set_on),
        spacing=asked.spacing if unit == "mm" else None,
    )


def variants(how: Interpretation, asked: Asked) -> Iterator[Interpretation]:
    """Interpretations that are often confused with one, as far as options leave them open."""
    if how.unit in PHYSICAL:
        if asked.frame is None:
            yield dataclasses.replace(how, unit="ras" if how.unit == "lps" else "lps")
            yield dataclasses.replace(how, unit="pixel")
        return
    bottoms = (False, True) if asked.y_from is None else (how.bottom,)
    orders = (False, True) if asked.axes is None else (how.reversed,)
    for reversed_, bottom in itertools.product(orders, bottoms):
        other = dataclasses.replace(how, bottom=bottom, reversed=reversed_)
        if other != how:
            yield other


def cornered(witness: Witness, how: Interpretation) -> bool:
    """Whether all points of all images lie in the first quarter of each side, which no picture of anything has."""
    return len(next(iter(witness.points.values()))) >= MIN_LANDMARKS and witness.within(how, CORNER)


def rescaled(witness: Witness, how: Interpretation) -> bool:
    """Whether the images agree better about another size of pixels than about percent of their sides."""
    sizes = np.array([look.facts.size for look in witness.looks.values()], float)
    shares = np.geomspace(50 / sizes.max(), 200 / sizes.min(), STEPS)
    others = (Interpretation(bottom=how.bottom, reversed=how.reversed, set_on=(float(share),)) for share in shares)
    return any(witness.inside(other) and witness.mean(other) > witness.mean(how) + MARGIN for other in others)


def copied(witness: Witness, how: Interpretation, *others: Interpretation) -> Interpretation | None:
    """Copy of another size about which the images agree much better than about ``how``; None if there is none.

    Args:
        witness: points and images.
        how: interpretation without a copy.
        others: further ones of which copies are tried.
    """
    if not witness.enough or len(witness.shown) < SCALE_IMAGES:
        return None
    copies: list[tuple[float, ...]] = [(1 / factor,) for factor in SCALES]
    if witness.dims == 2:
        copies += [(float(side), float(side)) for side in SQUARES]
    found = [dataclasses.replace(base, set_on=sides) for base in dict.fromkeys((how, *others)) for sides in copies]
    rivals = [other for other in found if all(witness.prefers(other, base) for base in {how, *others})]
    return max(rivals, key=witness.mean, default=None)
