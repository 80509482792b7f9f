"""``scn-tf batch``: one row per image, whatever happens to a worker, a file or a name."""

import contextlib
import io
import os
import shutil

import numpy as np
import pytest

pytest.importorskip("distributed")
pytest.importorskip("pyarrow")

from scn_tf import cli
from scn_tf.data import stores
from scn_tf.errors import ConfigError, ImageError, WriteError
from scn_tf.prediction import cluster, listing
from scn_tf.prediction.listing import Item
from scn_tf.prediction.parts import Parts
from tests.batch_tasks import answered
from tests.conftest import SAME_RADIUS, SUBPIXEL

SLOW = pytest.mark.skipif(not os.environ.get("SCN_TF_SLOW"), reason="takes minutes; SCN_TF_SLOW=1 runs it")
# Dask closes its sockets and loops when it likes.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


def rows(url, kind):
    return [row for name in stores.files_in(f"{url}/{kind}") for row in stores.read_parquet(name)]


@pytest.fixture
def folder(hands_2d, tmp_path):
    """Ten images and a broken one."""
    copied = shutil.copytree(hands_2d / "images", tmp_path / "images")
    (copied / "hand_004b.png").write_bytes(b"\x89PNG broken")
    return copied


@pytest.fixture
def memory():
    """A store that is no folder of this machine."""
    import fsspec

    store = fsspec.filesystem("memory")
    yield store
    store.store.clear()
    store.pseudo_dirs[:] = [""]


def killed_after(count):
    """A progress bar that kills a worker after so many images."""
    import psutil

    def progress(total, done):
        seen = [0]

        def counted(more):
            before, seen[0] = seen[0], seen[0] + more
            if before < count <= seen[0]:
                workers = [one for one in psutil.Process().children() if "spawn_main" in "".join(one.cmdline())]
                assert workers
                workers[0].kill()

        return counted

    return progress


def test_a_batch_answers_like_predict_and_has_one_row_an_image_after_a_worker_was_killed(calibrated_2d, folder, tmp_path, capsys):
    from scn_tf.prediction.batch import predict_batch
    from scn_tf.storage import tables

    out = str(tmp_path / "answers")
    result = predict_batch(calibrated_2d, str(folder), out, processes=2, partition=1, progress=killed_after(2))
    assert (result.found, result.failed, result.left_out) == (10, 1, 0)
    found, errors = rows(out, "predictions"), rows(out, "errors")
    assert sorted(row["id"] for row in found) == [f"hand_00{number}" for number in range(10)]
    assert [(row["id"], row["source"]) for row in errors] == [("hand_004b", str(folder / "hand_004b.png"))]
    assert "hand_004b.png" in errors[0]["error"]
    assert cli.main(["predict", str(calibrated_2d), str(folder), "--out", str(tmp_path / "p.csv")]) == 1
    header, *table = tables.read(tmp_path / "p.csv")
    by_id = {row["id"]: row for row in found}
    for line in table:
        expected = dict(zip(header, line, strict=True))
        row = by_id[expected["id"]]
        (point,) = [one for one in row["landmarks"] if one["name"] == expected["landmark"]]
        # A partition is another batch for the network than a whole folder.
        np.testing.assert_allclose([point["x"], point["y"]], [float(expected["x"]), float(expected["y"])], atol=SUBPIXEL)
        for column in ("score", "expected_error", "radius95"):
            np.testing.assert_allclose(point[column], float(expected[column]), rtol=SAME_RADIUS)
        assert (row["error_unit"], str(int(point["present"])), str(int(row["image_ok"]))) == tuple(
            expected[name] for name in ("unit", "present", "image_ok")
        )
    assert by_id["hand_003"]["coordinates"] == "pixel"
    assert by_id["hand_003"]["source"] == str(folder / "hand_003.png")
    # Nothing is left to do, and other images are another batch.
    capsys.readouterr()
    again = ["batch", str(folder), "--model", str(calibrated_2d), "--out", out]
    assert cli.main(again) == 1
    assert "holds a batch. --resume continues it; otherwise choose another --out." in capsys.readouterr().err
    before = stores.files_in(out)
    assert cli.main([*again, "--resume"]) == 1
    assert capsys.readouterr().out == f"10 images predicted, 1 image with an error (11 done earlier): {out}\n"
    assert stores.files_in(out) == before
    (folder / "hand_001.png").unlink()
    assert cli.main([*again, "--resume"]) == 1
    assert "was begun with another images." in capsys.readouterr().err


def test_an_image_that_ends_every_worker_has_an_error_and_an_interrupted_batch_continues(calibrated_2d, folder, memory, monkeypatch):
    """The cluster is this process, where no image ends a worker: it says so of two partitions, and is interrupted once."""
    from scn_tf.prediction.batch import predict_batch

    called = []

    def each(function, tasks, *, scheduler, processes):
        for task in tasks:
            called.append([item.id for item in task.items])
            if "hand_007" in called[-1] and len(called) < 5:
                raise KeyboardInterrupt
            yield task, None if "hand_003" in called[-1] else function(task)

    monkeypatch.setattr(cluster, "each", each)
    with pytest.raises(KeyboardInterrupt):
        predict_batch(calibrated_2d, str(folder), "memory://out", partition=3)
    result = predict_batch(calibrated_2d, str(folder), "memory://out", partition=4, resume=True)
    assert (result.found, result.failed, result.resumed) == (9, 2, 3)
    found, errors = rows("memory://out", "predictions"), rows("memory://out", "errors")
    assert sorted(row["id"] for row in found) == [f"hand_00{number}" for number in range(10) if number != 3]
    assert {row["id"]: row["error"].partition(": ")[2] for row in errors}["hand_003"].startswith("ends every worker that reads it")
    assert sorted(row["id"] for row in errors) == ["hand_003", "hand_004b"]
    assert called[:3] == [["hand_000", "hand_001", "hand_002"], ["hand_003", "hand_004", "hand_004b"], ["hand_005", "hand_006", "hand_007"]]
    assert called[-4:] == [["hand_003"], ["hand_004"], ["hand_004b"], ["hand_005"]]


@SLOW
def test_a_thousand_images_have_a_row_each_after_a_worker_was_killed(calibrated_2d, tmp_path):
    from PIL import Image

    from scn_tf.prediction.batch import predict_batch

    folder, rng = tmp_path / "images", np.random.default_rng(3)
    folder.mkdir()
    for number in range(1000):
        path = folder / f"{number:04d}.png"
        Image.fromarray(rng.integers(0, 255, (40 + number % 7, 30), "uint8")).save(path)
        if number % 100 == 50:
            path.write_bytes(path.read_bytes()[:60])
    out = str(tmp_path / "answers")
    result = predict_batch(calibrated_2d, str(folder), out, processes=2, partition=20, progress=killed_after(300))
    assert (result.found, result.failed) == (990, 10)
    found, errors = ([row["id"] for row in rows(out, kind)] for kind in ("predictions", "errors"))
    assert sorted(found + errors) == [f"{number:04d}" for number in range(1000)]
    assert sorted(errors) == [f"{number:04d}" for number in range(50, 1000, 100)]
    assert len(stores.files_in(f"{out}/predictions")) == 50


def test_a_task_that_ends_every_worker_costs_itself_alone():
    import dask

    with dask.config.set({"distributed.scheduler.allowed-failures": 1}):
        found = dict(cluster.each(answered, range(6), scheduler=None, processes=1))
    assert found.pop(3) is None
    assert {task for task, result in found.items() if result == task + 10} | {task for task in found if found[task] is None} == {
        0,
        1,
        2,
        4,
        5,
    }
    assert found[0] == 10


def test_a_cluster_that_does_not_answer_is_named():
    import dask

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(ConfigError, match=r"`scheduler`: no cluster at tcp://127\.0\.0\.1:9"),
    ):
        list(cluster.each(answered, [0], scheduler="tcp://127.0.0.1:9", processes=1))


def test_images_of_a_store_become_parquet_in_a_store(calibrated_2d, hands_2d, memory, tmp_path):
    from scn_tf import predict
    from scn_tf.prediction.transform import Job, Partition, predict_partition

    before = sorted(os.listdir(tmp_path))
    for name, path in (("in/a.png", "hand_000.png"), ("in/../../up/a.png", "hand_001.png"), ("in/sub/b.png", "hand_002.png")):
        memory.pipe_file(f"/{name}", (hands_2d / "images" / path).read_bytes())
    memory.pipe_file("/in/cut.png", b"\x89PNG broken")
    items, left_out = listing.read("memory://in", dims=2)
    assert left_out == []
    items += [Item("../../escape", "memory://in/sub/b.png"), Item("gone", "memory://in/gone.png")]
    job = Job(str(calibrated_2d), predict.identity(calibrated_2d), "memory://out")
    for _ in range(2):  # as after a kill
        assert sum(predict_partition(job, Partition(7, tuple(items)))) == len(items)
    found, errors = rows("memory://out", "predictions"), rows("memory://out", "errors")
    assert sorted(row["id"] for row in found + errors) == sorted(item.id for item in items)
    assert sorted(row["id"] for row in errors) == ["cut", "gone"]
    assert {row["id"]: row["error"] for row in errors}["gone"] == "memory://in/gone.png: no such file or folder."
    assert all("scn_tf-" not in row["error"] for row in errors)  # the place of the copy
    assert stores.files_in("memory://out") == ["memory:///out/errors/part-00007.parquet", "memory:///out/predictions/part-00007.parquet"]
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("kind", ["txt", "csv", "parquet", "parts"])
def test_lists_and_tables_name_images_beside_them_and_elsewhere(kind, tmp_path):
    import pyarrow
    from pyarrow import parquet

    named = {"first": "sub/a.png", "second": "/data/a.png", "third": "s3://bucket/a.png"}
    path = tmp_path / f"list.{kind}"
    if kind == "txt":
        path.write_text("\n".join(named.values()) + "\n\n")
    elif kind == "csv":
        path.write_text("id,file\n" + "".join(f"{key},{value}\n" for key, value in named.items()))
    else:
        table = pyarrow.table({"id": list(named), "source": list(named.values()), "error": ["?"] * 3})
        path = path if kind == "parquet" else tmp_path / "errors"
        path.mkdir() if kind == "parts" else None
        parquet.write_table(table, path / "part-00000.parquet" if kind == "parts" else path)
    items, _ = listing.read(str(path), dims=2)
    assert [item.source for item in items] == [str((path if kind == "parts" else tmp_path) / "sub/a.png"), *list(named.values())[1:]]
    assert [item.id for item in items] == (["sub_a", "data_a", "bucket_a"] if kind == "txt" else list(named))


def test_tables_that_name_no_images_are_refused(tmp_path):
    for text, match in (
        ("id,place\na,b\n", "expected a column source, path, file or image"),
        ("source,id\na.png,a\n,b\n", "row 2: source is empty"),
        ("source,id\na.png,a\nb.png,a\n", "2 images have the ID a"),
        ("", "expected a column"),
    ):
        (tmp_path / "list.csv").write_text(text)
        with pytest.raises(ImageError, match=match):
            listing.read(str(tmp_path / "list.csv"), dims=2)
    with pytest.raises(ImageError, match="no such file"):
        listing.read(str(tmp_path / "none.csv"), dims=2)


def test_a_kill_between_both_files_leaves_the_partition_undone(memory):
    url = "memory://out"
    parts = Parts(url)
    assert parts.begin({"model": "m"}, resume=False) == (set(), set())
    for number in (0, 1, 2):
        row = {"id": f"b{number}", "source": "t", "landmarks": [{"name": "n", "x": 1.0, "y": 2.0}]}
        parts.write(number, [row], [{"id": f"a{number}", "source": "s", "error": "e"}], dims=2, about={})
    stores.remove(f"{url}/predictions/part-00001.parquet")
    assert parts.begin({"model": "m"}, resume=True) == ({"b0", "b2"}, {"a0", "a2"})
    assert parts.following == 3
    assert sorted(row["id"] for row in rows(url, "errors")) == ["a0", "a2"]
    with pytest.raises(WriteError, match=r"was begun with another model\. Choose another `out`"):
        parts.begin({"model": "n"}, resume=True)
    stores.write(f"{url}/predictions/part-00002.parquet", b"cut")
    with pytest.raises(WriteError, match=r"part-00002\.parquet: cannot be read.*Remove the partition"):
        parts.begin({"model": "m"}, resume=True)


def test_a_folder_of_others_stays(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(WriteError, match="holds other files; choose another `out`"):
        Parts(str(tmp_path)).begin({}, resume=True)
    assert os.listdir(tmp_path) == ["mine.txt"]


def test_volumes_have_z(tmp_path):
    point = {"name": "n", "x": 1.0, "y": 2.0, "z": 3.0, "score": 0.5}
    parts = Parts(str(tmp_path / "out"))
    parts.begin({}, resume=False)
    parts.write(0, [{"id": "a", "source": "s", "landmarks": [point]}], [], dims=3, about={"model": "hands"})
    (row,) = rows(str(tmp_path / "out"), "predictions")
    assert {name: value for name, value in row["landmarks"][0].items() if value is not None} == point
    from pyarrow import parquet

    with contextlib.closing(io.BytesIO(stores.read(str(tmp_path / "out/predictions/part-00000.parquet")))) as content:
        assert parquet.read_schema(content).metadata[b"model"] == b"hands"
