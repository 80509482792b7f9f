"""Decisions on the augmentation: ranges from how pose, shape and intensity vary."""

from scn_tf.suggest.case import Case, Decision

ROTATION, SCALE, TRANSLATION, ELASTIC, INTENSITY = {2: 2.5, 3: 1.5}, 2.5, 1.25, 1.4, 2.0  # range over standard deviation
LEAST = {"rotation": 0.1, "scale": 0.05, "translation": 0.02, "elastic": 0.01, "intensity": 0.1}
MOST = {"rotation": 3.14, "scale": 0.5, "translation": 0.25, "elastic": 0.05, "intensity": 0.25}
LEAST_SCALE_2D = 0.1
CROPPED = 0.2
MIRRORED, ALIKE = 0.5, 0.05  # share of mirrored images; distance over the diagonal up to which a mirrored shape is one of the set


def rotation(case: Case) -> Decision:
    """Range of rotations."""
    spread = case.facts.shapes.rotation
    return _ranged("rotation", ROTATION[case.facts.dims] * spread, f"shapes are turned by {spread:.2f} rad about their mean")


def scale(case: Case) -> Decision:
    """Range of the common factor of size."""
    facts = case.facts
    spread = facts.scale_in_image if case.plan.layout.spacing_mm is None else facts.shapes.scale
    wanted = max(SCALE * spread, LEAST_SCALE_2D if facts.dims == 2 else 0.0)
    return _ranged("scale", wanted, f"sizes of shapes vary by {spread:.1%}")


def axis_scale(case: Case) -> Decision:
    """Range of the factor along each axis."""
    given = case.given.augment.scale if "augment.scale" in case.named else float(str(scale(case).value))
    return Decision("augment.axis_scale", round(given / 2, 3), "half of the range of the common factor")


def translation(case: Case) -> Decision:
    """Range of shifts."""
    spread = case.facts.translation
    return _ranged("translation", TRANSLATION * spread, f"places of shapes vary by {spread:.1%} of an image's side")


def elastic(case: Case) -> Decision:
    """Displacement of control points."""
    facts, grid = case.facts, case.given.augment.elastic_grid
    left = facts.shapes.residual * facts.shapes.diagonal / max(facts.extent)
    wanted = min(ELASTIC * left, 0.9 * 0.45 / (grid - 1))
    return _ranged("elastic", wanted, f"without their pose, shapes differ by {left:.1%} of an image's side")


def intensity_shift(case: Case) -> Decision:
    """Range of what is added to intensities."""
    return _ranged("intensity_shift", INTENSITY * case.facts.brightness, _brightness(case), limits="intensity")


def intensity_scale(case: Case) -> Decision:
    """Range of the factor of intensities."""
    return _ranged("intensity_scale", INTENSITY * case.facts.brightness, _brightness(case), limits="intensity")


def mirror(case: Case) -> Decision:
    """Share of mirrored images."""
    facts = case.facts
    if not facts.pairs:
        return Decision("augment.mirror", 0.0, "dataset.yaml has no flip_pairs, so left and right may mean something")
    unlike = facts.shapes.mirrored
    if unlike is not None and unlike > max(ALIKE, 3 * facts.shapes.residual):
        return Decision("augment.mirror", 0.0, f"mirrored shapes with exchanged flip_pairs are {unlike:.0%} of their size from the others")
    return Decision("augment.mirror", MIRRORED, "dataset.yaml has flip_pairs, and mirrored shapes look like the others")


def crop(case: Case) -> Decision:
    """Share of images of which a part is cut off."""
    if case.facts.dims == 3:
        return Decision("augment.crop", 0.0, "volumes: what crops do was measured on 2D images alone")
    return Decision("augment.crop", CROPPED, "so that a landmark outside a cropped image is found absent")


def _ranged(name: str, wanted: float, reason: str, *, limits: str = "") -> Decision:
    """A range within its limits."""
    low, high = LEAST[limits or name], MOST[limits or name]
    value = round(min(max(wanted, low), high), 2 if wanted > 0.1 else 3)
    return Decision(f"augment.{name}", value, reason)


def _brightness(case: Case) -> str:
    return f"mean intensities vary by {case.facts.brightness:.2f} of a range of -1 to 1"


POSES = (rotation, scale, axis_scale, translation, elastic)
OTHERS = (intensity_shift, intensity_scale, mirror, crop)


def decided(case: Case) -> list[Decision]:
    """All ranges. Those of the pose keep their defaults where too few images show the same landmarks."""
    return [rule(case) for rule in (*(POSES if case.facts.shapes.posed else ()), *OTHERS)]
