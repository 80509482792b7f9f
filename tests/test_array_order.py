"""Order of an array's axes: volumes by their direction, and what cannot be an image of the model's kind."""

import itertools

import numpy as np
import pytest
import SimpleITK as sitk
import tensorflow as tf

import scn_tf
from scn_tf import geometry
from scn_tf.data import arrays, images
from scn_tf.errors import ImageError
from scn_tf.export import orientation
from scn_tf.serving import servable
from tests.conftest import EXACT, SUBPIXEL
from tests.serving_client import ask, running

SPACING = (1.0, 1.5, 2.25)
ALONG_AXES = [
    np.eye(3)[list(order)] * signs for order in itertools.permutations(range(3)) for signs in itertools.product((1.0, -1.0), repeat=3)
]


def oblique(seed):
    """A rotation anywhere, of some a reflection."""
    matrix = geometry.rotations(np.random.default_rng(seed).uniform(-3, 3, (1, 3)).astype("float32"), 3)[0].numpy().astype(float)
    matrix, _ = np.linalg.qr(matrix)
    return matrix * (1, 1, -1) if seed % 2 else matrix


DIRECTIONS = [*ALONG_AXES, *map(oblique, range(30))]


@pytest.fixture(scope="module")
def volume(hands_3d):
    return sitk.ReadImage(str(sorted((hands_3d / "images").iterdir())[3]))


@pytest.fixture(scope="module")
def module(saved_3d):
    folder = saved_3d
    return folder, tf.saved_model.load(str(folder)).signatures


@pytest.fixture(scope="module")
def predictors(run_2d, run_3d):
    return {2: scn_tf.load(run_2d), 3: scn_tf.load(run_3d)}


def itk_image(array, direction):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING)
    image.SetOrigin((5.0, -7.0, 30.0))
    image.SetDirection(np.ravel(direction).tolist())
    return image


@pytest.mark.parametrize("number", range(len(DIRECTIONS)))
def test_an_array_is_turned_as_a_file_with_the_same_header_is(number, rng):
    direction, array = DIRECTIONS[number], rng.normal(size=(4, 5, 7)).astype("float32")
    stored = itk_image(array, direction)
    oriented = sitk.DICOMOrient(stored, "LPS")
    frames = [geometry.physical_from_index(one.GetOrigin(), one.GetSpacing(), one.GetDirection()) for one in (stored, oriented)]
    wanted = images.Image(
        array=sitk.GetArrayFromImage(oriented)[..., np.newaxis],
        spacing=np.array(oriented.GetSpacing()),
        physical_from_array=frames[1],
        file_from_array=np.linalg.inv(frames[0]) @ frames[1],
    )
    found = images.from_array(array, dims=3, spacing=SPACING, direction=direction, origin=(5.0, -7.0, 30.0))
    np.testing.assert_array_equal(found.array, wanted.array)
    np.testing.assert_allclose(found.spacing, wanted.spacing)
    np.testing.assert_allclose(found.file_from_array, wanted.file_from_array, atol=1e-9)
    np.testing.assert_allclose(found.physical_from_array, wanted.physical_from_array, atol=1e-9)
    # The exported graph's way to the same.
    axes = orientation.nearest_axes(orientation.checked(tf.constant(direction.reshape(1, 9), tf.float32)))
    np.testing.assert_array_equal(orientation.turned(tf.constant(array[..., np.newaxis]), axes[0]), wanted.array)
    points = rng.uniform(0, 5, (1, 6, 3)).astype("float32")
    back = orientation.turned_back(tf.constant(points), axes, tf.constant([7.0, 5.0, 4.0]))
    np.testing.assert_allclose(back[0], geometry.apply(wanted.file_from_array, points[0]), atol=1e-5)


@pytest.mark.parametrize("number", [0, 9, 22, 37, 47, 50])
def test_a_volume_in_any_order_answers_the_same_places(number, volume, run_3d, module):
    predictor = scn_tf.load(run_3d)
    wanted = predictor.predict(sitk.GetArrayFromImage(volume), spacing=volume.GetSpacing()).landmarks
    if number < len(ALONG_AXES):
        matrix = ALONG_AXES[number]
        order = [int(axis) for axis in np.abs(matrix).argmax(axis=0)]
        turned = sitk.Flip(sitk.PermuteAxes(volume, order), [bool(flip) for flip in matrix.sum(axis=0) < 0])
        places = np.array(
            [
                turned.TransformPhysicalPointToContinuousIndex(volume.TransformContinuousIndexToPhysicalPoint(point))
                for point in wanted.tolist()
            ]
        )
    else:  # oblique: the same voxels under another header
        turned, places = sitk.Image(volume), None
        turned.SetDirection(DIRECTIONS[number].ravel().tolist())
    array, direction = sitk.GetArrayFromImage(turned), turned.GetDirection()
    found = predictor.predict(array, spacing=turned.GetSpacing(), direction=direction)
    if places is not None:
        np.testing.assert_allclose(found.landmarks, places, atol=10 * EXACT)
    inputs = {"volume": array[np.newaxis, ..., np.newaxis].astype("float32"), "spacing": [turned.GetSpacing()], "direction": [direction]}
    result = module[1]["serve_volume_oriented"](**{name: tf.constant(value, tf.float32) for name, value in inputs.items()})
    np.testing.assert_allclose(result["landmarks"][0], found.landmarks, atol=SUBPIXEL)
    np.testing.assert_allclose(result["scores"][0], found.scores, rtol=1e-3, atol=1e-6)


def test_volumes_of_one_request_may_have_different_directions(volume, module):
    array = sitk.GetArrayFromImage(volume)[np.newaxis, ..., np.newaxis].astype("float32")
    directions = [DIRECTIONS[number].ravel() for number in (0, 22, 9)]
    call = module[1]["serve_volume_oriented"]
    spacing = [[1.0, 2.0, 1.5], [2.0, 1.0, 1.0], [1.0, 1.0, 3.0]]
    together = call(volume=tf.repeat(array, 3, axis=0), spacing=tf.constant(spacing), direction=tf.constant(directions, tf.float32))
    for number in range(3):
        alone = call(
            volume=tf.constant(array),
            spacing=tf.constant(spacing[number : number + 1]),
            direction=tf.constant(directions[number : number + 1], tf.float32),
        )
        np.testing.assert_allclose(together["landmarks"][number], alone["landmarks"][0], atol=10 * EXACT)
    plain = module[1]["serve_volume"](volume=tf.constant(array), spacing=tf.constant(spacing[:1]))
    np.testing.assert_allclose(together["landmarks"][0], plain["landmarks"][0], atol=10 * EXACT)


def test_a_file_and_an_array_with_its_frame_are_at_the_same_places(volume, run_3d, tmp_path):
    turned = sitk.DICOMOrient(volume, "RSA")
    sitk.WriteImage(turned, str(tmp_path / "turned.nii.gz"))
    stored = sitk.ReadImage(str(tmp_path / "turned.nii.gz"))
    predictor = scn_tf.load(run_3d)
    header = {"spacing": stored.GetSpacing(), "direction": np.reshape(stored.GetDirection(), (3, 3)), "origin": stored.GetOrigin()}
    of_array = predictor.predict(sitk.GetArrayFromImage(stored), **header)
    of_file = predictor.predict(tmp_path / "turned.nii.gz")
    assert of_array.coordinates == "pixel"
    mm = [stored.TransformContinuousIndexToPhysicalPoint(point) for point in of_array.landmarks.tolist()]
    np.testing.assert_allclose(mm, of_file.landmarks, atol=1e-2)
    np.testing.assert_allclose(geometry.apply(of_array.image.physical_from_array, of_array.array_landmarks), mm, atol=1e-2)
    with pytest.raises(ImageError, match="direction, origin: are for arrays"):
        predictor.predict(tmp_path / "turned.nii.gz", direction=np.eye(3))


def test_a_2d_array_stays_as_it_is_whatever_its_direction(run_2d, rng):
    array, predictor = rng.normal(size=(40, 33)), scn_tf.load(run_2d)
    plain, turned = predictor.predict(array), predictor.predict(array, direction=(0, -1, 1, 0), origin=(3, 4))
    np.testing.assert_array_equal(plain.landmarks, turned.landmarks)
    np.testing.assert_allclose(turned.image.physical_from_array, [[0, -1, 3], [1, 0, 4], [0, 0, 1]])


@pytest.mark.parametrize(
    "direction",
    [
        *(
            np.eye(2),
            np.eye(4),
            [1, 0, 0],
            2 * np.eye(3),
            np.zeros((3, 3)),
            np.ones(9),
            "LPS",
            1j * np.eye(3),
            [[1, 0, 0], [0, 1], [0, 0, 1]],
        ),
        *(np.diag([1, 1, np.nan]), np.diag([1, 1, np.inf]), np.diag([0.9, 0.9, 2.5]), np.array([[1, 0.1, 0], [0, 1, 0], [0, 0, 1]])),
    ],
    ids=str,
)
def test_a_direction_that_is_none_is_refused_by_name(direction, run_3d, module, rng):
    array = rng.normal(size=(9, 14, 11))
    with pytest.raises(ImageError, match="array: direction: expected 9 direction cosines"):
        scn_tf.load(run_3d).predict(array, spacing=(1, 1, 1), direction=direction)
    if isinstance(direction, np.ndarray) and direction.dtype.kind == "f":
        inputs = {"volume": array[np.newaxis, ..., np.newaxis], "spacing": np.ones((1, 3)), "direction": direction.reshape(1, -1)}
        with pytest.raises(tf.errors.InvalidArgumentError, match="direction"):
            module[1]["serve_volume_oriented"](**{name: tf.constant(value, tf.float32) for name, value in inputs.items()})


@pytest.mark.parametrize("origin", [(1, 2), (1, 2, np.nan), "here", (1, 2, 3, 4), 5.0])
def test_an_origin_that_is_none_is_refused_by_name(origin, run_3d, rng):
    with pytest.raises(ImageError, match="array: origin: expected 3 finite numbers of mm"):
        scn_tf.load(run_3d).predict(rng.normal(size=(9, 14, 11)), spacing=(1, 1, 1), origin=origin)


@pytest.mark.parametrize(
    ("shape", "dims", "hint"),
    [
        ((3, 40, 30), 2, "channels come last"),
        ((1, 40, 30), 2, "channels come last"),
        ((4, 40, 30), 2, "channels come last"),
        ((1, 40, 30, 1), 2, "a batch axis"),
        ((1, 3, 40, 30), 2, "a batch axis"),
        ((20, 40, 30), 2, "a volume"),
        ((40, 1), 2, "at least 2 pixels"),
        ((1, 40), 2, "at least 2 pixels"),
        ((1, 40, 3), 2, "at least 2 pixels"),
        ((0, 40), 2, "it is empty"),
        ((40, 30, 0), 2, "it is empty"),
        ((), 2, "2D images"),
        ((40,), 2, "2D images"),
        ((40, 30), 3, "3D images"),
        ((40, 30, 3), 3, "a 2D image with channels"),
        ((40, 30, 1), 3, "a 2D image with channels"),
        ((1, 40, 30), 3, "at least 2 pixels"),
        ((20, 1, 30), 3, "at least 2 pixels"),
        ((1, 20, 40, 30), 3, "channels come last"),
        ((3, 20, 40, 30), 3, "channels come last"),
        ((1, 20, 40, 30, 1), 3, "a batch axis"),
        ((20, 40, 30, 7), 3, "1 to 4 channels"),
        ((1, 40, 30, 3), 3, "at least 2 pixels"),
    ],
)
def test_an_impossible_shape_is_refused_with_what_was_expected_and_received(shape, dims, hint, predictors):
    with pytest.raises(ImageError) as caught:
        predictors[dims].predict(np.zeros(shape))
    for words in ("array: expected ", arrays.AXES[dims], f"received shape {shape}", hint):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    "array",
    [
        np.ones((40, 30), complex),
        np.full((40, 30), None),
        np.full((40, 30), "a"),
        np.full((40, 30), b"a"),
        np.zeros((40, 30), "datetime64[s]"),
        [[1, 2], [3]],
        None,
        b"bytes",
        np.full((40, 30), np.nan),
        np.full((40, 30), -np.inf),
        np.full((40, 30), 1e300),
        np.ma.masked_less(np.arange(1200.0).reshape(40, 30), 5),
        sitk.Image([30, 40], sitk.sitkFloat32),
    ],
    ids=lambda array: f"{type(array).__name__}-{getattr(array, 'dtype', '')}",
)
def test_what_are_no_finite_numbers_is_refused(array):
    with pytest.raises(ImageError, match=r"array: (expected (numbers|an array), received|NaN or infinite)"):
        images.from_array(array, dims=2)


def test_other_number_types_and_channels_are_read_as_before(rng):
    grey = rng.integers(0, 2, (9, 7))
    for dtype in ("bool", "int8", "uint64", "float16", "longdouble"):
        np.testing.assert_array_equal(images.from_array(grey.astype(dtype), dims=2).array[..., 0], grey)
    assert images.from_array(grey.tolist(), dims=2, channels=3).array.shape == (9, 7, 3)
    assert images.from_array(rng.normal(size=(5, 9, 7, 4)), dims=3).array.shape == (5, 9, 7, 1)


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("serve_volume", (1, 9, 1, 11, 1), "volume: expected sides of at least 2 pixels"),
        ("serve_volume", (1, 1, 9, 8, 11), "volume"),
        ("serve_volume", (9, 8, 11, 1), "volume"),
        ("serve_volume_oriented", (1, 9, 14, 1, 1), "volume: expected sides of at least 2 pixels"),
        ("serve_input", (1, 9, 14, 11, 1), "image"),
    ],
)
def test_signatures_refuse_impossible_shapes(name, shape, words, module):
    inputs = {"volume": tf.zeros(shape), "spacing": tf.ones((1, 3)), "direction": tf.reshape(tf.eye(3), (1, 9))}
    wanted = {"serve_volume": ("volume", "spacing"), "serve_volume_oriented": tuple(inputs)}.get(name)
    given = {key: inputs[key] for key in wanted} if wanted else {"image": inputs["volume"]}
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        module[1][name](**given)


@pytest.mark.parametrize("spacing", [(0.0, 1, 1), (-1.0, 1, 1), (np.nan, 1, 1), (np.inf, 1, 1), (1.0, 1), (1.0, 1, 1, 1)])
def test_a_voxel_size_that_cannot_be_is_refused_by_name(spacing, run_3d, module, rng):
    array = rng.normal(size=(9, 14, 11)).astype("float32")
    with pytest.raises(ImageError, match="array: spacing: expected 3 positive numbers of mm per pixel"):
        scn_tf.load(run_3d).predict(array, spacing=spacing)
    for name, more in (("serve_volume", {}), ("serve_volume_oriented", {"direction": tf.reshape(tf.eye(3), (1, 9))})):
        with pytest.raises(tf.errors.InvalidArgumentError, match="spacing"):
            module[1][name](volume=tf.constant(array[np.newaxis, ..., np.newaxis]), spacing=tf.constant([spacing], tf.float32), **more)


def test_the_local_server_takes_a_direction(module, volume):
    image = sitk.DICOMOrient(sitk.Shrink(volume, [4, 4, 4]), "RAS")
    array = sitk.GetArrayFromImage(image)[..., np.newaxis].astype("float32")
    row = {"volume": array, "spacing": np.array(image.GetSpacing()), "direction": np.array(image.GetDirection())}
    wanted = module[1]["serve_volume_oriented"](**{name: tf.constant(value[np.newaxis], tf.float32) for name, value in row.items()})
    with running(servable.load(module[0])) as port:
        row = {name: value.tolist() for name, value in row.items()}
        status, answer = ask(port, body={"signature_name": "serve_volume_oriented", "instances": [row]})
        assert status == 200, answer
        np.testing.assert_allclose(answer["predictions"][0]["landmarks"], wanted["landmarks"][0], atol=10 * EXACT)
        row["direction"][0] = 0.5
        status, answer = ask(port, body={"signature_name": "serve_volume_oriented", "instances": [row]})
        assert (status, "direction: expected nine direction cosines" in answer["error"]) == (400, True), answer
