"""DICOM files: every tag that changes brightness or place is honoured or refused."""

import io

import imagecodecs
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from PIL import Image
from pydicom import uid
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless, generate_uid

from scn_tf.data import images
from tests import dicom_files

GREY = (np.arange(35).reshape(5, 7) * 50).astype("uint16")
COLOUR = np.dstack([GREY // 7, GREY[::-1] // 7, GREY // 14]).astype("uint8")
LARGER = np.add.outer(np.arange(64) * 40, np.arange(48) * 30).astype("uint16")  # ITK cannot pack smaller ones
VOLUME = np.random.default_rng(0).integers(0, 1000, (6, 5, 7)).astype("uint16")


def read(path, dims=2, channels=1):
    return images.read_image(path, dims=dims, channels=channels)


def alike(found, shown):
    """Whether the answer is what a viewer shows, but for scale and offset."""
    found, shown = np.ravel(found).astype(float), np.ravel(shown).astype(float)
    slope, offset = np.polyfit(shown, found, 1)
    return slope > 0 and np.allclose(found, slope * shown + offset, atol=1e-3 * np.ptp(found))


@pytest.mark.parametrize(
    ("pixels", "tags", "shown"),
    [
        (GREY, {}, GREY),
        (GREY << 4, {"BitsStored": 12, "HighBit": 15}, GREY),
        (GREY << 2, {"BitsStored": 12, "HighBit": 13}, GREY),
        (GREY | 0xF000, {"BitsStored": 12, "HighBit": 11}, GREY),  # an overlay in the upper bits
        ((-GREY.astype("int32") & 0xFFF).astype("uint16"), {"BitsStored": 12, "HighBit": 11, "PixelRepresentation": 1}, -1.0 * GREY),
        (((-GREY.astype("int32") & 0xFFF) << 4).astype("uint16"), {"BitsStored": 12, "HighBit": 15, "PixelRepresentation": 1}, -1.0 * GREY),
        (-GREY.astype("int16"), {}, -1.0 * GREY),
        (GREY.astype("uint32"), {}, GREY),
        ((GREY // 7).astype("uint8"), {}, GREY // 7),
        (GREY, {"PhotometricInterpretation": "MONOCHROME1"}, -1.0 * GREY),
        (-GREY.astype("int16"), {"PhotometricInterpretation": "MONOCHROME1"}, GREY),
        (GREY, {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}, -1.0 * GREY),
        (GREY, {"PresentationLUTShape": "IDENTITY"}, GREY),
        (GREY, {"RescaleSlope": 2, "RescaleIntercept": -1024}, GREY),
        (GREY, {"RescaleSlope": -2, "RescaleIntercept": 0}, -1.0 * GREY),
        (GREY, {"RescaleSlope": -2, "RescaleIntercept": 0, "PhotometricInterpretation": "MONOCHROME1"}, GREY),
        (GREY, {"PixelAspectRatio": [1, 1]}, GREY),
        (GREY, {"PixelAspectRatio": [3, 1], "PixelSpacing": [3, 1]}, GREY),
        (GREY, {"packing": RLELossless}, GREY),
    ],
)
def test_brightness_is_what_a_viewer_shows(tmp_path, pixels, tags, shown):
    assert alike(read(dicom_files.write(tmp_path / "a.dcm", pixels, **tags)).array, shown)


def test_rescaled_values_are_those_of_the_scanner(tmp_path):
    image = read(dicom_files.write(tmp_path / "a.dcm", GREY, RescaleSlope=2, RescaleIntercept=-1024))
    np.testing.assert_array_equal(image.array[..., 0], 2.0 * GREY - 1024)


@pytest.mark.parametrize(
    ("tags", "pixels"),
    [
        ({}, COLOUR),
        ({"PlanarConfiguration": 1}, np.moveaxis(COLOUR, -1, 0).copy().reshape(COLOUR.shape)),
    ],
)
def test_colours_are_read_in_both_orders(tmp_path, tags, pixels):
    image = read(dicom_files.write(tmp_path / "a.dcm", pixels, **tags), channels=3)
    np.testing.assert_array_equal(image.array, COLOUR)


def test_a_palette_gives_its_colours(tmp_path):
    inverse = bytes(range(255, -1, -1))
    tags = {f"{colour}PaletteColorLookupTable{part}": value for colour in ("Red", "Green", "Blue") for part, value in
            (("Descriptor", [256, 0, 8]), ("Data", inverse))}  # fmt: skip
    pixels = (GREY // 7).astype("uint8")
    image = read(dicom_files.write(tmp_path / "a.dcm", pixels, PhotometricInterpretation="PALETTE COLOR", **tags))
    np.testing.assert_allclose(image.array[..., 0], 255.0 - pixels, atol=1e-3)


@pytest.mark.parametrize(
    ("tags", "word"),
    [
        ({"PresentationLUTShape": "INVERSE"}, "contradict"),
        ({"PixelAspectRatio": [3, 1]}, "not square"),
        ({"PixelAspectRatio": [0, 1]}, "PixelAspectRatio of 0 to 1"),
        ({"PixelAspectRatio": [3]}, "PixelAspectRatio of 3"),
        ({"ImageOrientationPatient": [1, 0, 0]}, "ImageOrientationPatient of"),
        ({"PixelAspectRatio": [1, 1], "PixelSpacing": [3, 1]}, "contradicts"),
        ({"BitsStored": 12, "HighBit": 9}, "bits"),
        ({"PhotometricInterpretation": "ARGB"}, "ARGB"),
        ({"RescaleSlope": 0, "RescaleIntercept": 3}, "slope"),
        ({"NumberOfFrames": 99}, "cut short"),
        ({"Rows": 65535, "Columns": 65535}, "at most"),
        ({"Rows": 6}, "cut short"),
        ({"ImageOrientationPatient": [1, 0, 0, 0.5, 1, 0], "PixelSpacing": [1, 1]}, "shear"),
        ({"SamplesPerPixel": 3}, "samples"),
    ],
)
def test_tags_that_cannot_be_honoured_are_refused_by_name(tmp_path, tags, word):
    path = dicom_files.write(tmp_path / "odd.dcm", GREY, **tags)
    with pytest.raises(images.ImageError, match=word) as caught:
        read(path)
    assert "odd.dcm" in str(caught.value)


def packed(path, stream, syntax, pixels, **tags):
    """A DICOM file around a packed stream."""
    data = pydicom.dcmread(dicom_files.write(path, pixels, **tags))
    data.PixelData = encapsulate([stream])
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = syntax
    data.save_as(path)
    return path


def jpeg(pixels, **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=98, **options)
    return stream.getvalue()


SMOOTH = (128 + 60 * np.sin(np.arange(48) / 9)[None] + 50 * np.cos(np.arange(64) / 7)[:, None]).astype("uint8")
TWELVE, SIGNED = SMOOTH.astype("uint16") * 16, SMOOTH.astype("int16") * 16 - 2000
THREE = np.dstack([SMOOTH, SMOOTH[::-1], 255 - SMOOTH])
BITS = {"BitsStored": 12, "HighBit": 11}


@pytest.mark.parametrize(
    ("stream", "syntax", "pixels", "tags", "shown", "tolerance"),
    [
        (jpeg(SMOOTH), uid.JPEGBaseline8Bit, SMOOTH, {}, SMOOTH, 2),
        (jpeg(THREE, subsampling=2), uid.JPEGBaseline8Bit, THREE, {"PhotometricInterpretation": "YBR_FULL_422"}, THREE, 10),
        (jpeg(THREE, keep_rgb=True, subsampling=0), uid.JPEGBaseline8Bit, THREE, {}, THREE, 2),
        (imagecodecs.jpegls_encode(TWELVE), uid.JPEGLSLossless, TWELVE, BITS, TWELVE, 0),
        (imagecodecs.jpegls_encode(THREE), uid.JPEGLSLossless, THREE, {}, THREE, 0),
        (imagecodecs.ljpeg_encode(TWELVE, bitspersample=12), uid.JPEGLosslessSV1, TWELVE, BITS, TWELVE, 0),
        (imagecodecs.ljpeg_encode(TWELVE, bitspersample=12), uid.JPEGLosslessSV1, TWELVE,
         {**BITS, "PhotometricInterpretation": "MONOCHROME1"}, 4095.0 - TWELVE, 0),
        (imagecodecs.jpeg2k_encode(TWELVE, codecformat="j2k", reversible=True, level=0), uid.JPEG2000Lossless, TWELVE, BITS, TWELVE, 0),
        (imagecodecs.jpeg2k_encode(SIGNED, codecformat="j2k", reversible=True, level=0), uid.JPEG2000Lossless, SIGNED, {}, SIGNED, 0),
        (imagecodecs.jpeg2k_encode(SIGNED.view("uint16"), codecformat="j2k", reversible=True, level=0), uid.JPEG2000Lossless, SIGNED, {},
         SIGNED, 0),
        (imagecodecs.jpeg2k_encode(THREE, codecformat="j2k", reversible=True, level=0, mct=True), uid.JPEG2000Lossless, THREE,
         {"PhotometricInterpretation": "YBR_RCT"}, THREE, 0),
    ],
)  # fmt: skip
def test_packed_pixels_are_those_that_were_packed(tmp_path, stream, syntax, pixels, tags, shown, tolerance):
    image = read(packed(tmp_path / "a.dcm", stream, syntax, pixels, **tags), channels=3 if pixels.ndim == 3 else 1)
    np.testing.assert_allclose(image.array, np.reshape(shown, image.array.shape), atol=tolerance)


@pytest.mark.parametrize(
    ("stream", "tags", "word"),
    [
        (jpeg(THREE), {}, "states RGB"),
        (jpeg(THREE, keep_rgb=True, subsampling=0), {"PhotometricInterpretation": "YBR_FULL"}, "states YBR_FULL"),
        (jpeg(THREE), {"PhotometricInterpretation": "YBR_FULL_422", "Rows": 32}, "damaged|cut short"),
    ],
)
def test_streams_that_contradict_their_header_are_refused(tmp_path, stream, tags, word):
    with pytest.raises(images.ImageError, match=word):
        read(packed(tmp_path / "a.dcm", stream, uid.JPEGBaseline8Bit, THREE, **tags), channels=3)


def test_a_file_without_an_image_is_refused(tmp_path):
    data = pydicom.dcmread(dicom_files.write(tmp_path / "a.dcm", GREY))
    del data.PixelData
    data.save_as(tmp_path / "report.dcm")
    with pytest.raises(images.ImageError, match=r"report\.dcm.*without an image"):
        read(tmp_path / "report.dcm")


@pytest.mark.parametrize("packing", [None, RLELossless, "JPEG", "JPEG2000"])
def test_a_dicom_file_cut_anywhere_is_refused(tmp_path, packing):
    whole, cut = tmp_path / "whole.dcm", tmp_path / "cut.dcm"
    if packing in ("JPEG", "JPEG2000"):
        writer = sitk.ImageFileWriter()
        writer.SetFileName(str(whole))
        writer.UseCompressionOn()
        writer.SetCompressor(packing)
        writer.Execute(sitk.GetImageFromArray(LARGER[None]))
    else:
        dicom_files.write(whole, GREY, packing=packing)
    assert alike(read(whole).array, LARGER if packing in ("JPEG", "JPEG2000") else GREY)
    content = whole.read_bytes()
    every = range(0, len(content), max(1, len(content) // 150))  # a failure costs a process of its own
    for length in [*every, *range(len(content) - 12, len(content))]:
        cut.write_bytes(content[:length])
        with pytest.raises(images.ImageError, match=r"cut\.dcm"):
            read(cut)


def test_a_slice_keeps_its_place_in_the_patient(tmp_path):
    axes = {"ImageOrientationPatient": [-1, 0, 0, 0, -1, 0], "ImagePositionPatient": [10, 20, 30], "PixelSpacing": [2, 1]}
    image = read(dicom_files.write(tmp_path / "prone.dcm", GREY, **axes))
    np.testing.assert_allclose(image.physical_from_array, [[-1, 0, 10], [0, -2, 20], [0, 0, 1]])
    axes["ImageOrientationPatient"] = [0, 1, 0, 0, 0, -1]
    image = read(dicom_files.write(tmp_path / "sagittal.dcm", GREY, **axes))
    np.testing.assert_allclose(image.spacing, (1, 2))
    with pytest.raises(images.ImageError, match="no axial slice"):
        image.own_from_array("physical")


def itk_series(folder):
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return sitk.DICOMOrient(reader.Execute(), "LPS")


@pytest.mark.parametrize("axes", [[1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, -1], [0, 1, 0, 0, 0, -1], [-1, 0, 0, 0, -1, 0]])
def test_the_slices_of_a_folder_are_one_volume_whatever_their_names(tmp_path, axes):
    names = [f"IM{number}" for number in (3, 1, 5, 0, 2, 4)]
    folder = dicom_files.write_series(tmp_path / "ct", VOLUME, [0, 2, 4, 6, 8, 10], names=names, ImageOrientationPatient=axes)
    image, other = read(folder, dims=3), itk_series(folder)
    np.testing.assert_array_equal(image.array[..., 0], sitk.GetArrayFromImage(other))
    np.testing.assert_allclose(image.spacing, other.GetSpacing(), atol=1e-6)
    np.testing.assert_allclose(image.physical_from_array[:3, 3], other.GetOrigin(), atol=1e-6)


def test_frames_are_sorted_by_their_places(tmp_path):
    image = read(dicom_files.write_enhanced(tmp_path / "mr.dcm", VOLUME, [10, 8, 6, 4, 2, 0]), dims=3)
    np.testing.assert_array_equal(image.array[..., 0], VOLUME[::-1])
    np.testing.assert_allclose(image.spacing, (0.7, 0.5, 2.0))
    np.testing.assert_allclose(image.physical_from_array[:3, 3], (1, 2, 3))
    with pytest.raises(images.ImageError, match=r"frame [56] and frame [56]"):
        read(dicom_files.write_enhanced(tmp_path / "gap.dcm", VOLUME, [10, 8, 6, 4, 2, -2]), dims=3)


def test_what_is_no_single_series_is_refused_by_the_names_of_its_files(tmp_path):
    for places, names in (([0, 2, 4, 8, 10, 12], ("IM0002", "IM0003")), ([0, 2, 2, 4, 6, 8], ("IM0001", "IM0002"))):
        folder = dicom_files.write_series(tmp_path / f"uneven{places[2]}", VOLUME, places)
        with pytest.raises(images.ImageError) as caught:
            read(folder, dims=3)
        assert all(name in str(caught.value) for name in names)
    even = [0, 2, 4, 6, 8, 10]
    mixed = dicom_files.write_series(tmp_path / "mixed", VOLUME, even)
    dicom_files.write(mixed / "scout", GREY, SeriesInstanceUID=generate_uid())
    with pytest.raises(images.ImageError, match=r"2 DICOM series.*scout"):
        read(mixed, dims=3)
    sizes = dicom_files.write_series(tmp_path / "sizes", VOLUME, even, SeriesInstanceUID="1.2.3")
    dicom_files.write_series(sizes, VOLUME[:1, :4], [12], names=["short"], SeriesInstanceUID="1.2.3")
    with pytest.raises(images.ImageError, match="short differ in size"):
        read(sizes, dims=3)
    placeless = dicom_files.write_series(tmp_path / "placeless", VOLUME, even, ImagePositionPatient=None)
    with pytest.raises(images.ImageError, match="state no place"):
        read(placeless, dims=3)
    tilted = dicom_files.write_series(tmp_path / "tilted", VOLUME, even, SeriesInstanceUID="1.2.4")
    for number in range(6):
        data = pydicom.dcmread(tilted / f"IM{number:04d}")
        data.ImagePositionPatient = [1, 2 + number, 3 + 2 * number]
        data.save_as(tilted / f"IM{number:04d}")
    with pytest.raises(images.ImageError, match="tilted"):
        read(tilted, dims=3)
    single = dicom_files.write_series(tmp_path / "single", VOLUME[:1], [0])
    for path in (single, single / "IM0000"):
        with pytest.raises(images.ImageError, match="single slice"):
            read(path, dims=3)


def test_folders_in_folders_are_searched_and_ids_are_distinct(tmp_path):
    even = [0, 2, 4, 6, 8, 10]
    for patient in ("A", "B"):
        for series in ("1", "2"):
            dicom_files.write_series(tmp_path / "pacs" / patient / series, VOLUME, even)
    dicom_files.write(tmp_path / "pacs" / "DICOMDIR", GREY)
    (tmp_path / "pacs" / "A" / "photo.webp").write_bytes(b"RIFF")
    found, left_out = images.collect([tmp_path / "pacs"], dims=3)
    assert [source.id for source in found] == ["A_1", "A_2", "B_1", "B_2"]
    assert len(left_out) == 1
    assert "photo.webp" in left_out[0]
    found, _ = images.collect([tmp_path / "pacs"], dims=2)
    assert len({source.id for source in found}) == 24
    found, _ = images.collect([tmp_path / "pacs" / "A" / "1"], dims=2)
    assert [source.id for source in found] == [f"IM{number:04d}" for number in range(6)]
