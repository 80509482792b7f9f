"""Files that are cut short or damaged are refused by name, in every format, at every place."""

import io
import itertools
import warnings

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from PIL import Image

from scn_tf.data import images
from tests import dicom_files

Z, Y, X = np.mgrid[:5, :7, :6]
VOLUME = (1000 + 300 * np.sin(X / 2) + 10 * Z + Y % 3).astype("int16")
PLANE = np.random.default_rng(0).integers(0, 255, (13, 11)).astype("uint8")
COLOUR = np.dstack([PLANE, PLANE[::-1], PLANE // 2])


def by_itk(path, array, packed=False):
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path), packed)


def by_pillow(path, array, **options):
    Image.fromarray(array).save(path, **options)


def pair(path, array):
    nibabel.save(nibabel.Nifti1Pair(array.T, np.diag([-1, -1, 1, 1])), path)


# What each test writes: name of the file, function, array.
WHOLE = {
    "volume.mha": lambda path: by_itk(path, VOLUME),
    "packed.mha": lambda path: by_itk(path, VOLUME, True),
    "volume.mhd": lambda path: by_itk(path, VOLUME),
    "packed.mhd": lambda path: by_itk(path, VOLUME, True),
    "volume.nrrd": lambda path: by_itk(path, VOLUME),
    "packed.nrrd": lambda path: by_itk(path, VOLUME, True),
    "volume.nhdr": lambda path: by_itk(path, VOLUME),
    "packed.nhdr": lambda path: by_itk(path, VOLUME, True),
    "volume.nii": lambda path: by_itk(path, VOLUME),
    "volume.nii.gz": lambda path: by_itk(path, VOLUME),
    "volume.hdr": lambda path: pair(path, VOLUME),
    "volume.gipl": lambda path: by_itk(path, VOLUME),
    "volume.vtk": lambda path: by_itk(path, VOLUME),
    "grey.png": lambda path: by_pillow(path, PLANE),
    "deep.png": lambda path: by_itk(path, PLANE.astype("uint16") * 257),
    "colour.png": lambda path: by_pillow(path, COLOUR),
    "grey.jpg": lambda path: by_pillow(path, PLANE),
    "colour.jpg": lambda path: by_pillow(path, COLOUR),
    "progressive.jpg": lambda path: by_pillow(path, COLOUR, progressive=True),
    "grey.bmp": lambda path: by_pillow(path, PLANE),
    "colour.bmp": lambda path: by_pillow(path, COLOUR),
    "plain.tif": lambda path: tifffile.imwrite(path, PLANE),
    "volume.tif": lambda path: by_itk(path, VOLUME),
    "volume.tiff": lambda path: tifffile.imwrite(path, VOLUME, photometric="minisblack", metadata=None, bigtiff=True),
    "lzw.tif": lambda path: tifffile.imwrite(path, PLANE, compression="lzw"),
    "deflate.tif": lambda path: tifffile.imwrite(path, PLANE, compression="deflate", rowsperstrip=4),
    "packbits.tif": lambda path: tifffile.imwrite(path, PLANE, compression="packbits"),
    "jpeg.tif": lambda path: tifffile.imwrite(path, PLANE, compression="jpeg"),
    "tiles.tif": lambda path: tifffile.imwrite(path, COLOUR, photometric="rgb", tile=(16, 16)),
    "by_libtiff.tiff": lambda path: by_pillow(path, COLOUR, compression="tiff_adobe_deflate"),
    "alpha.tiff": lambda path: by_pillow(path, np.dstack([COLOUR, PLANE]), compression="packbits"),
}
GREYS = ("grey", "deep", "plain", "lzw", "deflate", "packbits", "jpeg")


def refusal(path):
    """The message with which a file is refused; None if it is read."""
    try:
        assert np.isfinite(read(path).array).all()
    except images.ImageError as error:
        return str(error)
    return None


def read(path):
    dims = 3 if path.stem.split(".")[0] in ("volume", "packed") and path.suffix != ".dcm" else 2
    return images.read_image(path, dims=dims)


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_cut_anywhere_is_refused_by_name(tmp_path, name, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        WHOLE[name](tmp_path / name)
    whole = read(tmp_path / name).array
    reference = VOLUME if whole.ndim == 4 else PLANE if name.split(".")[0] in GREYS else None
    if reference is not None:
        assert np.corrcoef(whole.ravel(), reference.ravel())[0, 1] > 0.98
    capfd.readouterr()
    for part in sorted(tmp_path.iterdir()):
        content = part.read_bytes()
        # The last byte of a header beside its pixels is a line break, without which it means the same.
        last = len(content) - (part.suffix in (".mhd", ".nhdr"))
        step = 1 if len(content) < 700 else 3 if len(content) < 1500 else 9
        for length in sorted({*range(0, last, step), *range(max(0, last - 12), last)}):
            part.write_bytes(content[:length])
            with pytest.raises(images.ImageError) as caught:
                read(tmp_path / name)
            assert name.split(".")[0] in str(caught.value)
        part.write_bytes(content)
    assert capfd.readouterr() == ("", "")  # decoders' own lines name no file


@pytest.mark.parametrize(
    "name", [name for name in WHOLE if name.endswith(("png", "jpg", "bmp", "tif", "tiff", "nii.gz", "mha", "nrrd", "vtk"))]
)
def test_damaged_bytes_end_no_process_and_print_nothing(tmp_path, name, capfd):
    WHOLE[name](tmp_path / name)
    content, rng = (tmp_path / name).read_bytes(), np.random.default_rng(3)
    capfd.readouterr()
    for _ in range(60):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), rng.integers(1, 9)):
            damaged[place] = rng.integers(0, 256)
        (tmp_path / name).write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert name in (refusal(tmp_path / name) or name)
    assert capfd.readouterr() == ("", "")


def test_a_damaged_packed_dicom_ends_no_process(tmp_path, capfd):
    plane = np.add.outer(np.arange(64) * 40, np.arange(48) * 30).astype("uint16")
    rng, good = np.random.default_rng(1), dicom_files.write(tmp_path / "good.dcm", plane)
    for packing in ("JPEG", "JPEG2000"):
        writer = sitk.ImageFileWriter()
        writer.SetFileName(str(tmp_path / "packed.dcm"))
        writer.UseCompressionOn()
        writer.SetCompressor(packing)
        writer.Execute(sitk.GetImageFromArray(plane[None]))
        content = (tmp_path / "packed.dcm").read_bytes()
        capfd.readouterr()
        for _ in range(12):
            damaged = bytearray(content)
            for place in rng.integers(len(content) // 2, len(content), 6):
                damaged[place] = rng.integers(0, 256)
            (tmp_path / "packed.dcm").write_bytes(damaged)
            assert "packed.dcm" in (refusal(tmp_path / "packed.dcm") or "packed.dcm")
            np.testing.assert_array_equal(images.read_image(good, dims=2).array[..., 0], plane)
    assert capfd.readouterr() == ("", "")


def test_a_reader_that_crashes_or_hangs_is_told_from_the_next_file(tmp_path, monkeypatch):
    from scn_tf.data.images import isolated

    good = dicom_files.write(tmp_path / "good.dcm", PLANE.astype("uint16"))
    serving = "from scn_tf.data.images.isolated import serve; "
    crashing = "import os; serve(lambda path, series: os.kill(os.getpid(), 11))"
    hanging = "import time; serve(lambda path, series: time.sleep(60))"
    for program in (crashing, hanging):
        with monkeypatch.context() as patch:
            patch.setattr(isolated, "PROGRAM", serving + program)
            patch.setattr(isolated, "SECONDS", 6)  # a busy machine starts a process in some seconds
            with pytest.raises(images.ImageError, match=r"good\.dcm.*(crashes|longer)"):
                images.read_image(good, dims=2)
    np.testing.assert_array_equal(images.read_image(good, dims=2).array[..., 0], PLANE)


def test_a_header_that_promises_gigabytes_is_refused_before_memory_is_taken(tmp_path):
    import resource

    huge = b"65535 65535"
    head = b"NDims = 2\nDimSize = %b\nElementSpacing = 1 1\nElementType = MET_SHORT\n" % huge
    (tmp_path / "a.mha").write_bytes(head + b"CompressedData = True\nElementDataFile = LOCAL\n" + bytes(99))
    (tmp_path / "b.nrrd").write_bytes(
        b"NRRD0004\ntype: short\ndimension: 2\nsizes: %b\nendian: little\nencoding: gzip\n\n" % huge + bytes(99)
    )
    header = nibabel.Nifti1Header()
    header.set_data_dtype("int16")
    header.set_data_shape((32000, 32000, 3))
    (tmp_path / "c.nii").write_bytes(header.binaryblock + bytes(99))
    png = io.BytesIO()
    Image.fromarray(np.zeros((20000, 20000), "uint8")).save(png, "PNG")
    (tmp_path / "d.png").write_bytes(png.getvalue())
    dicom_files.write(tmp_path / "e.dcm", PLANE, Rows=65535, Columns=65535)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for path, dims in itertools.product(sorted(tmp_path.iterdir()), (2, 3)):
        with pytest.raises(images.ImageError, match=path.name):
            images.read_image(path, dims=dims)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_data_files_lie_in_the_folder_of_their_header(tmp_path):
    (tmp_path / "secret.raw").write_bytes(bytes(70))
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "link.raw").symlink_to(tmp_path / "secret.raw")
    meta = "NDims = 2\nDimSize = 7 5\nElementSpacing = 1 1\nElementType = MET_SHORT\nElementDataFile = {}\n"
    nrrd = "NRRD0004\ntype: short\ndimension: 2\nsizes: 7 5\nendian: little\nencoding: raw\ndata file: {}\n"
    for text, name in ((meta, "a.mhd"), (nrrd, "a.nhdr")):
        for named in ("../secret.raw", str(tmp_path / "secret.raw"), "link.raw", "LIST", "slice%03d.raw 1 5 1", "gone.raw", "a\0b", "."):
            (folder / name).write_text(text.format(named))
            with pytest.raises(images.ImageError, match=name.replace(".", r"\.")):
                images.read_image(folder / name, dims=2)
        (folder / "own.raw").write_bytes(bytes(range(70)))
        (folder / name).write_text(text.format("own.raw"))
        assert images.read_image(folder / name, dims=2).array.shape == (5, 7, 1)


def test_the_file_that_was_named_is_read_not_one_beside_it(tmp_path):
    for number, name in enumerate(("x.nii", "x.nii.gz", "x.mha", "x.nrrd"), start=1):
        by_itk(tmp_path / name, VOLUME * number)
    pair(tmp_path / "x.hdr", VOLUME * 5)
    for number, name in enumerate(("x.nii", "x.nii.gz", "x.mha", "x.nrrd", "x.hdr"), start=1):
        np.testing.assert_array_equal(images.read_image(tmp_path / name, dims=3).array.max(), VOLUME.max() * number)


def test_a_file_of_another_format_than_its_name_is_refused_with_what_it_is(tmp_path):
    by_pillow(tmp_path / "photo.png", PLANE)
    for name in ("photo.jpg", "photo.bmp", "photo.tif", "photo.nrrd", "photo.vtk"):
        (tmp_path / name).write_bytes((tmp_path / "photo.png").read_bytes())
        with pytest.raises(images.ImageError, match="it is PNG"):
            read(tmp_path / name)
    for name in ("empty.png", "empty.dcm", "empty.nii", "empty.mha", "noending"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(images.ImageError, match=f"{name}.*empty"):
            read(tmp_path / name)
