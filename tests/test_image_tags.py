"""Tags that change what a viewer shows, or where a pixel lies, are honoured or refused: TIFF, PNG, BMP, NIfTI, NRRD, MetaImage."""

import struct
import warnings
import zlib

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from PIL import Image

from scn_tf import geometry
from scn_tf.data import images
from scn_tf.errors import DataWarning

Y, X = np.mgrid[:40, :30]
GREY = ((Y * 4 + X * 3) % 256).astype("uint8")
COLOUR = np.dstack([GREY, GREY[::-1], GREY // 2])
DEEP = GREY.astype("uint16") * 257
VOLUME = np.random.default_rng(0).integers(-300, 900, (4, 7, 6)).astype("int16")


def alike(found, shown):
    """Whether the answer is what a viewer shows, but for scale and offset."""
    found, shown = np.ravel(found).astype(float), np.ravel(shown).astype(float)
    slope, offset = np.polyfit(shown, found, 1)
    return found.size == shown.size and slope > 0 and np.allclose(found, slope * shown + offset, atol=2e-3 * np.ptp(found))


def palette():
    return np.repeat(np.arange(255, -1, -1, dtype="uint16")[None] * 257, 3, axis=0)


TIFFS = {
    "plain": (GREY, {}, GREY),
    "white is zero": (255 - GREY, {"photometric": "miniswhite"}, GREY),
    "white is zero, 16 bits": (65535 - DEEP, {"photometric": "miniswhite"}, GREY),
    "white is zero, signed": (-GREY.astype("int16"), {"photometric": "miniswhite"}, GREY),
    "white is zero, float": (-GREY.astype("float32"), {"photometric": "miniswhite"}, GREY),
    "white is zero, packed": (255 - GREY, {"photometric": "miniswhite", "compression": "lzw", "rowsperstrip": 7}, GREY),
    "one bit, white is zero": (GREY <= 128, {"photometric": "miniswhite"}, GREY > 128),
    "one bit, black is zero": (GREY > 128, {"photometric": "minisblack"}, GREY > 128),
    "grey and alpha": (np.dstack([GREY, 255 - GREY]), {"photometric": "minisblack", "extrasamples": ["unassalpha"]}, GREY),
    "grey and alpha, planes": (np.stack([GREY, 255 - GREY]), {"photometric": "minisblack", "extrasamples": ["unassalpha"],
                                                             "planarconfig": "separate"}, GREY),
    "palette": (255 - GREY, {"photometric": "palette", "colormap": palette()}, GREY),
    "big endian": (DEEP, {"byteorder": ">"}, GREY),
    "BigTIFF": (DEEP, {"bigtiff": True}, GREY),
    "tiles": (GREY, {"tile": (16, 16)}, GREY),
    "predictor": (DEEP, {"compression": "deflate", "predictor": True}, GREY),
    **{f"{kind}": (GREY.astype(kind), {}, GREY) for kind in ("uint32", "int32", "uint64", "int16", "float16", "float32", "float64")},
    "int8": ((GREY // 2).astype("int8"), {}, GREY // 2),
    **{f"packed by {packing}": (GREY, {"compression": packing}, GREY) for packing in ("lzw", "deflate", "packbits", "lzma", "zstd")},
}  # fmt: skip


@pytest.mark.parametrize("name", TIFFS)
def test_a_tiff_is_read_as_a_viewer_shows_it(tmp_path, name):
    array, options, shown = TIFFS[name]
    tifffile.imwrite(tmp_path / "a.tif", array, **options)
    image = images.read_image(tmp_path / "a.tif", dims=2)
    assert image.spacing is None
    assert alike(image.array, shown)


@pytest.mark.parametrize(
    ("array", "options"),
    [
        (COLOUR, {}),
        (np.moveaxis(COLOUR, -1, 0), {"planarconfig": "separate"}),
        (np.dstack([COLOUR, GREY]), {"extrasamples": ["unassalpha"]}),
        (np.dstack([COLOUR, GREY]), {"extrasamples": ["assocalpha"], "compression": "lzw"}),
        (COLOUR.astype("uint16") * 257, {"tile": (16, 32), "compression": "deflate"}),
    ],
)
def test_the_colours_of_a_tiff_are_read_in_every_layout(tmp_path, array, options):
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", **options)
    assert alike(images.read_image(tmp_path / "a.tif", dims=2, channels=3).array, COLOUR)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "F", "YCbCr"])
@pytest.mark.parametrize("packing", [None, "tiff_lzw", "jpeg", "group4", "packbits"])
def test_a_tiff_is_read_as_pillow_reads_it(tmp_path, mode, packing, capfd):
    image = {"I;16": Image.fromarray(DEEP), "F": Image.fromarray(GREY.astype("float32"))}.get(mode) or Image.fromarray(COLOUR).convert(
        "L" if mode == "LA" else mode
    )
    try:
        image.convert("LA" if mode == "LA" else image.mode).save(tmp_path / "a.tif", compression=packing)
    except OSError:
        pytest.skip("no such TIFF")
    finally:
        capfd.readouterr()
    shown = Image.open(tmp_path / "a.tif")
    colour = mode in ("P", "RGB", "RGBA", "YCbCr")
    shown = np.asarray(shown.convert("RGB") if colour else shown.convert("L") if mode == "LA" else shown)
    try:
        assert alike(images.read_image(tmp_path / "a.tif", dims=2, channels=3 if colour else 1).array, shown)
    except images.ImageError as error:
        assert "YCbCr without JPEG" in str(error)  # noqa: PT017  (the only layout of these that is refused)
        assert mode == "YCbCr"


@pytest.mark.parametrize(
    ("array", "options", "word"),
    [
        *((GREY, {"extratags": [(274, 3, 1, turn, True)]}, "orientation") for turn in range(2, 9)),
        (np.dstack([COLOUR, GREY]), {"photometric": "separated"}, "SEPARATED"),
        (COLOUR, {"photometric": "cielab"}, "CIELAB"),
        (np.dstack([GREY] * 5), {"photometric": "minisblack", "planarconfig": "contig"}, "5 samples"),
        (np.dstack([GREY] * 2), {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": ["unspecified"]}, "meaning"),
        (np.stack([GREY] * 3), {"photometric": "minisblack"}, "3D"),
        (GREY.astype("complex64"), {}, "real numbers"),
        (np.where(GREY > 3, GREY, np.nan).astype("float32"), {}, "not finite"),
        (np.where(GREY > 3, GREY, np.inf).astype("float64"), {}, "not finite"),
        (GREY, {"ome": True}, "microscope"),
    ],
)
def test_a_tiff_that_cannot_be_honoured_is_refused_by_name(tmp_path, array, options, word):
    tifffile.imwrite(tmp_path / "odd.tif", array, **options)
    with pytest.raises(images.ImageError, match=rf"odd\.tif.*{word}"):
        images.read_image(tmp_path / "odd.tif", dims=2)


def test_the_pages_of_a_tiff_are_slices_and_previews_are_none(tmp_path):
    with tifffile.TiffWriter(tmp_path / "stack.tif") as writer:
        for plane in VOLUME:
            writer.write(plane, photometric="minisblack", contiguous=False)
    image = images.read_image(tmp_path / "stack.tif", dims=3)
    np.testing.assert_array_equal(image.array[..., 0], VOLUME)
    assert image.physical_from_array is None
    with tifffile.TiffWriter(tmp_path / "preview.tif") as writer:
        writer.write(GREY, photometric="minisblack")
        writer.write(GREY[::4, ::4], photometric="minisblack", subfiletype=1)
    np.testing.assert_array_equal(images.read_image(tmp_path / "preview.tif", dims=2).array[..., 0], GREY)


def png(depth, kind, rows, *chunks):
    """PNG bytes of rows as stored."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind]
    header = struct.pack(">IIBBBBB", len(rows[0]) * 8 // depth // channels, len(rows), depth, kind, 0, 0, 0)
    body = b"".join(b"\0" + row for row in rows)
    parts = [chunk(b"IHDR", header), *(chunk(*pair) for pair in chunks), chunk(b"IDAT", zlib.compress(body)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (png(1, 0, [b"\xa0", b"\x50"]), [[1, 0, 1, 0, 0, 0, 0, 0], [0, 1, 0, 1, 0, 0, 0, 0]]),
        (png(2, 0, [b"\x1b", b"\xe4"]), [[0, 1, 2, 3], [3, 2, 1, 0]]),
        (png(4, 0, [b"\x0f\x73", b"\x37\xf0"]), [[0, 15, 7, 3], [3, 7, 15, 0]]),
        (png(16, 0, [b"\0\1\2\3", b"\xff\xff\7\0"]), [[1, 515], [65535, 1792]]),
        (png(8, 4, [b"\x0a\xff\x14\x00", b"\x1e\x80\x28\x01"]), [[10, 20], [30, 40]]),
        (png(16, 4, [b"\0\x0a\xff\xff\0\x14\0\0", b"\0\x1e\0\0\0\x28\0\1"]), [[10, 20], [30, 40]]),
        (png(8, 3, [b"\0\1", b"\2\0"], (b"PLTE", b"\x63\x63\x63\7\7\7\xff\xff\xff")), [[99, 7], [255, 99]]),
        (png(4, 3, [b"\x01", b"\x20"], (b"PLTE", b"\x63\x63\x63\7\7\7\xff\xff\xff"), (b"tRNS", b"\0\xff")), [[99, 7], [255, 99]]),
        (png(16, 2, [b"\1\0" * 6, b"\2\0" * 6]), [[256, 256], [512, 512]]),
        (png(16, 6, [b"\1\0" * 8, b"\2\0" * 8]), [[256, 256], [512, 512]]),
    ],
)
def test_every_kind_of_png_is_read_with_its_depth_and_palette(tmp_path, content, shown):
    (tmp_path / "a.png").write_bytes(content)
    found = images.read_image(tmp_path / "a.png", dims=2).array[..., 0]
    assert alike(found, shown)


def test_a_bmp_has_the_colours_of_its_palette(tmp_path):
    image = Image.fromarray(255 - GREY).convert("P")
    image.putpalette([value for entry in range(255, -1, -1) for value in (entry, entry, entry)])
    image.save(tmp_path / "a.bmp")
    assert alike(images.read_image(tmp_path / "a.bmp", dims=2).array, GREY)
    Image.fromarray(GREY > 128).save(tmp_path / "b.bmp")
    assert alike(images.read_image(tmp_path / "b.bmp", dims=2).array, GREY > 128)


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_exif_orientation_is_ignored_with_a_warning(tmp_path, name):
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(GREY).save(tmp_path / name, exif=exif)
    Image.fromarray(GREY).save(tmp_path / f"plain_{name}")
    with pytest.warns(DataWarning, match=f"{name}.*EXIF orientation is 6"):
        image = images.read_image(tmp_path / name, dims=2)
    np.testing.assert_array_equal(image.array, images.read_image(tmp_path / f"plain_{name}", dims=2).array)


# Volumes: what a header states of their place.


def itk_frame(image):
    """Homogeneous matrix to mm of a SimpleITK image."""
    return geometry.physical_from_index(image.GetOrigin(), image.GetSpacing(), image.GetDirection())


def rotation(seed):
    matrix, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return matrix if np.linalg.det(matrix) > 0 else matrix * [1, 1, -1]


DIRECTIONS = {
    "LPS": np.eye(3),
    "RAS": np.diag([-1.0, -1.0, 1.0]),
    "exchanged": np.array([[0, -1, 0], [-1, 0, 0], [0, 0, 1.0]]),
    "sagittal": np.array([[0, 0, 1], [1, 0, 0], [0, 1.0, 0]]),
    "oblique": rotation(3),
    "more oblique": rotation(8),
    "left-handed": np.diag([1.0, 1.0, -1.0]),
}


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", ["a.mha", "a.mhd", "a.nrrd", "a.nhdr", "a.nii", "a.nii.gz"])
def test_a_volume_lies_where_itk_finds_it(tmp_path, name, direction):
    stored = sitk.GetImageFromArray(VOLUME)
    stored.SetSpacing((0.5, 0.7, 2.0))
    stored.SetOrigin((1, -20, 33))
    stored.SetDirection(DIRECTIONS[direction].ravel())
    sitk.WriteImage(stored, str(tmp_path / name), name != "a.mhd")
    stored = sitk.ReadImage(str(tmp_path / name))
    turned = sitk.DICOMOrient(stored, "LPS")
    image = images.read_image(tmp_path / name, dims=3)
    np.testing.assert_array_equal(image.array[..., 0], sitk.GetArrayFromImage(turned))
    np.testing.assert_allclose(image.physical_from_array, itk_frame(turned), atol=1e-4)
    np.testing.assert_allclose(image.file_from_array, np.linalg.inv(itk_frame(stored)) @ itk_frame(turned), atol=1e-3)
    np.testing.assert_allclose(image.spacing, turned.GetSpacing(), rtol=1e-5)


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd", "a.nii.gz"])
@pytest.mark.parametrize("turn", [(-1, -1), (1, 1), (-1, 1)])
def test_a_slice_one_deep_keeps_the_frame_of_its_header(tmp_path, name, turn):
    stored = sitk.GetImageFromArray(VOLUME[:1])
    stored.SetSpacing((0.5, 0.7, 2.0))
    stored.SetOrigin((6, 4, 9))
    stored.SetDirection((turn[0], 0, 0, 0, turn[1], 0, 0, 0, 1))
    sitk.WriteImage(stored, str(tmp_path / name))
    image = images.read_image(tmp_path / name, dims=2)
    place = sitk.ReadImage(str(tmp_path / name)).TransformIndexToPhysicalPoint((2, 1, 0))[:2]
    np.testing.assert_allclose(geometry.apply(image.physical_from_array, (2, 1)), place, atol=1e-5)
    np.testing.assert_allclose(image.spacing, (0.5, 0.7), rtol=1e-6)


def nifti(path, data, **changes):
    image = nibabel.Nifti1Image(data, np.diag([-2.0, -3.0, 4.0, 1.0]))
    for name, value in changes.items():
        if name in ("qform", "sform"):
            matrix, code = value
            getattr(image, f"set_{name}")(matrix, code)
        elif name == "unit":
            image.header.set_xyzt_units(value)
        else:
            image.header[name] = value
    nibabel.save(image, path)
    return path


def test_the_unit_of_a_nifti_file_is_honoured(tmp_path):
    for unit, scale in (("mm", 1), ("micron", 1e-3), ("meter", 1e3)):
        image = images.read_image(nifti(tmp_path / "a.nii", VOLUME, unit=unit), dims=3)
        np.testing.assert_allclose(image.spacing, np.array([2, 3, 4]) * scale)
        np.testing.assert_allclose(image.physical_from_array[:3, :3], np.diag([2, 3, 4]) * scale)


def test_of_two_transforms_that_differ_the_one_of_itk_is_taken_with_a_warning(tmp_path):
    base = np.diag([-2.0, -3.0, 4.0, 1.0])
    other = np.eye(4)
    other[:2, :2] = [[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]]
    other = other @ base
    for codes in ((1, 1), (1, 2), (2, 1), (4, 1), (2, 2)):
        path = nifti(tmp_path / "a.nii", VOLUME, qform=(base, codes[0]), sform=(other, codes[1]))
        with pytest.warns(DataWarning, match="differ"):
            image = images.read_image(path, dims=3)
        itk = sitk.DICOMOrient(sitk.ReadImage(str(path)), "LPS")
        np.testing.assert_allclose(image.physical_from_array, itk_frame(itk), atol=1e-4)
        np.testing.assert_array_equal(image.array[..., 0], sitk.GetArrayFromImage(itk))


def test_transforms_that_contradict_each_other_in_left_and_right_are_refused(tmp_path):
    base = np.diag([-2.0, -3.0, 4.0, 1.0])
    path = nifti(tmp_path / "a.nii", VOLUME, qform=(base, 1), sform=(np.diag([-1.0, 1.0, 1.0, 1.0]) @ base, 1))
    with pytest.raises(images.ImageError, match="contradict"):
        images.read_image(path, dims=3)


SHEARED = np.array([[-2, 0.6, 0, 0], [0, -3, 0, 0], [0, 0, 4, 0], [0, 0, 0, 1.0]])
RECORD = np.zeros((4, 5, 6), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])


@pytest.mark.parametrize(
    ("data", "changes", "word"),
    [
        (VOLUME, {"sform": (SHEARED, 2), "qform": (np.eye(4), 0)}, "shear|pixdim"),
        (VOLUME, {"sform": (np.diag([-9.0, -3, 4, 1]), 1), "qform": (np.eye(4), 0), "pixdim": [1, 2, 3, 4, 1, 1, 1, 1]}, "pixdim"),
        (VOLUME.astype("complex64"), {}, "complex"),
        (np.stack([VOLUME] * 2, axis=-1), {}, "several volumes"),
        (VOLUME, {"pixdim": [1, np.nan, 3, 4, 1, 1, 1, 1]}, "pixel size|qform"),
        (np.where(VOLUME > 0, VOLUME, np.nan).astype("float32"), {}, "not finite"),
    ],
)
def test_a_nifti_file_that_cannot_be_honoured_is_refused_by_name(tmp_path, data, changes, word):
    with pytest.raises(images.ImageError, match=rf"odd\.nii.*({word})"):
        images.read_image(nifti(tmp_path / "odd.nii", data, **changes), dims=3)


def test_slopes_and_colours_of_nifti_files_are_applied(tmp_path):
    image = nibabel.Nifti1Image(VOLUME, np.diag([-1, -1, 1, 1]))
    image.header.set_slope_inter(0.5, 7)
    image.to_filename(tmp_path / "a.nii")
    array = np.moveaxis(VOLUME, (0, 1, 2), (2, 1, 0))
    stored = nibabel.load(tmp_path / "a.nii").get_fdata()
    np.testing.assert_allclose(images.read_image(tmp_path / "a.nii", dims=3).array[..., 0], np.moveaxis(stored, (0, 1, 2), (2, 1, 0)))
    assert array.shape == (6, 7, 4)
    record = RECORD.copy()
    record["R"], record["G"] = 200, np.arange(6)
    nibabel.Nifti1Image(record, np.diag([-1, -1, 1, 1])).to_filename(tmp_path / "b.nii")
    found = images.read_image(tmp_path / "b.nii", dims=3, channels=3).array
    np.testing.assert_array_equal(found[:, 0, 0, 1], np.arange(6))
    np.testing.assert_array_equal(found[..., 0], 200)


def test_a_nifti_file_without_orientation_is_warned_of_and_analyze_is_refused(tmp_path):
    path = nifti(tmp_path / "a.nii", VOLUME, qform=(None, 0), sform=(None, 0))
    with pytest.warns(DataWarning, match="no orientation"):
        images.read_image(path, dims=3)
    nibabel.save(nibabel.AnalyzeImage(VOLUME, np.eye(4)), tmp_path / "b.hdr")
    with pytest.raises(images.ImageError, match="Analyze"):
        images.read_image(tmp_path / "b.hdr", dims=3)


def nrrd(path, **fields):
    lines = {"type": "short", "dimension": 3, "sizes": "6 7 4", "encoding": "raw", "endian": "little",
             "space directions": "(2,0,0) (0,3,0) (0,0,4)", "space origin": "(5,6,7)", "space": "left-posterior-superior"}  # fmt: skip
    lines |= {name.replace("_", " "): value for name, value in fields.items()}
    text = "NRRD0005\n" + "".join(f"{name}: {value}\n" for name, value in lines.items() if value is not None) + "\n"
    path.write_bytes(text.encode() + VOLUME.tobytes())
    return path


def test_space_and_units_of_nrrd_files_are_honoured(tmp_path):
    for space, signs in (("left-posterior-superior", (1, 1, 1)), ("RAS", (-1, -1, 1)), ("left-anterior-superior", (1, -1, 1))):
        image = images.read_image(nrrd(tmp_path / "a.nrrd", space=space), dims=3)
        corner = geometry.apply(np.linalg.inv(image.file_from_array), (0, 0, 0))
        np.testing.assert_allclose(geometry.apply(image.physical_from_array, corner), np.array([5, 6, 7]) * signs)
    for unit, scale in (("mm", 1), ("um", 1e-3), ("cm", 10), ("m", 1000)):
        image = images.read_image(nrrd(tmp_path / "a.nrrd", space_units=f'"{unit}" "{unit}" "{unit}"'), dims=3)
        np.testing.assert_allclose(image.spacing, np.array([2, 3, 4]) * scale)
        np.testing.assert_allclose(image.physical_from_array[:3, 3], np.array([5, 6, 7]) * scale)
    plain = nrrd(tmp_path / "a.nrrd", space=None, space_directions=None, space_origin=None)
    assert images.read_image(plain, dims=3).spacing is None
    no_space = dict(space=None, space_directions=None, space_origin=None)
    image = images.read_image(nrrd(tmp_path / "a.nrrd", **no_space, spacings="2 3 4", axis_mins="5 nan 7"), dims=3)
    np.testing.assert_allclose(image.spacing, [2, 3, 4])
    np.testing.assert_allclose(image.physical_from_array[:3, 3], [5, 0, 7])
    with pytest.raises(images.ImageError, match=r"a\.nrrd: its header states spacings \[2\.0, -3\.0, 4\.0\]"):
        images.read_image(nrrd(tmp_path / "a.nrrd", **no_space, spacings="2 -3 4"), dims=3)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"space_units": '"inch" "inch" "inch"'}, "inch"),
        ({"space_units": '"mm" "mm" "um"'}, "mm on all axes"),
        ({"space": "left-posterior-superior-time"}, "space|axes|dimension"),
        ({"space_directions": "(2,1,0) (0,3,0) (0,0,4)"}, "shear"),
        ({"space_directions": "(2,0,0) (0,nan,0) (0,0,4)"}, "directions"),
        ({"encoding": "ascii"}, "ascii"),
        ({"type": "block"}, "block"),
        ({"line_skip": 2}, "line skip"),
        ({"sizes": "6 7 5"}, "cut short"),
        ({"sizes": "6 0 5"}, "without pixels"),
    ],
)
def test_an_nrrd_file_that_cannot_be_honoured_is_refused_by_name(tmp_path, fields, word):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(images.ImageError, match=rf"odd\.nrrd.*({word})"):
            images.read_image(nrrd(tmp_path / "odd.nrrd", **fields), dims=3)


def meta(path, **fields):
    lines = {"ObjectType": "Image", "NDims": 3, "TransformMatrix": "1 0 0 0 1 0 0 0 1", "Offset": "5 6 7", "ElementSpacing": "2 3 4",
             "DimSize": "6 7 4", "ElementType": "MET_SHORT"}  # fmt: skip
    lines |= fields
    text = "".join(f"{name} = {value}\n" for name, value in lines.items() if value is not None) + "ElementDataFile = LOCAL\n"
    path.write_bytes(text.encode() + VOLUME.tobytes())
    return path


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"TransformMatrix": "2 0 0 0 1 0 0 0 1"}, "scale or shear"),
        ({"TransformMatrix": "1 0.5 0 0 1 0 0 0 1"}, "scale or shear"),
        ({"TransformMatrix": "1 0 0 0 1 0 0 0 nan"}, "TransformMatrix"),
        ({"TransformMatrix": "1 0 0 1"}, "9 finite numbers"),
        ({"TransformMatrix": "0 0 0 0 0 0 0 0 0"}, "scale or shear"),
        ({"ElementSpacing": "2 0 4"}, "positive"),
        ({"ElementSpacing": "2 inf 4"}, "finite"),
        ({"Offset": "x y z"}, "Offset"),
        ({"ElementType": "MET_STRING"}, "STRING"),
        ({"DimSize": "6 7 -4"}, "size"),
        ({"DimSize": "6 7 5"}, "cut short"),
        ({"BinaryData": "False"}, "text"),
        ({"NDims": 4, "DimSize": "6 7 2 2"}, "two or three"),
    ],
)
def test_a_metaimage_that_cannot_be_honoured_is_refused_by_name(tmp_path, fields, word):
    with pytest.raises(images.ImageError, match=rf"odd\.mha.*{word}"):
        images.read_image(meta(tmp_path / "odd.mha", **fields), dims=3)


def test_a_metaimage_without_a_pixel_size_has_none(tmp_path):
    image = images.read_image(meta(tmp_path / "a.mha", ElementSpacing=None), dims=3)
    assert image.spacing is None
    with pytest.raises(images.ImageError, match="no pixel size"):
        image.own_from_array("physical")
    image = images.read_image(meta(tmp_path / "b.mha", BinaryDataByteOrderMSB="True"), dims=3)
    np.testing.assert_array_equal(image.array[..., 0], VOLUME.astype(">i2").view("<i2").astype(float))
