"""Image files as other programs write them: what they state beside the usual tags is honoured, refused by name, or rightly ignored."""

import struct
import sys
import zlib

import nibabel
import nrrd
import numpy as np
import pydicom
import pytest
import tifffile
from pydicom.uid import ExplicitVRBigEndian

from scn_tf.data import images, workers
from scn_tf.data.images.collect import distinct_ids
from tests import dicom_files

Y, X = np.mgrid[:40, :30]
GREY = ((Y * 4 + X * 3) % 256).astype("uint8")
COLOUR = np.dstack([GREY, GREY[::-1], GREY // 2])
VOLUME = np.random.default_rng(0).integers(-300, 900, (5, 7, 6)).astype("int16")


def refused(path, word, dims=3):
    with pytest.raises(images.ImageError, match=rf"{path.name}.*{word}"):
        images.read_image(path, dims=dims)


def falling_table():
    return np.stack([np.repeat(np.arange(255, -1, -1, dtype="uint8")[None], 3, axis=0)])


@pytest.mark.parametrize(
    ("array", "options", "dims", "word"),
    [
        (np.zeros((5, 2, 40, 30), "uint8"), {"imagej": True, "metadata": {"axes": "ZCYX"}}, 3, "channels"),
        (np.zeros((3, 5, 40, 30), "uint8"), {"imagej": True, "metadata": {"axes": "TZYX"}}, 3, "frames in time"),
        (np.zeros((2, 5, 40, 30), "uint8"), {"photometric": "minisblack"}, 3, "not slices alone"),
        (np.zeros((5, 40, 30), "uint8"), {"photometric": "minisblack", "truncate": True}, 2, "stack of 5 planes"),
        (255 - GREY, {"imagej": True, "metadata": {"LUTs": falling_table()}}, 2, "bright as dark"),
    ],
)
def test_what_the_description_of_a_tiff_says_of_its_planes_is_refused_where_they_are_no_slices(tmp_path, array, options, dims, word):
    tifffile.imwrite(tmp_path / "a.tif", array, **options)
    refused(tmp_path / "a.tif", word, dims)


def test_stacks_of_slices_alone_are_volumes_whoever_wrote_them(tmp_path):
    tifffile.imwrite(tmp_path / "imagej.tif", VOLUME, imagej=True, metadata={"spacing": 2.0, "unit": "mm", "axes": "ZYX"})
    tifffile.imwrite(tmp_path / "shaped.tif", VOLUME, photometric="minisblack")
    for name in ("imagej.tif", "shaped.tif"):
        np.testing.assert_array_equal(images.read_image(tmp_path / name, dims=3).array[..., 0], VOLUME)


def test_a_fourth_sample_beside_colours_is_ignored_as_viewers_do(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.dstack([COLOUR, GREY]), photometric="rgb", extrasamples=["unspecified"])
    np.testing.assert_array_equal(images.read_image(tmp_path / "a.tif", dims=2, channels=3).array, COLOUR)


def png(rows):
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 30, 40, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    parts = [struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_a_png_with_too_few_or_damaged_rows_inside_whole_chunks_is_refused(tmp_path, capfd):
    rows = b"".join(b"\0" + row.tobytes() for row in GREY)
    filters = bytearray(rows)
    filters[31 * 20] = 7
    for content, word in ((rows[: 31 * 39], "1209 of the 1240"), (rows[:-1], "1239 of the 1240"), (bytes(filters), "no filter")):
        (tmp_path / "a.png").write_bytes(png(content))
        refused(tmp_path / "a.png", word, 2)
    (tmp_path / "a.png").write_bytes(png(rows) + b"appended by a viewer")
    np.testing.assert_array_equal(images.read_image(tmp_path / "a.png", dims=2).array[..., 0], GREY)
    assert capfd.readouterr() == ("", "")


def test_signed_pixels_of_a_big_endian_dicom_are_right(tmp_path):
    pixels = GREY.astype("int16") * 16 - 1000
    path = dicom_files.write(tmp_path / "a.dcm", pixels)
    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID, data["PixelData"].VR, data.PixelData = ExplicitVRBigEndian, "OW", pixels.astype(">i2").tobytes()
    pydicom.dcmwrite(path, data, implicit_vr=False, little_endian=False)
    np.testing.assert_array_equal(images.read_image(path, dims=2).array[..., 0], pixels)


@pytest.mark.parametrize(
    ("key", "bits"), [("VOILUTSequence", 8), ("VOILUTSequence", 16), ("ModalityLUTSequence", 12), ("ModalityLUTSequence", 16)]
)
def test_a_table_that_shows_bright_as_dark_is_refused_when_written_as_bytes(tmp_path, key, bits):
    table, kind = pydicom.Dataset(), "uint8" if bits == 8 else "uint16"
    table.LUTDescriptor, table.LUTData = [256, 0, bits], np.arange(255, -1, -1).astype(kind).tobytes()
    refused(dicom_files.write(tmp_path / "a.dcm", GREY, **{key: [table]}), key, 2)
    table.LUTData = np.arange(256).astype(kind).tobytes()
    array = images.read_image(dicom_files.write(tmp_path / "b.dcm", GREY, **{key: [table]}), dims=2).array
    np.testing.assert_array_equal(array[..., 0], GREY)


def test_the_planes_of_a_dose_lie_where_their_offsets_say(tmp_path):
    plane = {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "ImagePositionPatient": [1, 2, 3], "PixelSpacing": [2, 2]}
    frames = {"NumberOfFrames": 5, "PixelData": VOLUME.tobytes(), "GridFrameOffsetVector": [0, -3, -6, -9, -12]}
    image = images.read_image(dicom_files.write(tmp_path / "a.dcm", VOLUME[0], **plane, **frames), dims=3)
    np.testing.assert_array_equal(image.array[..., 0], VOLUME[::-1])
    np.testing.assert_allclose(image.physical_from_array[:3, 3], [1, 2, -9])
    np.testing.assert_allclose(image.spacing, [2, 2, 3])


def test_frames_in_time_are_no_volume(tmp_path):
    movie = {"NumberOfFrames": 5, "PixelData": VOLUME.tobytes(), "FrameIncrementPointer": 0x00181063, "FrameTime": 40}
    refused(dicom_files.write(tmp_path / "a.dcm", VOLUME[0], **movie), "in time")


def test_directions_of_three_decimals_are_perpendicular_enough(tmp_path):
    axes = [0.577, 0.577, 0.577, -0.707, 0.707, 0]
    image = images.read_image(dicom_files.write_series(tmp_path / "s", VOLUME, [0, 2, 4, 6, 8], ImageOrientationPatient=axes), dims=3)
    directions = image.physical_from_array[:3, :3] / np.linalg.norm(image.physical_from_array[:3, :3], axis=0)
    np.testing.assert_allclose(directions.T @ directions, np.eye(3), atol=2e-3)


def test_the_distance_of_slices_is_that_of_the_first_and_last_among_them(tmp_path):
    folder = dicom_files.write_series(tmp_path / "s", VOLUME, [0, 2.49, 4.98, 7.5, 10.0])
    np.testing.assert_allclose(images.read_image(folder, dims=3).spacing[2], 2.5)


@pytest.mark.parametrize("held", [0, 60, 131])
@pytest.mark.parametrize("name", ["IM0000", "IM0002", "IM0004"])
def test_a_slice_cut_to_nothing_is_not_left_out_of_its_series(tmp_path, name, held):
    folder = dicom_files.write_series(tmp_path / "s", VOLUME, [0, 2, 4, 6, 8])
    (folder / name).write_bytes((folder / name).read_bytes()[:held])
    (folder / "README").write_text("not a slice")
    with pytest.raises(images.ImageError, match=name):
        images.read_image(folder, dims=3)


def test_a_series_without_preambles_is_one_volume(tmp_path):
    folder = dicom_files.write_series(tmp_path / "s", VOLUME, [0, 2, 4, 6, 8], names=[f"{number}.dcm" for number in range(5)])
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[132:])
    assert images.is_series(folder)
    assert [source.path for source in images.collect([folder], dims=3)[0]] == [folder]
    np.testing.assert_array_equal(images.read_image(folder, dims=3).array[..., 0], VOLUME)


META = (
    "ObjectType = Image\nNDims = 3\nDimSize = 6 7 5\nElementType = MET_SHORT\nElementSpacing = 0.5 0.6 2\nOffset = 1 2 3\n"
    "TransformMatrix = 1 0 0 0 1 0 0 0 1\n"
)


@pytest.mark.parametrize(
    ("fields", "data"),
    [
        ("Comment = one\nComment = two = 2\n\nModality = MET_MOD_CT\nDistanceUnits = mm\n", "a.raw"),
        ("", "file name with spaces.raw"),
        ("", "50% dose.raw"),
        ("", "./a.raw"),
        ("HeaderSize = -1\n", "a.raw"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_metaimage_of_another_program_is_read(tmp_path, fields, data, end):
    (tmp_path / data).write_bytes(VOLUME.tobytes())
    (tmp_path / "a.mhd").write_bytes((META + fields + f"ElementDataFile = {data}\n").replace("\n", end).encode())
    image = images.read_image(tmp_path / "a.mhd", dims=3)
    np.testing.assert_array_equal(image.array[..., 0], VOLUME)
    np.testing.assert_allclose(image.physical_from_array[:3, 3], [1, 2, 3])


@pytest.mark.parametrize(
    ("fields", "data", "word"),
    [
        ("DistanceUnits = cm\n", "a.raw", "DistanceUnits"),
        ("ElementToIntensityFunctionSlope = -1\n", "a.raw", "bright as dark"),
        ("ElementSpacing = 1 1 1\n", "a.raw", "twice"),
        ("ElementNumberOfChannels = 2\n", "a.raw", "2 numbers per pixel"),
        ("", "link.raw", "is a link that leads outside the folder"),
        ("", "a%03d.raw 1 5 1", "several files"),
    ],
)
def test_a_metaimage_that_would_be_read_wrongly_is_refused(tmp_path, fields, data, word):
    (tmp_path / "in").mkdir()
    (tmp_path / "out.raw").write_bytes(VOLUME.tobytes())
    (tmp_path / "in/a.raw").write_bytes(VOLUME.tobytes() * 2)
    (tmp_path / "in/link.raw").symlink_to(tmp_path / "out.raw")
    (tmp_path / "in/a.mhd").write_text(META + fields + f"ElementDataFile = {data}\n")
    refused(tmp_path / "in/a.mhd", word)


def test_a_plane_of_an_nrrd_file_keeps_its_place_in_space(tmp_path):
    header = {"space": "RAS", "space directions": [[0.5, 0, 0], [0, -0.6, 0]], "space origin": [1, 2, 3]}
    nrrd.write(str(tmp_path / "a.nrrd"), VOLUME[0].T, header)
    image = images.read_image(tmp_path / "a.nrrd", dims=2)
    np.testing.assert_array_equal(image.array[..., 0], VOLUME[0])
    np.testing.assert_allclose(image.physical_from_array, [[-0.5, 0, -1], [0, 0.6, -2], [0, 0, 1]])
    np.testing.assert_allclose(image.spacing, [0.5, 0.6])


def test_several_volumes_of_an_nrrd_file_are_no_opacity(tmp_path):
    directions = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [np.nan] * 3]
    header = {"space": "LPS", "space directions": directions, "kinds": ["domain"] * 3 + ["list"]}
    nrrd.write(str(tmp_path / "a.nrrd"), np.stack([VOLUME.T, VOLUME.T], axis=-1), header)
    refused(tmp_path / "a.nrrd", "2 numbers per pixel")


def test_a_nifti_file_without_the_sign_of_its_third_axis_has_the_usual_one(tmp_path):
    image = nibabel.Nifti1Image(VOLUME.T, np.diag([-0.5, -0.6, 2, 1]))
    image.set_qform(image.affine, 1)
    image.set_sform(None, 0)
    nibabel.save(image, tmp_path / "a.nii")
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[76:80] = bytes(4)
    (tmp_path / "a.nii").write_bytes(content)
    np.testing.assert_array_equal(images.read_image(tmp_path / "a.nii", dims=3).array[..., 0], VOLUME)


def test_the_data_files_of_headers_are_not_reported_as_left_out(tmp_path):
    nibabel.save(nibabel.Nifti1Pair(VOLUME.T, np.diag([-1, -1, 1, 1])), tmp_path / "pair.hdr")
    nrrd.write(str(tmp_path / "two.nhdr"), VOLUME.T, {"encoding": "gzip"}, detached_header=True)
    (tmp_path / "three.mhd").write_text(META + "ElementDataFile = three.zraw\n")
    (tmp_path / "three.zraw").write_bytes(b"")
    (tmp_path / "brain.mgz").write_bytes(b"\x1f\x8b")
    sources, left_out = images.collect([tmp_path], dims=3)
    assert [source.id for source in sources] == ["pair", "three", "two"]
    assert [line.split(":")[0] for line in left_out] == [str(tmp_path / "brain.mgz")]


@pytest.mark.parametrize(
    ("paths", "ids"),
    [
        (["a.png", "a.jpg", "a_2.png"], ["a.png", "a.jpg", "a_2"]),
        (["p/s/1.dcm", "q/s/1.dcm", "q/2.dcm"], ["p_s_1", "q_s_1", "2"]),
        (["p/a.nii.gz", "p/a.nii", "q/a.nii"], ["a.nii.gz", "a.nii", "a"]),
        (["a_b.png", "a/b.png", "c/b.png"], ["a_b", "a_b_2", "c_b"]),
    ],
)
def test_ids_are_short_and_distinct(tmp_path, paths, ids):
    assert distinct_ids([tmp_path / path for path in paths]) == ids


@pytest.mark.parametrize("program", ["/bin/true", "/bin/no_such_program"])
def test_a_decoder_that_cannot_be_started_is_not_blamed_on_the_file(tmp_path, monkeypatch, program):
    path = dicom_files.write(tmp_path / "good.dcm", GREY)
    monkeypatch.setattr(sys, "executable", program)
    monkeypatch.setattr(workers, "_idle", {})
    with pytest.raises(images.ImageError, match=r"good\.dcm: cannot be read.*process"):
        images.read_image(path, dims=2)
