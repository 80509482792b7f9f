"""Decisions on time, batches, validations and the machine."""

from scn_tf.suggest import memory
from scn_tf.suggest.accuracy import useful_epochs
from scn_tf.suggest.case import MINUTES, Case, Decision

SPARE = 1.25  # epochs over those expected: the clock ends the training, also on a machine that is faster than expected
VALIDATIONS, VALIDATION_SHARE, FORWARD = 15, 0.05, 0.4  # in a training; their share of the time; time of a forward pass, in steps
MANY_STEPS = 5000


def minutes(case: Case) -> Decision:
    """Wall-clock limit."""
    return Decision("train.minutes", MINUTES, "the default; the training ends earlier if its epochs take less")


def epochs(case: Case) -> Decision:
    """Passes over the images: as many as are useful, or somewhat more than fit into the time."""
    useful, fitting = useful_epochs(case.limits.images), case.plan.fitting
    if fitting >= useful:
        return Decision("train.epochs", useful, f"more bring nothing with {_images(case)}, and about {_number(fitting)} fit into the time")
    some = max(1, min(useful, round(SPARE * fitting)))
    return Decision("train.epochs", some, f"about {_number(fitting)} fit into the time, which ends the training")


def batch_size(case: Case) -> Decision:
    """Images per step."""
    if case.limits.batch_size == 1:
        return Decision("train.batch_size", 1, "single images teach most for each image seen")
    return Decision("train.batch_size", case.limits.batch_size, "the GPU sees enough images in the time only with batches")


def validate_every(case: Case) -> Decision:
    """Epochs between validations: often enough to find the best epoch, and no more than 5 % of the time."""
    often = case.plan.epochs / VALIDATIONS
    dear = FORWARD * case.facts.validation / (VALIDATION_SHARE * case.limits.images)
    every = max(1, round(max(often, dear)))
    reason = f"about {VALIDATIONS} validations in the training" if often >= dear else "validations take at most 5 % of the time"
    return Decision("train.validate_every", every, reason)


def ema(case: Case) -> Decision:
    """Averaging of weights."""
    if case.steps >= MANY_STEPS:
        return Decision("train.ema", 0.998, "averaged weights are steadier in a long training")
    return Decision("train.ema", 0.0, "the training is too short to average weights")


def precision(case: Case) -> Decision:
    """Precision, which is left to the machine that trains."""
    return Decision("train.precision", "auto", f"this machine computes in {case.machine.precision.removeprefix('mixed_')}")


def cache(case: Case) -> Decision:
    """Where prepared images are kept."""
    size = memory.of_cache(case.plan.layout.shape, channels=case.facts.channels, images=case.facts.training + case.facts.validation)
    words, free = memory.in_words(size), memory.in_words(case.machine.memory)
    if case.given.data.service is not None:
        return Decision("data.cache", "disk", "data.service reads prepared images from there")
    if size <= memory.CACHE_SHARE * case.machine.memory:
        return Decision("data.cache", "memory", f"all prepared images take {words} of {free}")
    return Decision("data.cache", "disk", f"all prepared images would take {words} of {free}, so they are kept on disk")


def workers(case: Case) -> Decision:
    """Images decoded in parallel."""
    return Decision("data.workers", max(1, min(8, case.machine.cores)), "one for each core, at most 8")


def _images(case: Case) -> str:
    count = case.limits.images
    return f"{count} training image{'s' if count > 1 else ''}"


def _number(count: float) -> str:
    """A number of epochs in words: whole above 3, else one digit behind the point."""
    return f"{count:.0f}" if count >= 3 else f"{count:.1f}"


RULES = (minutes, epochs, batch_size, validate_every, ema, precision, cache, workers)


def decided(case: Case) -> list[Decision]:
    """All of them. Epochs that the user gave have no time limit beside them."""
    without = {minutes} if "train.epochs" in case.named else set()
    return [rule(case) for rule in RULES if rule not in without]
