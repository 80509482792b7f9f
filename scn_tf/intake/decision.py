"""The frame of the coordinates: as the file states it, as an option says, or by evidence. What nothing decides is asked for."""

import dataclasses
from typing import NamedTuple

import numpy as np

from scn_tf.data.annotations import Frame
from scn_tf.data.evidence import AGREES, MIN_IMAGES
from scn_tf.errors import DatasetError
from scn_tf.intake import candidates
from scn_tf.intake.interpretation import PHYSICAL, TITLES, Asked, Interpretation
from scn_tf.intake.witness import Witness

DECLARED: dict[Frame, Interpretation] = {
    "pixel": Interpretation(),
    "bottom": Interpretation(bottom=True),
    "fraction": Interpretation("fraction"),
    "one-based": Interpretation(first=1),
    "physical": Interpretation("lps"),
}


class Decision(NamedTuple):
    """How the numbers are read, the reason, and what the user should know."""

    how: Interpretation
    reason: str
    warnings: list[str]


def decide(witness: Witness, frame: Frame, asked: Asked) -> Decision:
    """Decide how the numbers of a file are read.

    Args:
        witness: points as written, and their images.
        frame: as the format states it; "stated" if it states none.
        asked: options.

    Raises:
        DatasetError: neither the file, an option nor the evidence decides; the message names the option.
    """
    if len(witness.values()) == 0:
        raise DatasetError("The annotations hold no point: no landmark is annotated in any image.")
    decision = _undeclared(witness, asked) if frame == "stated" else _declared(witness, frame, asked)
    _check_inside(witness, decision.how)
    return decision


def _declared(witness: Witness, frame: Frame, asked: Asked) -> Decision:
    """The frame that the format states, changed by options. Evidence against it becomes a warning."""
    how, reason = candidates.with_options(DECLARED[frame], asked), "as the format states"
    if frame == "physical" and asked.frame in (None, *PHYSICAL):
        how = dataclasses.replace(how, unit="lps")  # the reader has turned RAS to LPS where the file says so
        other = dataclasses.replace(how, unit="ras")
        if not witness.inside(how) and witness.applies(other) and witness.inside(other):
            if asked.frame is None:
                raise DatasetError(
                    "The points lie outside the images in the frame that the file states, and inside with x and y negated. "
                    "Is its coordinate system (LPS or RAS) wrong? `frame` ras or `frame` lps reads the numbers in the other one."
                )
            how, reason = other, "as asked, against the file"
    elif how != DECLARED[frame]:
        reason = "as asked"
    open_ = how.unit == "pixel" and asked.frame is None and asked.set_on is None and not witness.sides
    if open_ and candidates.are_fractions(witness):
        raise DatasetError(
            "The format states pixels, but all values lie between 0 and 1. `frame` fraction reads them as fractions of the image's sides, "
            "`frame` pixel as pixels."
        )
    rivals = [other for other in candidates.variants(how, asked) if witness.applies(other) and not witness.same(other, how)]
    found = max((other for other in rivals if witness.prefers(other, how)), key=witness.mean, default=None)
    if open_ and (copied := candidates.copied(witness, *([how] if found is None else [how, found]))) is not None:
        likely = f"the images agree much better about {copied} ({witness.mean(copied):.2f}, not {witness.mean(how):.2f})"
        return Decision(
            how, reason, [f"The points seem to be set on a copy of another size: {likely}. If so, add `set_on` {_set_on(copied)}."]
        )
    if found is None and open_ and candidates.cornered(witness, how):
        return Decision(how, reason, ["All points lie in one corner of the images. If they were set on a smaller copy, add `set_on`."])
    if found is None:
        checked = f"; the images agree ({witness.mean(how):.2f})" if witness.enough and witness.mean(how) >= AGREES else ""
        return Decision(how, f"{reason}{checked}", [])
    contradiction = (
        f"The coordinates are read as {how}, {reason}. But the images agree better about {found} ({witness.mean(found):.2f}, not "
        f"{witness.mean(how):.2f}). If so, {_options(found, how)}."
    )
    return Decision(how, reason, [contradiction])


def _undeclared(witness: Witness, asked: Asked) -> Decision:
    """The frame of a file that states none: the unit in which points lie in the images, and the axes about which images agree."""
    if asked.frame is not None:
        _check_applies(witness, candidates.with_options(Interpretation(), asked))
    plausible = list(candidates.plausible(witness, asked))
    if not plausible:
        raise DatasetError(_outside(witness, asked))
    pixel = next((how for how in plausible if how.unit == "pixel"), None)
    free = asked.frame is None and asked.set_on is None
    if pixel is not None and free and candidates.cornered(witness, pixel):
        plausible = [
            how
            for how in plausible
            if how is not pixel and (how.unit != "percent" or (_agreed(witness, how) and not candidates.rescaled(witness, how)))
        ]
        if not plausible:
            raise DatasetError(_in_a_corner(witness, pixel))
    how = max(plausible, key=witness.mean) if witness.enough else plausible[0]
    doubtful = [other for other in plausible if other is not how and not witness.prefers(how, other)]
    if doubtful:
        units = [other for other in plausible if other is how or other in doubtful]
        listed = ", or as ".join(TITLES[other.unit] for other in units)
        raise DatasetError(
            f"The points lie in the images as {listed}, and the images do not tell which. "
            f"`frame` decides: {', '.join(other.unit for other in units)}."
        )
    plain = candidates.with_options(Interpretation(), asked)
    if how.unit == "pixel" and free and (found := candidates.copied(witness, how, plain)) is not None:
        raise DatasetError(
            f"The points seem to be set on a copy of another size: the images agree better about {found} ({witness.mean(found):.2f}, as "
            f"written {witness.mean(how):.2f}). `set_on` {_set_on(found)} says so, `set_on` 100% that they are right as written."
        )
    return Decision(how, _reason(witness, how, asked, others=len(plausible) > 1), [])


def _agreed(witness: Witness, how: Interpretation) -> bool:
    return witness.enough and witness.mean(how) >= AGREES


def _set_on(how: Interpretation) -> str:
    sides = how.set_on or (1.0,)
    return "x".join(f"{side:g}" for side in sides) if len(sides) > 1 else f"{100 * sides[0]:g}%"


def _reason(witness: Witness, how: Interpretation, asked: Asked, *, others: bool) -> str:
    """Why an interpretation was taken, for a file that states none."""
    if asked.frame is not None and (how.unit in PHYSICAL or (asked.y_from is not None and asked.axes is not None)):
        return "as asked"
    base = candidates.with_options(Interpretation(how.unit), asked)
    parts = [] if dataclasses.replace(asked, spacing=None, empty=None) == Asked() else ["as asked"]
    if how.unit == "fraction" and asked.frame is None:
        parts.append("all values lie between 0 and 1")
    elif others or how.unit != "pixel":
        parts.append("in this unit the points lie in the images")
    elif asked.frame is None:
        parts.append("the points lie in the images")
    if how != base and witness.enough:
        inside = "" if witness.inside(base) else "; else points lie outside"
        parts.append(f"the images agree about it ({witness.mean(how):.2f}, as {base} {witness.mean(base):.2f}{inside})")
    elif how != base:
        parts.append("otherwise points lie outside the images")
    elif _agreed(witness, how):
        parts.append(f"the images agree about it ({witness.mean(how):.2f})")
    elif how.unit not in PHYSICAL and asked.y_from is None:
        why = "the images do not tell" if witness.enough else f"fewer than {MIN_IMAGES} images cannot tell"
        if len(witness.shown) >= MIN_IMAGES and not witness.enough:
            why = "so few points cannot tell"
        parts.append(f"y from the top is the convention, {why}; `y_from` bottom changes it")
    return "; ".join(parts) or "as asked"


def _options(found: Interpretation, how: Interpretation) -> str:
    """Options that lead to another interpretation."""
    parts = []
    if found.bottom != how.bottom:
        parts.append(f"add `y_from` {'bottom' if found.bottom else 'top'}")
    if found.reversed != how.reversed:
        parts.append("add `axes` yx" if found.reversed else "add `axes` xy")
    if found.unit == "pixel" and how.unit in PHYSICAL:
        parts.append("add `frame` pixel")
    elif found.unit != how.unit:
        parts.append("correct the coordinate system (LPS or RAS) in the files")
    return " and ".join(parts)


def _range(witness: Witness) -> str:
    values = witness.values()
    low, high = np.round(values.min(axis=0), 1).tolist(), np.round(values.max(axis=0), 1).tolist()
    sizes = np.array([look.facts.size for look in witness.looks.values()])
    smallest, largest = (" x ".join(map(str, side)) for side in (sizes.min(axis=0), sizes.max(axis=0)))
    images = f"images have {smallest} pixels" if smallest == largest else f"images have {smallest} to {largest} pixels"
    return f"The values reach from {low} to {high}; the {images}."


def _outside(witness: Witness, asked: Asked) -> str:
    tried = f"as {TITLES[asked.frame]}" if asked.frame else "as pixels" + (" or mm" if candidates.have_frames(witness) else "")
    likely = None if asked.frame or asked.set_on else candidates.copied(witness, Interpretation())
    hint = (
        f"The images agree best about {likely}: `set_on` {_set_on(likely)}."
        if likely
        else ("Do they belong to other images, or to a copy of another size (`set_on` 640x480 or 50%)? `frame` names another unit.")
    )
    return f"The points lie outside the images, read {tried}. {_range(witness)} {hint}"


def _in_a_corner(witness: Witness, how: Interpretation) -> str:
    likely = candidates.copied(witness, how)
    hint = (
        f"The images agree best about {likely}: `set_on` {_set_on(likely)}."
        if likely
        else (
            "Are they percent, mm, or pixels of a smaller copy? `frame` percent, `frame` mm (with `spacing`, if the images state none) or "
            "`set_on` 256x256 says so."
        )
    )
    return f"As pixels, all points lie in one corner of the images. {_range(witness)} {hint} If they are right, add `set_on` 100%."


def _check_applies(witness: Witness, how: Interpretation) -> None:
    """Refuse a unit that needs what an image does not state."""
    for image_id, look in witness.looks.items():
        if not how.applies(look.facts):
            plane = how.unit in PHYSICAL and look.facts.spacing is not None
            lacks = "frame in which its points have x and y, as an axial slice has" if plane else "pixel size"
            raise DatasetError(
                f"{look.facts.path}: states no {lacks}, so {image_id} has no {TITLES[how.unit]}. "
                f"{'Write its points in pixels.' if how.unit in PHYSICAL else 'State it with `spacing`, or write pixels.'}"
            )


def _check_inside(witness: Witness, how: Interpretation) -> None:
    """Refuse an interpretation, as stated or asked, that puts most points outside the images."""
    _check_applies(witness, how)
    share = witness.share_inside(how)
    if share < 0.5:
        raise DatasetError(
            f"{100 * (1 - share):.0f} % of the points lie outside their images, read as {how}. {_range(witness)} "
            "Do the annotations belong to these images? `frame`, `y_from`, `axes` and `set_on` read them differently."
        )
