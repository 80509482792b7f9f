"""The loss of the paper, as a sum of three terms (Payer et al. 2019, eq. 4).

``paper`` adds squares over all pixels and landmarks and divides by the batch alone, which
is why it needs learning rates of 1e-6. ``mean`` divides the first two terms by the number of
landmarks and by the energy of one target as well, so that predicting nothing costs about 1.
"""

import math

from keras import ops


def target_energy(sigma, gamma, dims):
    """Sum over all pixels of half a squared target: gamma^2 / (2 (4 pi)^(d/2) sigma^d)."""
    return 0.5 * gamma**2 / ((4.0 * math.pi) ** (dims / 2) * sigma**dims)


def heatmap_loss(predicted, target, visible):
    """0.5 * sum (h - g)^2 of the visible landmarks, mean over the batch.

    Args:
        predicted, target: (B, [D,] H, W, N).
        visible: (B, N), 1 where annotated and inside the input, else 0; a target must be finite
            even where it is absent.
    """
    space = tuple(range(1, len(predicted.shape) - 1))
    squares = ops.sum(ops.square(predicted - target), axis=space)  # (B, N)
    return 0.5 * ops.sum(visible * squares) / ops.cast(ops.shape(predicted)[0], "float32")


def sigma_loss(sigmas, visible, *, alpha):
    """alpha * 0.5 * sum sigma_i^2 of the visible landmarks, mean over the batch.

    Args:
        sigmas: (N,).
        visible: (B, N).
        alpha: weight of the term.
    """
    return alpha * 0.5 * ops.sum(ops.mean(visible, axis=0) * ops.square(sigmas))


def weight_decay(kernels, *, factor):
    """factor * 0.5 * sum w^2 over the convolution kernels."""
    return factor * 0.5 * sum(ops.sum(ops.square(ops.cast(kernel, "float32"))) for kernel in kernels)
