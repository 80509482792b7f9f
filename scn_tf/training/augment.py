"""Random changes of images *and* landmarks by the same draw, on the device, 2D and 3D.

``sample`` draws one set of parameters per image (:mod:`scn_tf.training.draws`); ``warp_images`` and ``moved`` apply that draw. Image
warping needs the source of each output pixel, points need their destination. Points therefore use the inverse: exact for the linear
part, by fixed-point iteration for the elastic field.

Coordinates are (x, y[, z]) in network pixels. Images are (B, [D,] H, W, C).
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from scn_tf import geometry
from scn_tf.config import AugmentConfig
from scn_tf.data.preprocess import BACKGROUND
from scn_tf.environment.backend import ops
from scn_tf.training.draws import Cover, Draw, sample
from scn_tf.types import Sizes, Tensor

INVERSE_STEPS = 12  # the error shrinks by the field's slope (< 0.9, typically 0.25) each step


def _spline_weights(positions: Tensor, count: int) -> Tensor:
    """Cubic B-spline weights of ``count`` control points: (...,) in [0, count - 1] -> (..., count).

    Control points beyond the ends repeat the last one, so the weights always sum to one.
    """
    index = ops.cast(ops.arange(-1, count + 1), "float32")
    distance = ops.abs(positions[..., None] - index)
    near = 2.0 / 3.0 - distance**2 + distance**3 / 2.0
    far = ops.maximum(2.0 - distance, 0.0) ** 3 / 6.0
    weights = ops.where(distance < 1.0, near, far)
    first = weights[..., :1] + weights[..., 1:2]
    last = weights[..., -2:-1] + weights[..., -1:]
    return ops.concatenate([first, weights[..., 2:-2], last], axis=-1)


def _elastic_at_points(draw: Draw, points: Tensor, shape: Sizes) -> Tensor:
    """Displacement (B, N, d) of the elastic field at points (B, N, d)."""
    dims = len(shape)
    count = draw.elastic.shape[1]
    weights = []
    for axis in range(dims):
        sides = max(shape[dims - 1 - axis] - 1, 1)
        # Outside the image the field goes on with its border value.
        position = ops.clip(points[..., axis] * ((count - 1) / sides), 0.0, count - 1.0)
        weights.append(_spline_weights(position, count))
    if dims == 2:
        return ops.einsum("bnx,bny,byxd->bnd", weights[0], weights[1], draw.elastic)
    return ops.einsum("bnx,bny,bnz,bzyxd->bnd", weights[0], weights[1], weights[2], draw.elastic)


def _elastic_on_grid(draw: Draw, shape: Sizes) -> Tensor:
    """Displacement (B, *shape, d) of the elastic field at every pixel."""
    count = draw.elastic.shape[1]
    weights = [_spline_weights(ops.cast(ops.arange(side), "float32") * ((count - 1) / max(side - 1, 1)), count) for side in shape]
    if len(shape) == 2:
        return ops.einsum("hy,wx,byxd->bhwd", weights[0], weights[1], draw.elastic)
    return ops.einsum("kz,hy,wx,bzyxd->bkhwd", weights[0], weights[1], weights[2], draw.elastic)


def _centre(shape: Sizes) -> Tensor:
    return ops.convert_to_tensor([(side - 1) / 2 for side in shape[::-1]], dtype="float32")


def source_coordinates(draw: Draw, shape: Sizes) -> Tensor:
    """Input coordinates (B, *shape, d), (x, y[, z]), of every output pixel."""
    axes = [ops.cast(ops.arange(side), "float32") for side in shape]
    grid = ops.stack(ops.meshgrid(*axes, indexing="ij")[::-1], axis=-1)  # (*shape, d)
    moved = grid[None] + _elastic_on_grid(draw, shape) - _centre(shape)
    flat = ops.reshape(moved, (-1, math.prod(shape), len(shape)))
    flat = ops.matmul(flat, ops.transpose(draw.linear, (0, 2, 1))) + (draw.translation + _centre(shape))[:, None]
    return ops.reshape(flat, (-1, *shape, len(shape)))


def transform_points(draw: Draw, points: Tensor, shape: Sizes) -> Tensor:
    """Map points of the input image to the augmented image: (B, N, d) -> (B, N, d)."""
    inverse = ops.linalg.inv(draw.linear)
    shifted = points - (draw.translation + _centre(shape))[:, None]
    target = ops.matmul(shifted, ops.transpose(inverse, (0, 2, 1))) + _centre(shape)  # = p + u(p)
    moved = target
    for _ in range(INVERSE_STEPS):
        moved = target - _elastic_at_points(draw, moved, shape)
    return moved


def warp_images(draw: Draw, images: Tensor) -> Tensor:
    """Apply the geometric part of a draw to images (B, [D,] H, W, C), by one linear interpolation. What is cut off is background."""
    coordinates = source_coordinates(draw, tuple(images.shape[1:-1]))
    warped = interpolate(images, coordinates)
    if draw.kept is None:
        return warped
    return ops.where(_is_kept(draw.kept, coordinates)[..., None], warped, BACKGROUND)


def _is_kept(kept: Tensor, points: Tensor) -> Tensor:
    """Whether input points (B, ..., d) lie in what is left of their image."""
    low, high = (ops.reshape(kept[:, end], (-1, *[1] * (len(points.shape) - 2), points.shape[-1])) for end in (0, 1))
    return ops.all(ops.logical_and(points >= low, points <= high), axis=-1)


def interpolate(images: Tensor, coordinates: Tensor) -> Tensor:
    """Bilinear or trilinear values of images at coordinates; background outside.

    Values equal those of ``keras.ops.image.map_coordinates``, which takes one channel of one image at a time. This is 1.6 (2D) to
    2.7 (3D) times as fast (``benchmarks/interpolation.py``).

    Args:
        images: (B, [D,] H, W, C).
        coordinates: (B, *out, d), (x, y[, z]) pixels.

    Returns:
        (B, *out, C).
    """
    *shape, channels = images.shape[1:]
    dims, pixels = len(shape), math.prod(shape)
    out = coordinates.shape[1:-1]
    batch = ops.shape(coordinates)[0]
    flat_images = ops.reshape(images, (-1, channels)) - BACKGROUND
    start = ops.reshape(ops.arange(batch, dtype="int32") * pixels, (-1, *[1] * len(out)))
    lower = ops.floor(coordinates)
    fraction = coordinates - lower
    lower = ops.cast(lower, "int32")
    result: Any = 0.0  # then (B, *out, C)
    for corner in range(2**dims):
        index, stride = start, 1
        weight: Any = 1.0  # then (B, *out)
        for axis in range(dims):
            side = shape[dims - 1 - axis]
            upper = (corner >> axis) & 1
            position = lower[..., axis] + upper
            within = ops.cast(ops.logical_and(position >= 0, position < side), "float32")
            part = fraction[..., axis] if upper else 1.0 - fraction[..., axis]
            weight = weight * part * within
            index = index + stride * ops.clip(position, 0, side - 1)
            stride *= side
        values = ops.take(flat_images, ops.reshape(index, (-1,)), axis=0)
        result = result + weight[..., None] * ops.reshape(values, (-1, *out, channels))
    return result + BACKGROUND


def change_intensities(draw: Draw, images: Tensor, *, seed: tf.Tensor | Sequence[int], config: AugmentConfig) -> Tensor:
    """Apply the photometric part of a draw: covers, blur, gain, offset, noise. Optional changes are applied only if configured."""
    if draw.cover is not None:
        images = _covered(draw.cover, images)
    shape = (-1, *[1] * (len(images.shape) - 1))
    if config.blur > 0:
        images = gaussian_blur(images, draw.blur, radius=math.ceil(3 * config.blur))
    images = images * ops.reshape(draw.gain, shape) + ops.reshape(draw.offset, shape)
    if config.noise > 0:
        noise = tf.random.stateless_normal(tf.shape(images), seed)
        images = images + ops.reshape(draw.noise, shape) * noise
    return images


def _covered(cover: Cover, images: Tensor) -> Tensor:
    """Images (B, [D,] H, W, C) with the pieces that cover a part of them."""
    *shape, _ = images.shape[1:]
    dims = len(shape)
    reach: Any = 0.0  # then (B, *shape)
    for axis, side in enumerate(shape):
        own = dims - 1 - axis
        offset = ops.cast(ops.arange(side), "float32")[None] - cover.centre[:, own, None]
        along = ops.abs(offset / ops.maximum(cover.axes[:, own, None], 1e-6)) ** cover.power[:, None]
        reach = reach + ops.reshape(ops.minimum(along, 1.0), (-1, *(side if a == axis else 1 for a in range(dims))))
    level = ops.reshape(cover.level, (-1, *[1] * (dims + 1)))
    return ops.where((reach < 1.0)[..., None], level, images)


def gaussian_blur(images: Tensor, sigmas: Tensor, *, radius: int) -> Tensor:
    """Separable Gaussian blur with one sigma per image; borders are mirrored without repeating the edge.

    Args:
        images: (B, [D,] H, W, C).
        sigmas: (B,) pixels; 0 leaves an image as it is.
        radius: taps on each side.
    """
    dims = len(images.shape) - 2
    taps = ops.cast(ops.arange(-radius, radius + 1), "float32")
    kernel = ops.exp(-0.5 * ops.square(taps / ops.maximum(sigmas, 1e-3)[:, None]))
    kernel = kernel / ops.sum(kernel, axis=1, keepdims=True)  # (B, 2 radius + 1)
    for axis in range(1, dims + 1):
        padding = [[radius, radius] if a == axis else [0, 0] for a in range(dims + 2)]
        padded = ops.pad(images, padding, mode="reflect")
        side = images.shape[axis]
        images = sum(
            ops.reshape(kernel[:, tap], (-1, *[1] * (dims + 1))) * ops.take(padded, range(tap, tap + side), axis=axis)
            for tap in range(2 * radius + 1)
        )
    return images


def exchange_sides(draw: Draw, values: Tensor, exchange: Sequence[int]) -> Tensor:
    """Exchange left and right in values (B, N, ...) of landmarks of mirrored images.

    Args:
        draw: of the batch.
        values: of the landmarks of the original images.
        exchange: (N,) number of each landmark's counterpart, its own number if it has none.
    """
    mirrored = ops.reshape(draw.mirrored, (-1, *[1] * (len(values.shape) - 1)))
    return ops.where(mirrored, ops.take(values, list(exchange), axis=1), values)


class Truth(NamedTuple):
    """Truth of a batch of images.

    Attributes:
        landmarks: (B, N, d) network pixels; any finite number where not visible.
        visible: (B, N), 1 if the landmark has a point that lies in the image, else 0.
        absent: (B, N), 1 if the landmark is known not to be in the image, else 0. Landmarks that are neither are not annotated.
    """

    landmarks: Tensor
    visible: Tensor
    absent: Tensor


def moved(draw: Draw, truth: Truth, shape: Sizes, *, exchange: Sequence[int] | None = None) -> Truth:
    """Truth of the images after the geometric part of a draw. Visible landmarks that are cut off or leave the input become absent.

    Args:
        draw: of the batch.
        truth: of the images before.
        shape: ([D,] H, W).
        exchange: see :func:`augment`.
    """
    landmarks = transform_points(draw, truth.landmarks, shape)
    inside = geometry.inside(landmarks, shape)
    if draw.kept is not None:
        inside = ops.logical_and(inside, _is_kept(draw.kept, truth.landmarks))
    seen = truth.visible * ops.cast(inside, truth.visible.dtype)
    found = Truth(landmarks, seen, truth.absent + truth.visible - seen)
    return found if exchange is None else Truth(*(exchange_sides(draw, values, exchange) for values in found))


def augment(
    config: AugmentConfig,
    images: Tensor,
    truth: Truth,
    *,
    seed: tf.Tensor | Sequence[int],
    exchange: Sequence[int] | None = None,
    extent: tf.Tensor | None = None,
    zoom: bool = True,
) -> tuple[Tensor, Truth]:
    """Draw once and apply the draw to images and landmarks.

    Args:
        config: :class:`scn_tf.config.AugmentConfig`.
        images: (B, [D,] H, W, C).
        truth: of the images.
        seed: (2,) integers, different for every step and replica.
        exchange: (N,) number of each landmark's counterpart on the other side, which it becomes in a mirrored image. Landmarks
            without one have their own number. None: no landmark changes.
        extent, zoom: see :func:`sample`.

    Returns:
        (images, truth). Visible landmarks that are cut off or lie outside the augmented image are absent.
    """
    shape = tuple(images.shape[1:-1])
    seeds = tf.unstack(tf.random.split(seed, 2))
    draw = sample(config, tf.shape(images)[0], shape, seed=seeds[0], extent=extent, zoom=zoom)
    images = change_intensities(draw, warp_images(draw, images), seed=seeds[1], config=config)
    return images, moved(draw, truth, shape, exchange=exchange if config.mirror > 0 else None)
