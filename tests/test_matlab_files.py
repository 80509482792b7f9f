"""Landmarks in MATLAB files, of all versions."""

import time

import h5py
import numpy as np
import pytest
import scipy.io

import scn_tf
from scn_tf.data import matlab_files, workers
from scn_tf.data.annotations import ANNOTATIONS, Annotations, Expected, read_any, recognised
from tests.volume_samples import NAMES, POINTS

MAT = ANNOTATIONS["mat"]


def cells(*texts):
    column = np.empty((len(texts), 1), object)
    column[:, 0] = texts
    return column


def read_mat(folder, content, **expected):
    path = folder / "case 1.mat"
    scipy.io.savemat(path, content)
    assert recognised(path) == [MAT]
    return read_any(path, Expected(**expected), MAT)


def test_tables_of_matlab_files_are_read(tmp_path):
    table = np.arange(10.0).reshape(5, 2)
    table[3, 0] = np.nan
    found = read_mat(tmp_path, {"anything": table, "note": "by hand", "spacing": np.array([[0.1, 0.2, 0.3, 0.4]])})
    assert (found.names, found.frame) == (None, "stated")
    np.testing.assert_array_equal(found.points["case 1"], np.where(np.isnan(table).any(axis=1, keepdims=True), np.nan, table))
    names = cells("n1", "n2", "n3", "n4", "n5")
    assert read_mat(tmp_path, {"xy": table, "other": table, "labels": names}).names == ("n1", "n2", "n3", "n4", "n5")
    assert read_mat(tmp_path, {"data": {"pts": table, "names": names}}).names == ("n1", "n2", "n3", "n4", "n5")
    assert read_mat(tmp_path, {"xy": np.int16(table[:3])}).points["case 1"].dtype == "float64"


@pytest.mark.parametrize("axes", [(1, 2, 0), (0, 1, 2)], ids=["N,d,I", "I,N,d"])
def test_tables_of_several_images_are_read_either_way(tmp_path, axes):
    stack = np.arange(4 * 5 * 3.0).reshape(4, 5, 3)  # images, landmarks, coordinates
    found = read_mat(tmp_path, {"landmarks": np.transpose(stack, axes)})
    assert list(found.points) == ["1", "2", "3", "4"]
    np.testing.assert_array_equal(list(found.points.values()), stack)
    found = read_mat(tmp_path, {"landmarks": np.transpose(stack, axes), "files": cells("x/a.png", "x/b.png", "c.png", "d.png")})
    assert list(found.points) == ["a", "b", "c", "d"]
    assert found.images["b"] == "x/b.png"


def test_axes_that_a_shape_does_not_tell_need_names_or_a_description(tmp_path):
    either = np.arange(3 * 2 * 2.0).reshape(3, 2, 2)
    with pytest.raises(scn_tf.DatasetError, match=r"received \(3, 2, 2\), which may be either. Add the names"):
        read_mat(tmp_path, {"points": either})
    np.testing.assert_array_equal(list(read_mat(tmp_path, {"points": either}, names=("p", "q"), dims=2).points.values()), either)
    found = read_mat(tmp_path, {"points": either, "names": cells("p", "q", "r")})
    np.testing.assert_array_equal(found.points["2"], either[:, :, 1])


def test_named_points_and_structs_of_matlab_files_are_read(tmp_path):
    found = read_mat(tmp_path, {"tip": [1.0, 2, 3], "base": [[4.0], [5], [6]]})
    assert found.names == ("tip", "base")
    np.testing.assert_array_equal(found.points["case 1"], [[1, 2, 3], [4, 5, 6]])
    assert read_mat(tmp_path, {"landmarks": {"tip": [1.0, 2], "base": [3.0, 4]}}).names == ("tip", "base")
    records = np.array([("tip", 1.0, 2.0), ("base", 3.0, 4.0)], [("name", object), ("x", object), ("y", object)])
    found = read_mat(tmp_path, {"s": records})
    assert found.names == ("tip", "base")
    np.testing.assert_array_equal(found.points["case 1"], [[1, 2], [3, 4]])
    images = np.array([("a.png", np.eye(3, 2)), ("b.png", np.ones((3, 2)))], [("image", object), ("pts", object)])
    found = read_mat(tmp_path, {"s": images})
    np.testing.assert_array_equal(found.points["b"], np.ones((3, 2)))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"p": np.ones((4, 2)), "q": np.ones((5, 2))}, r"several variables may be the points: p \(4, 2\), q \(5, 2\)"),
        ({"p": np.ones((2, 9))}, r"expected an array of points .* received p \(2, 9\), to be transposed"),
        ({"p": np.ones((9, 4)), "t": "x"}, r"received p \(9, 4\), t \(text\)"),
        ({"p": np.ones((4, 2)), "names": cells("a", "b")}, "has 2 names of landmarks, but 4 points per image"),
        ({"p": np.ones((2, 2)), "names": cells("a", "a")}, "a landmark is named twice: a"),
        ({"p": np.array([[1, 2], [np.inf, 3]])}, "a coordinate is infinite"),
        ({"s": np.array([("a", 1.0), ("a", 2.0)], [("n", object), ("x", object)])}, "struct 1 of 2: expected one name"),
        ({}, "received no variable"),
        ({"c": np.ones((3, 2)) * 1j}, "received c <ndarray>"),
    ],
)
def test_matlab_files_without_a_clear_table_are_refused(tmp_path, content, reason):
    with pytest.raises(scn_tf.DatasetError, match=reason):
        read_mat(tmp_path, content)


def matlab73(path, extra=lambda file: None):
    """An HDF5 file as MATLAB writes -v7.3: columns first, texts as numbers, cells as references."""
    with h5py.File(path, "w", userblock_size=512) as file:
        stored = file.create_dataset("points", data=np.arange(12.0).reshape(4, 3).T)
        stored.attrs["MATLAB_class"] = np.bytes_("double")
        references = file.create_group("#refs#")
        names = file.create_dataset("names", (1, 4), h5py.ref_dtype)
        names.attrs["MATLAB_class"] = np.bytes_("cell")
        for number, text in enumerate(("A", "left B", "C", "D")):
            one = references.create_dataset(f"n{number}", data=np.array([[ord(letter)] for letter in text], "uint16"))
            one.attrs["MATLAB_class"] = np.bytes_("char")
            names[0, number] = one.ref
        extra(file)
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512))


def test_matlab_files_of_version_73_are_read(tmp_path):
    path = tmp_path / "case.mat"
    matlab73(path)
    assert recognised(path) == [MAT]
    found = read_any(path, Expected(), MAT)
    assert found.names == ("A", "left B", "C", "D")
    np.testing.assert_array_equal(found.points["case"], np.arange(12.0).reshape(4, 3))
    (tmp_path / "secret.h5").write_bytes(path.read_bytes())
    matlab73(path, lambda file: file.__setitem__("more", h5py.ExternalLink("secret.h5", "points")))
    with pytest.raises(scn_tf.DatasetError, match="more: links are not read"):
        read_any(path, Expected(), MAT)
    matlab73(path, lambda file: file.create_dataset("more", (4,), "uint8", external=[("secret.h5", 0, 4)]))
    with pytest.raises(scn_tf.DatasetError, match="data in other files is not read"):
        read_any(path, Expected(), MAT)
    matlab73(path, lambda file: file.create_dataset("more", (10**6, 10**6), "float64", chunks=(1000, 1000)))
    with pytest.raises(scn_tf.DatasetError, match="holds more than 5,000,000 numbers"):
        read_any(path, Expected(), MAT)


def test_damaged_matlab_files_are_refused_and_the_next_is_read(tmp_path):
    scipy.io.savemat(tmp_path / "good.mat", {"p": np.arange(10.0).reshape(5, 2)})
    good = (tmp_path / "good.mat").read_bytes()
    bad = tmp_path / "bad.mat"
    start = time.perf_counter()
    for content in (b"", b"MATLAB 5.0", good[:200], good[:130] + b"\xff" * 60 + good[190:], b"\x89HDF\r\n\x1a\n" + bytes(600)):
        bad.write_bytes(content)
        with pytest.raises(scn_tf.DatasetError, match=r"bad\.mat: (cannot be read as a MATLAB file|is damaged)"):
            read_any(bad, Expected(), MAT)
    scipy.io.savemat(bad, {"p": np.zeros((2000, 3000))}, do_compression=True)  # 48 MB in a few kB
    with pytest.raises(scn_tf.DatasetError, match="holds more than 5,000,000 numbers"):
        read_any(bad, Expected(), MAT)
    np.testing.assert_array_equal(read_any(tmp_path / "good.mat", Expected(), MAT).points["good"], np.arange(10.0).reshape(5, 2))
    assert time.perf_counter() - start < 20


def test_a_reader_that_crashes_is_replaced(tmp_path, monkeypatch):
    scipy.io.savemat(tmp_path / "good.mat", {"p": np.arange(10.0).reshape(5, 2)})
    read_any(tmp_path / "good.mat", Expected(), MAT)
    workers._idle[matlab_files.PROGRAM][-1].kill()
    assert read_any(tmp_path / "good.mat", Expected(), MAT).points["good"].shape == (5, 2)
    monkeypatch.setattr(matlab_files, "PROGRAM", "import os; from scn_tf.data.workers import serve; serve(lambda path: os.abort(), 2**32)")
    with pytest.raises(scn_tf.DatasetError, match=r"good\.mat: is damaged or too large: its reader crashes"):
        read_any(tmp_path / "good.mat", Expected(), MAT)
    monkeypatch.setattr(matlab_files.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(scn_tf.errors.MissingExtra, match="needs scipy"):
        read_any(tmp_path / "good.mat", Expected(), MAT)


@pytest.mark.parametrize("frame", ["pixel", "physical", "stated"])
def test_what_is_written_for_matlab_is_read(tmp_path, frame):
    path = tmp_path / "out.mat"
    start = Annotations(POINTS, {}, NAMES, frame, images={"a": "x/a.png"})
    MAT.write(path, start, {})
    MAT.write(path, start, {})  # over its own file
    found = read_any(path, Expected(), MAT)
    assert (found.names, found.frame, found.images["a"]) == (NAMES, frame, "x/a.png")
    for image_id, points in POINTS.items():
        np.testing.assert_array_equal(found.points[image_id], points)
    square = Annotations({"a": np.array([[1.0, 2], [3, 4]]), "b": np.array([[5.0, 6], [7, 8]])}, {}, ("p", "q"), frame)
    MAT.write(path, square, {})
    np.testing.assert_array_equal(read_any(path, Expected(), MAT).points["b"], [[5, 6], [7, 8]])
    (tmp_path / "more").mkdir()
    for name in ("c", "d"):
        scipy.io.savemat(tmp_path / "more" / f"{name}.mat", {"p": np.ones((5, 2))})
    assert set(read_any(tmp_path / "more", Expected(), MAT).points) == {"c", "d"}
    with pytest.raises(scn_tf.errors.WriteError, match="was not written by scn_tf"):
        MAT.write(tmp_path / "more" / "c.mat", start, {})
