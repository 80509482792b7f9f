"""Decisions on the network, its input and its targets."""

from scn_tf import models
from scn_tf.suggest import memory
from scn_tf.suggest.accuracy import FINE_ENOUGH
from scn_tf.suggest.case import Case, Decision

FINE_SIGMA, COARSE_SIGMA, SIGMA_3D = 2.0, 1.5, 1.7  # network pixels
FINE, COARSE = 300, 150  # network pixels across a shape
MANY_STEPS, COARSE_INPUT = 6000, 250


def image_size(case: Case) -> Decision:
    """Sides of the input."""
    found, facts = case.plan.layout, case.facts
    shape = found.shape
    across = f"{found.across:.0f} pixels across a shape, {found.pixel:.2g} {facts.unit} each"
    if case.plan.too_large:
        taken = memory.in_words(case.plan.bytes + memory.PROGRAM)
        reason = f"{across}; a larger network would not fit into {memory.in_words(case.machine.memory)}, this one takes {taken}"
    elif found.pixel <= 1.05 * min(facts.pixel):
        reason = f"{across}, as fine as the images"
    elif found.across >= 0.9 * FINE_ENOUGH:
        reason = f"{across}; finer ones bring little"
    else:
        reason = f"{across}; finer ones would see too few images in {case.limits.minutes:g} minutes"
    return Decision("model.image_size", shape.image_size, reason)


def spacing_mm(case: Case) -> Decision:
    """mm per pixel of the input; the reason is that of :func:`scn_tf.suggest.case.spacing`."""
    return Decision("model.spacing_mm", case.plan.layout.spacing_mm, case.spacing)


def filters(case: Case) -> Decision:
    """Channels."""
    ms, plan = 1000 * case.plan.image_seconds, case.plan
    return Decision(
        "model.filters",
        plan.layout.shape.filters,
        f"an image takes about {ms:.0f} ms, so the training sees about {_rounded(case.steps):,} images",
    )


def spatial_filters(case: Case) -> Decision:
    """Channels of the spatial part."""
    shape = case.plan.layout.shape
    return Decision("model.spatial_filters", shape.spatial_filters, "the spatial part has few cells, so more channels cost little")


def levels(case: Case) -> Decision:
    """Resolutions of the local part."""
    shape = case.plan.layout.shape
    return Decision("model.levels", shape.levels, f"the coarsest is {min(shape.image_size) // 2 ** (shape.levels - 1)} pixels wide")


def spatial_kernel(case: Case) -> Decision:
    """Kernel side of the spatial part."""
    return Decision("model.spatial_kernel", case.plan.layout.shape.spatial_kernel, f"usual in {case.facts.dims}D")


def spatial_pooling(case: Case) -> Decision:
    """Reduction of resolution in the spatial part."""
    shape = case.plan.layout.shape
    seen = min(1.0, (4 * (shape.spatial_kernel - 1) + 1) * shape.spatial_pooling / case.plan.layout.across)
    return Decision("model.spatial_pooling", shape.spatial_pooling, f"the spatial part then overlooks {seen:.0%} of a shape")


def dropout(case: Case) -> Decision:
    """Dropout rate."""
    plan = case.plan
    if case.facts.dims == 2 and plan.layout.across >= 0.6 * FINE and plan.epochs >= 50 and plan.layout.shape.filters >= 24:
        return Decision("model.dropout", 0.25, f"details of a fine input are learned by heart in {plan.epochs:.0f} epochs")
    return Decision("model.dropout", 0.0, "the network is too small, or the training too short, to learn images by heart")


def sigma(case: Case) -> Decision:
    """Width of the targets."""
    found, shapes = case.plan.layout, case.facts.shapes
    share = min(max((found.across - COARSE) / (FINE - COARSE), 0.0), 1.0)
    wide = SIGMA_3D if case.facts.dims == 3 else COARSE_SIGMA + share * (FINE_SIGMA - COARSE_SIGMA)
    apart = shapes.nearest * found.across
    least = min(wide, max(1.2, apart / 2), min(found.shape.image_size) / 4)
    if least < wide:
        return Decision("heatmap.sigma", round(least, 2), f"neighbouring landmarks are {apart:.1f} network pixels apart")
    return Decision("heatmap.sigma", round(wide, 1), f"a shape is {found.across:.0f} network pixels across")


def sigma_mode(case: Case) -> Decision:
    """Whether widths are learned."""
    return Decision("heatmap.sigma_mode", "fixed", "fixed widths were more accurate in the same time")


def gamma(case: Case) -> Decision:
    """Height of the targets."""
    if case.facts.dims == 3:
        return Decision("heatmap.gamma", 100.0, "lower targets than usual in 3D are learned faster")
    if case.plan.layout.across < COARSE_INPUT or case.steps < MANY_STEPS:
        return Decision("heatmap.gamma", 10.0, "low targets are learned faster by a coarse input or in a short training")
    return Decision("heatmap.gamma", 100.0, "usual for a fine input and a long training")


def _rounded(count: float) -> int:
    """A number of images, two digits of it."""
    return int(float(f"{count:.2g}"))


NETWORK = (image_size, spacing_mm, filters, spatial_filters, levels, spatial_kernel, spatial_pooling, dropout)
TARGETS = (sigma, sigma_mode, gamma)


def decided(case: Case) -> list[Decision]:
    """Decisions on the fields that the network has and that its row does not set."""
    name, shape = case.given.model.name, case.plan.layout.shape
    usable = {"image_size", "spacing_mm", *models.options(name)} - {*models.MODELS[name].defaults}
    if shape.spatial_filters == shape.filters:  # the default
        usable.discard("spatial_filters")
    targets = [rule for rule in TARGETS if rule is not gamma or case.given.train.loss == "l2"]  # measured with no other loss
    return [one for rule in NETWORK if (one := rule(case)).name.removeprefix("model.") in usable] + [rule(case) for rule in targets]
