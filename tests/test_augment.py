from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from scn_tf import geometry
from scn_tf.config import AugmentConfig
from scn_tf.data.preprocess import BACKGROUND
from scn_tf.training import augment, draws
from tests.conftest import EXACT

STRONG = AugmentConfig(translation=0.06, rotation=0.3, scale=0.15, axis_scale=0.15, elastic=0.04)
HALF = AugmentConfig(**{**STRONG.model_dump(), "mirror": 0.5})
NONE = AugmentConfig(translation=0, rotation=0, scale=0, axis_scale=0, elastic=0, intensity_shift=0, intensity_scale=0)


def blobs(points, size, sigma=2.0):
    grid = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij")[::-1], axis=-1)
    images = [np.exp(-np.sum((grid - p) ** 2, axis=-1) / (2 * sigma**2)) for p in points]
    return tf.constant(np.stack(images)[..., None] + BACKGROUND, tf.float32)


@pytest.mark.parametrize("config", [STRONG, HALF], ids=["moved", "half of them mirrored"])
@pytest.mark.parametrize(
    ("size", "points"), [((64, 48), [[20.0, 40.0], [30.0, 25.0], [24.0, 32.0]]), ((28, 40, 32), [[15.0, 22.0, 12.0], [18.0, 17.0, 15.0]])]
)
def test_a_dot_and_its_point_move_together(size, points, config):
    images = blobs(points, size)
    for step in range(4):
        draw = draws.sample(config, len(points), size, seed=[3, step])
        moved = augment.transform_points(draw, tf.constant(points, tf.float32)[:, None], size)[:, 0].numpy()
        weights = augment.warp_images(draw, images).numpy()[..., 0] - BACKGROUND
        grid = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij")[::-1], axis=-1)
        found = (weights[..., None] * grid).reshape(len(points), -1, len(size)).sum(1) / weights.reshape(len(points), -1).sum(1)[:, None]
        assert np.abs(moved - points).max() > 1  # it did move
        np.testing.assert_allclose(found, moved, atol=0.25)


@pytest.mark.parametrize("config", [STRONG, HALF], ids=["moved", "half of them mirrored"])
@pytest.mark.parametrize("size", [(40, 60), (20, 30, 24)])
def test_points_are_the_inverse_of_the_source_coordinates(size, config, rng):
    draw = draws.sample(config, 2, size, seed=[1, 2])
    source = augment.source_coordinates(draw, size).numpy()
    pixels = rng.integers(0, np.array(size), (2, 9, len(size)))
    origin = np.stack([source[b][tuple(pixels[b].T)] for b in range(2)])
    back = augment.transform_points(draw, tf.constant(origin), size).numpy()
    np.testing.assert_allclose(back, pixels[..., ::-1], atol=1e-2)


def test_no_change_changes_nothing(rng):
    images = tf.constant(rng.normal(size=(2, 12, 17, 3)), tf.float32)
    points = tf.constant(rng.uniform(0, 11, (2, 4, 2)), tf.float32)
    absent = tf.constant([[0, 1, 0, 0], [0, 0, 0, 0]], tf.float32)
    same_images, truth = augment.augment(NONE, images, augment.Truth(points, 1 - absent, absent), seed=[0, 0])
    np.testing.assert_allclose(same_images, images, atol=EXACT)
    np.testing.assert_allclose(truth.landmarks, points, atol=EXACT)
    np.testing.assert_array_equal(truth.visible, 1 - absent)
    np.testing.assert_array_equal(truth.absent, absent)


def test_draws_differ_by_sample_and_seed_and_repeat_by_seed():
    first, again, other = (draws.sample(STRONG, 3, (16, 24), seed=s) for s in ([1, 5], [1, 5], [1, 6]))
    np.testing.assert_array_equal(first.elastic, again.elastic)
    for name in ("linear", "translation", "elastic", "gain"):
        values = np.asarray(getattr(first, name)).reshape(3, -1)
        assert np.abs(values[0] - values[1]).max() > 1e-3, name
        assert np.abs(values - np.asarray(getattr(other, name)).reshape(3, -1)).max() > 1e-3, name


def test_a_rotation_turns_image_and_points_by_the_same_angle_in_3d():
    draw = draws.sample(AugmentConfig(**{**NONE.model_dump(), "rotation": 0.5}), 4, (8, 9, 10), seed=[0, 1])
    product = tf.matmul(draw.linear, draw.linear, transpose_b=True).numpy()
    np.testing.assert_allclose(product, np.tile(np.eye(3), (4, 1, 1)), atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(draw.linear), 1, atol=1e-5)


def test_landmarks_that_leave_the_image_are_absent_and_unknown_ones_stay_unknown():
    config = AugmentConfig(**{**NONE.model_dump(), "translation": 0.4})
    images, points = tf.zeros((8, 20, 30, 1)), tf.tile(tf.constant([[[1.0, 1.0], [15.0, 10.0], [1.0, 1.0], [15.0, 10.0]]]), (8, 1, 1))
    visible, absent = (tf.tile(tf.constant([row], tf.float32), (8, 1)) for row in ([1, 1, 0, 0], [0, 0, 0, 1]))
    _, truth = augment.augment(config, images, augment.Truth(points, visible, absent), seed=[4, 2])
    inside = ((truth.landmarks >= -0.5) & (truth.landmarks <= tf.constant([29.5, 19.5]))).numpy().all(-1)
    np.testing.assert_array_equal(truth.visible, inside * visible.numpy())
    np.testing.assert_array_equal(truth.absent, np.column_stack([~inside[:, :2], np.zeros(8), np.ones(8)]))
    assert 0 < inside[:, 0].sum() < 8


def test_outside_the_image_is_background():
    coordinates = tf.constant([[[-5.0, 2.0], [1.0, 40.0], [1.0, 2.0]]])
    values = augment.interpolate(tf.ones((1, 6, 9, 1)), coordinates)
    np.testing.assert_allclose(values[0, :, 0], [BACKGROUND, BACKGROUND, 1.0])


def test_intensity_noise_and_blur_change_pixels_only(rng):
    config = AugmentConfig(**{**NONE.model_dump(), "noise": 0.2, "blur": 1.5, "intensity_shift": 0.3, "intensity_scale": 0.3})
    images = tf.constant(rng.normal(size=(3, 16, 20, 1)), tf.float32)
    points = tf.constant(rng.uniform(2, 14, (3, 4, 2)), tf.float32)
    changed, truth = augment.augment(config, images, all_visible(points), seed=[9, 9])
    np.testing.assert_allclose(truth.landmarks, points, atol=EXACT)
    assert np.abs(changed - images).mean() > 0.05


def all_visible(points):
    return augment.Truth(points, tf.ones(points.shape[:2]), tf.zeros(points.shape[:2]))


MIRROR = AugmentConfig(**{**NONE.model_dump(), "mirror": 1.0})


def mirrored(images, points, visible, exchange, mode):
    """Image, landmarks and visible ones. The others of them are absent."""

    def apply():
        truth = augment.Truth(*map(tf.constant, (points, visible, 1 - visible)))
        return augment.augment(MIRROR, tf.constant(images), truth, seed=[5, 6], exchange=exchange)

    image, truth = tf.function(apply)() if mode == "graph" else apply()
    np.testing.assert_array_equal(truth.absent, 1 - truth.visible)
    return image.numpy(), truth.landmarks.numpy(), truth.visible.numpy()


@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_a_mirrored_image_has_x_from_the_right_and_left_and_right_exchanged(mode):
    images = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], "float32").reshape(1, 2, 4, 1)
    points = np.array([[[0, 1], [2.5, 0], [1, 0.25]]], "float32")  # left, right, middle
    image, moved, visible = mirrored(images, points, np.array([[1, 0, 1]], "float32"), (1, 0, 2), mode)
    np.testing.assert_array_equal(image[0, :, :, 0], [[4, 3, 2, 1], [8, 7, 6, 5]])
    np.testing.assert_allclose(moved, [[[0.5, 0], [3, 1], [2, 0.25]]], atol=1e-6)
    np.testing.assert_array_equal(visible, [[0, 1, 1]])
    _, kept, visible = mirrored(images, points, np.array([[1, 0, 1]], "float32"), None, mode)
    np.testing.assert_allclose(kept, [[[3, 1], [0.5, 0], [2, 0.25]]], atol=1e-6)
    np.testing.assert_array_equal(visible, [[1, 0, 1]])


@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_a_mirrored_volume_keeps_y_and_z(mode):
    images = np.arange(2 * 3 * 4, dtype="float32").reshape(1, 2, 3, 4, 1)
    points = np.array([[[0, 1, 0.5], [3, 2, 1]]], "float32")
    image, moved, visible = mirrored(images, points, np.array([[0, 1]], "float32"), (1, 0), mode)
    np.testing.assert_array_equal(image[0, 1, 2, :, 0], [23, 22, 21, 20])
    np.testing.assert_array_equal(image[0, 0, 0, :, 0], [3, 2, 1, 0])
    np.testing.assert_allclose(moved, [[[0, 2, 1], [3, 1, 0.5]]], atol=1e-6)
    np.testing.assert_array_equal(visible, [[1, 0]])


def test_each_image_of_a_batch_is_mirrored_or_not_by_itself_and_keeps_its_other_draws():
    points = np.tile(np.array([[[2, 3], [12, 5]]], "float32"), (200, 1, 1))
    size = (10, 16)
    draw, plain = (draws.sample(config, 200, size, seed=[1, 2]) for config in (HALF, STRONG))
    side = draw.mirrored.numpy()
    assert 70 < side.sum() < 130
    assert not plain.mirrored.numpy().any()
    for name in ("elastic", "gain", "offset", "noise", "blur"):
        np.testing.assert_array_equal(getattr(draw, name), getattr(plain, name))
    np.testing.assert_array_equal(draw.linear.numpy()[~side], plain.linear.numpy()[~side])
    np.testing.assert_array_equal(np.linalg.det(draw.linear) < 0, side)
    # The mirrored image is moved as one that was stored so.
    moved = augment.transform_points(draw, tf.constant(points), size).numpy()
    stored = np.where(side[:, None, None], [15, 0] + points * [-1, 1], points).astype("float32")
    np.testing.assert_allclose(moved, augment.transform_points(plain, tf.constant(stored), size), atol=1e-4)
    exchanged = augment.exchange_sides(draw, tf.constant(points), (1, 0)).numpy()
    np.testing.assert_array_equal(exchanged, np.where(side[:, None, None], points[:, ::-1], points))


def test_draws_without_mirroring_are_those_of_versions_that_had_none():
    draw = draws.sample(AugmentConfig(**{**STRONG.model_dump(), "noise": 0.1, "blur": 1.0}), 2, (16, 24), seed=[3, 1])
    assert draw.kept is draw.cover is None
    np.testing.assert_allclose(draw.linear[1], [[0.8673133, 0.27437657], [-0.21229292, 1.1209533]], rtol=1e-6)
    np.testing.assert_allclose(draw.translation, [[-0.73853564, -0.14409256], [1.0441293, 0.4365841]], rtol=1e-6)
    np.testing.assert_allclose(draw.elastic[1, 4, 4], [-0.29847428, -0.17939651], rtol=1e-6)
    for name, values in {
        "gain": [1.0477972, 1.1570902],
        "offset": [-0.24321663, 0.06669456],
        "noise": [0.078721695, 0.0037534],
        "blur": [0.87964034, 0.005375147],
    }.items():
        np.testing.assert_allclose(getattr(draw, name), values, rtol=1e-6)


CROP = AugmentConfig(**{**NONE.model_dump(), "crop": 1.0})
SIZES = pytest.mark.parametrize(("size", "extent"), [((40, 64), (30, 64)), ((20, 30, 24), (24, 18, 20))])


@SIZES
def test_a_cropped_image_is_prepared_like_a_file_that_was_cropped(size, extent, rng):
    """Extents are smaller than the input along one axis or two: there it is padded."""
    sides, extents = np.array(size[::-1]), np.tile(np.array(extent[::-1] if len(size) == 2 else extent, "float32"), (60, 1))
    points = rng.uniform(0, sides - 1, (60, 5, len(size))).astype("float32")
    for zoom in (True, False):
        draw = draws.sample(CROP, 60, size, seed=[1, 2], extent=tf.constant(extents), zoom=zoom)
        low, high = draw.kept[:, 0].numpy(), draw.kept[:, 1].numpy()
        moved = augment.transform_points(draw, tf.constant(points), size).numpy()
        for number in range(60):
            fit = geometry.fit_to_input(high[number] - low[number], np.ones(len(size)), sides, spacing=None if zoom else 1.0)
            cropped = points[number] - low[number] - 0.5  # in pixels of the file
            np.testing.assert_allclose(moved[number], geometry.apply(fit.input_from_array, cropped), atol=1e-3)
    left = (high - low) / extents
    whole = (sides - 1) / 2 - extents / 2, (sides - 1) / 2 + extents / 2
    assert ((left < 0.91).any(axis=1) & (left > 0.49).all(axis=1)).all()
    ends = np.stack([np.abs(low - whole[0]) > 1e-3, np.abs(high - whole[1]) > 1e-3])  # cut at the lower and the upper end
    assert not ends.all(axis=0).any()
    assert ends.any(axis=1).all()
    assert 0 < (ends.any(axis=0).sum(axis=1) == 1).mean() < 1  # a side, or a corner


@SIZES
def test_what_is_cut_off_is_background_and_landmarks_there_are_absent(size, extent, rng):
    config = AugmentConfig(**{**STRONG.model_dump(), "crop": 0.5, "mirror": 0.5, "intensity_shift": 0, "intensity_scale": 0})
    points = tf.constant(rng.uniform(1, np.array(size[::-1]) - 2, (40, 6, len(size))), tf.float32)
    draw = draws.sample(config, 40, size, seed=[7, 1])
    truth = augment.moved(draw, all_visible(points), size)
    kept = ((points >= draw.kept[:, :1]) & (points <= draw.kept[:, 1:])).numpy().all(-1)
    inside = geometry.inside(truth.landmarks, size).numpy()
    np.testing.assert_array_equal(truth.visible, kept & inside)
    np.testing.assert_array_equal(truth.absent, ~(kept & inside))
    assert (~kept & inside).any()  # such as where a side is cut off, and the input padded
    whole = draw.kept[:, 0].numpy().max(axis=1) < -1000
    assert 8 < whole.sum() < 32
    assert kept[whole].all()
    # Where the warped image is bright, what it shows comes from the part that is left, and the other way.
    images = augment.warp_images(draw, tf.ones((40, *size, 1))).numpy()[..., 0]
    source = augment.source_coordinates(draw, size).numpy()
    low, high = (draw.kept[:, end].numpy().reshape(-1, *[1] * len(size), len(size)) for end in (0, 1))
    left = ((source >= low) & (source <= high)).all(-1)
    np.testing.assert_array_equal(images[~left], BACKGROUND)
    well_inside = left & ((source >= 0) & (source <= np.array(size[::-1]) - 1)).all(-1)
    np.testing.assert_allclose(images[well_inside], 1.0, atol=1e-5)


def test_crops_and_covers_leave_the_other_draws_as_they_are():
    both = AugmentConfig(**{**HALF.model_dump(), "crop": 0.5, "cover": 0.5})
    draw, plain = (draws.sample(config, 50, (10, 16), seed=[1, 2]) for config in (both, HALF))
    for name in ("elastic", "gain", "offset", "noise", "blur", "mirrored"):
        np.testing.assert_array_equal(getattr(draw, name), getattr(plain, name))
    whole = draw.kept[:, 0, 0].numpy() < -1000
    np.testing.assert_allclose(draw.linear.numpy()[whole], plain.linear.numpy()[whole])
    assert not np.allclose(draw.linear.numpy()[~whole], plain.linear.numpy()[~whole])


@pytest.mark.parametrize("size", [(60, 90), (24, 30, 40)])
def test_a_covered_part_is_bright_and_its_landmarks_stay(size, rng):
    config = AugmentConfig(**{**NONE.model_dump(), "cover": 0.5})
    images = tf.constant(rng.uniform(-1, 0.5, (40, *size, 2)), tf.float32)
    points = tf.constant(rng.uniform(0, np.array(size[::-1]) - 1, (40, 3, len(size))), tf.float32)
    changed, truth = augment.augment(config, images, all_visible(points), seed=[3, 4])
    np.testing.assert_allclose(truth.landmarks, points, atol=EXACT)
    np.testing.assert_array_equal(truth.absent, 0)
    bright = changed.numpy() > 0.9
    np.testing.assert_array_equal(bright[..., 0], bright[..., 1])
    np.testing.assert_allclose(changed.numpy()[~bright], images.numpy()[~bright], atol=EXACT)
    shares = bright[..., 0].reshape(40, -1).mean(axis=1)
    assert 8 < (shares > 0).sum() < 32
    assert shares.max() < 0.3**2
    for number in np.flatnonzero(shares):
        assert np.ptp(changed.numpy()[number][bright[number]]) == 0


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parent / "golden" / "addons.npz", allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def test_warps_agree_with_tensorflow_addons_inside_the_image(golden):
    height, width = golden["images"].shape[1:3]
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height), indexing="xy"), axis=-1)
    source = (grid - golden["flow"][..., ::-1]).astype("float32")
    ours = augment.interpolate(tf.constant(golden["images"]), tf.constant(source)).numpy()
    inside = ((source >= 0) & (source <= [width - 1, height - 1])).all(-1)
    assert inside.mean() > 0.7
    np.testing.assert_allclose(ours[inside], golden["warped"][inside], atol=1e-4)


def test_blurs_agree_with_tensorflow_addons(golden):
    ours = augment.gaussian_blur(tf.constant(golden["images"]), tf.constant(golden["sigmas"]), radius=5)
    np.testing.assert_allclose(ours, golden["blurred"], atol=1e-4)
