import os

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.uid import ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation, SecondaryCaptureImageStorage

from scn_tf import geometry
from scn_tf.data import images
from tests import dicom_files


def write(path, array, **header):
    image = sitk.GetImageFromArray(array, isVector=array.ndim == 3 and array.shape[-1] == 3)
    for name, value in header.items():
        getattr(image, f"Set{name}")(value)
    sitk.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize("extension", ["png", "bmp", "tif", "mha", "nii.gz", "nrrd"])
def test_every_lossless_format_gives_the_same_pixels(tmp_path, rng, extension):
    array = rng.integers(0, 255, (11, 7), dtype=np.uint8)
    image = images.read_image(write(tmp_path / f"a.{extension}", array), dims=2)
    np.testing.assert_allclose(image.array[..., 0], array, atol=1e-4)  # BMP arrives as three equal colours
    assert images.stem(f"x/a.{extension}") == "a"


@pytest.mark.parametrize(("extension", "dtype"), [("png", "uint16"), ("mha", "float32"), ("nii", "int16")])
def test_deep_pixels_are_not_cut(tmp_path, extension, dtype):
    array = (np.arange(77).reshape(11, 7) * 300).astype(dtype)
    np.testing.assert_array_equal(images.read_image(write(tmp_path / f"a.{extension}", array), dims=2).array[..., 0], array)


def test_jpeg_is_read_and_states_no_spacing(tmp_path):
    image = images.read_image(write(tmp_path / "a.jpg", np.full((11, 7), 90, np.uint8)), dims=2)
    assert image.spacing is None
    np.testing.assert_allclose(image.array, 90, atol=2)


def test_colour_becomes_luma(tmp_path):
    array = np.zeros((5, 4, 3), np.uint8)
    array[..., 1] = 200
    image = images.read_image(write(tmp_path / "a.png", array), dims=2)
    np.testing.assert_allclose(image.array, 0.587 * 200, rtol=1e-5)
    assert images.read_image(tmp_path / "a.png", dims=2, channels=3).array.shape == (5, 4, 3)


def test_a_dicom_slice_counts_as_2d_with_its_spacing(tmp_path):
    volume = sitk.GetImageFromArray(np.arange(35, dtype=np.uint16).reshape(1, 5, 7))
    volume.SetSpacing((0.2, 0.4, 1.0))
    sitk.WriteImage(volume, str(tmp_path / "a.dcm"))
    image = images.read_image(tmp_path / "a.dcm", dims=2)
    assert image.array.shape == (5, 7, 1)
    np.testing.assert_allclose(image.spacing, (0.2, 0.4))


GREY = np.arange(35, dtype=np.uint16).reshape(5, 7)
SPACING_TAGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")  # in this order


@pytest.mark.parametrize("kind", [SecondaryCaptureImageStorage, ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation])
@pytest.mark.parametrize("tag", SPACING_TAGS)
def test_a_radiograph_has_the_pixel_size_that_any_of_its_tags_states(tmp_path, kind, tag):
    image = images.read_image(dicom_files.write(tmp_path / "a.dcm", GREY, kind=kind, **{tag: [0.4, 0.2]}), dims=2)
    np.testing.assert_allclose(image.spacing, (0.2, 0.4))
    np.testing.assert_allclose(image.physical_from_array[:2, :2], np.diag([0.2, 0.4]))


def test_the_pixel_size_in_the_patient_comes_before_that_of_the_detector(tmp_path):
    for number, first in enumerate(SPACING_TAGS):
        tags = {tag: [0.9, 0.9] for tag in SPACING_TAGS[number:]} | {first: [0.7, 0.5]}
        image = images.read_image(dicom_files.write(tmp_path / "a.dcm", GREY, **tags), dims=2)
        np.testing.assert_allclose(image.spacing, (0.5, 0.7))
    tags = {tag: [0, 0] for tag in SPACING_TAGS}
    assert images.read_image(dicom_files.write(tmp_path / "a.dcm", GREY, **tags), dims=2).spacing is None


def test_tags_in_files_of_other_formats_are_of_the_images_they_were_made_from(tmp_path):
    dicom_files.write(tmp_path / "a.dcm", GREY, PixelSpacing=[0.4, 0.2])
    resampled = sitk.ReadImage(str(tmp_path / "a.dcm"))
    resampled.SetSpacing((0.5, 0.6, 1.0))
    for name in ("b.mha", "b.nrrd"):
        sitk.WriteImage(resampled, str(tmp_path / name))
        assert "0028|0030" in (tmp_path / name).read_bytes().decode("latin-1").replace("_", "|")
        np.testing.assert_allclose(images.read_image(tmp_path / name, dims=2).spacing, (0.5, 0.6))


def test_frames_without_places_have_no_pixel_size_in_depth(tmp_path):
    path = dicom_files.write(tmp_path / "a.dcm", GREY, NumberOfFrames=2, PixelData=GREY.tobytes() * 2, PixelSpacing=[1, 1])
    assert images.read_image(path, dims=3).spacing is None
    path = dicom_files.write_enhanced(tmp_path / "b.dcm", np.stack([GREY, GREY]), [0, 1])
    np.testing.assert_allclose(images.read_image(path, dims=3).spacing, (0.7, 0.5, 1))


def test_a_dicom_without_a_pixel_size_has_none(tmp_path):
    np.testing.assert_allclose(images.read_image(dicom_files.write(tmp_path / "a.dcm", GREY, PixelSpacing=[1, 1]), dims=2).spacing, (1, 1))
    assert images.read_image(dicom_files.write(tmp_path / "b.dcm", GREY), dims=2).spacing is None


def test_a_dicom_needs_no_extension(tmp_path):
    named = dicom_files.write(tmp_path / "1.2.840.10008", GREY)
    (tmp_path / "notes.txt").write_text("no image")
    assert images.is_image(named)
    os.mkfifo(tmp_path / "pipe")  # nobody writes into it: opening it would wait for ever
    assert not any(images.is_image(path) for path in (tmp_path / "notes.txt", tmp_path, tmp_path / "gone", tmp_path / "pipe"))
    assert images.stem(named) == "1.2.840.10008"
    assert images.collect([tmp_path], dims=2) == ([images.Source("1.2.840.10008", named)], [])
    assert images.read_image(named, dims=2).array.shape == (5, 7, 1)


def test_axes_of_a_volume_are_turned_to_lps_and_frames_agree(tmp_path, rng):
    array = rng.integers(0, 99, (4, 5, 6)).astype(np.int16)
    direction = (0.0, -1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0)  # x and y swapped, both flipped
    path = write(tmp_path / "a.nii.gz", array, Spacing=(1.0, 2.0, 3.0), Origin=(10.0, -5.0, 7.0), Direction=direction)
    image = images.read_image(path, dims=3)
    assert image.array.shape[:3] == (4, 6, 5)
    np.testing.assert_allclose(image.spacing, (2.0, 1.0, 3.0))
    stored = sitk.ReadImage(str(path))
    for index in [(0, 0, 0), (5, 1, 3), (2, 4, 1)]:
        point = geometry.apply(np.linalg.inv(image.file_from_array), index)
        x, y, z = np.rint(point).astype(int)
        assert image.array[z, y, x, 0] == array[index[2], index[1], index[0]]
        np.testing.assert_allclose(geometry.apply(image.physical_from_array, point), stored.TransformIndexToPhysicalPoint(index), atol=1e-5)


def test_bad_images_are_refused_with_their_name(tmp_path):
    (tmp_path / "text.png").write_text("this is no image")
    good = write(tmp_path / "good.png", np.arange(4000, dtype=np.uint16).reshape(80, 50))
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:200])
    write(tmp_path / "nan.mha", np.array([[1.0, np.nan], [2.0, 3.0]], "float32"))
    write(tmp_path / "volume.mha", np.zeros((3, 4, 5), np.uint8))
    for name, message in [
        ("none.png", "no such file"),
        ("text.png", "cannot be read"),
        ("cut.png", "cut short"),
        ("nan.mha", "1 pixel not finite, NaN or infinite"),
        ("volume.mha", "expected a 2D image"),
    ]:
        with pytest.raises(images.ImageError, match=f"{name}.*{message}"):
            images.read_image(tmp_path / name, dims=2)
