"""``scn-tf predict`` on many images: equal to single predictions, bounded memory, and nothing lost by an interruption."""

import csv
import errno
import json
import os
import shutil
import sys

import numpy as np
import pytest

import scn_tf
from scn_tf import cli, export, predict
from scn_tf.data import images
from scn_tf.errors import WriteError
from scn_tf.prediction import answers, steps, streaming
from scn_tf.prediction.outputs import writing_formats
from scn_tf.storage import journal
from scn_tf.storage.journal import Journal
from tests.conftest import SUBPIXEL

SPLIT = 4  # images per batch in these tests


@pytest.fixture(scope="module")
def opened():
    return {}


@pytest.fixture(autouse=True)
def models_are_opened_once(opened, monkeypatch):
    """Opening a model takes most of the time of a small prediction."""
    load = predict.load

    def remembered(path):
        key = predict.identity(path)
        if key not in opened:
            opened[key] = load(path)
        return opened[key]

    monkeypatch.setattr(predict, "load", remembered)


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(streaming, "batch_size", lambda image_size: SPLIT)


@pytest.fixture
def folder(hands_2d, tmp_path):
    """Ten images of unequal sizes, and a broken one in the middle."""
    from PIL import Image

    folder = tmp_path / "images"
    folder.mkdir()
    for number, path in enumerate(sorted((hands_2d / "images").iterdir())):
        with Image.open(path) as image:
            image.crop((0, 0, image.width - 3 * number, image.height - number)).save(folder / path.name)
    (folder / "hand_004b.png").write_bytes(b"\x89PNG broken")
    return folder


def command(run_2d, folder, out, *more):
    return cli.main(["predict", str(run_2d), str(folder), "--out", str(out), *map(str, more)])


def rows(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def sources(root, dims=2):
    return images.collect([root / "images"], dims=dims)[0]


def flat(batches):
    return [outcome for batch in batches for outcome in batch]


@pytest.mark.parametrize(("model", "data", "dims"), [("run_2d", "hands_2d", 2), ("run_3d", "hands_3d", 3)])
def test_a_stream_gives_what_single_predictions_give_in_order(model, data, dims, request):
    predictor, root = scn_tf.load(request.getfixturevalue(model)), request.getfixturevalue(data)
    found = flat(streaming.stream(predictor.locate, predictor.info, sources(root, dims), batch=3, readers=2))
    assert [outcome.source for outcome in found] == sources(root, dims)
    for outcome in found:
        single = predictor.predict(outcome.source.path)
        np.testing.assert_allclose(outcome.prediction.landmarks, single.landmarks, atol=SUBPIXEL)
        np.testing.assert_allclose(outcome.prediction.scores, single.scores, atol=1e-4)
        assert outcome.prediction.coordinates == single.coordinates
        assert outcome.prediction.image.array.shape == single.image.array.shape
        assert not any(outcome.prediction.image.array.strides)  # no pixels are kept


def test_a_model_of_batches_of_one_streams_too(run_2d, hands_2d, tmp_path):
    pytest.importorskip("ai_edge_litert")
    predictor = scn_tf.load(export.export_tflite(run_2d, tmp_path / "hands.tflite"))
    found = flat(streaming.stream(predictor.locate, predictor.info, sources(hands_2d)[:3], batch=2))
    single = predictor.predict(found[2].source.path)
    np.testing.assert_allclose(found[2].prediction.landmarks, single.landmarks, atol=SUBPIXEL)


def test_few_images_are_in_memory_however_many_there_are(run_2d, hands_2d, monkeypatch):
    predictor, prepared = scn_tf.load(run_2d), []
    original = steps.prepare
    monkeypatch.setattr(streaming, "prepare", lambda path, *more, **options: prepared.append(path) or original(path, *more, **options))
    many = [source._replace(id=f"{source.id}_{turn}") for turn in range(4) for source in sources(hands_2d)]
    done = 0
    for batch in streaming.stream(predictor.locate, predictor.info, many, batch=2, readers=2):
        done += len(batch)
        assert len(prepared) <= done + (streaming.AHEAD + 2) * 2
    assert done == len(prepared) == 40


def test_a_consumer_that_stops_early_stops_the_readers(run_2d, hands_2d):
    import threading

    predictor = scn_tf.load(run_2d)
    running = streaming.stream(predictor.locate, predictor.info, sources(hands_2d), batch=2)
    assert len(next(running)) == 2
    running.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("scn-tf")]


def test_bad_files_are_left_out_named_and_counted(run_2d, folder, tmp_path, capsys):
    assert command(run_2d, folder, tmp_path / "p.json") == 1
    content = json.loads((tmp_path / "p.json").read_text())
    assert len(content["images"]) == 10
    (reason,) = content["left_out"]
    assert "hand_004b.png" in reason
    errors = capsys.readouterr().err.splitlines()
    assert sum("hand_004b.png" in line for line in errors) == 1
    assert errors[-1] == "error: 1 file left out, 10 images predicted."


def test_json_and_csv_hold_the_same(run_2d, folder, tmp_path):
    for name in ("p.json", "p.csv"):
        assert command(run_2d, folder, tmp_path / name) == 1
    content, table = json.loads((tmp_path / "p.json").read_text()), rows(tmp_path / "p.csv")
    assert content["kind"] == "predictions"
    assert content["dims"] == 2
    assert len(content["model_sha256"]) == 64
    flattened = [(image, point) for image in content["images"] for point in image["landmarks"]]
    assert [point["name"] for _, point in flattened[:21]] == content["landmarks"]
    for (image, point), row in zip(flattened, table, strict=True):
        assert (image["id"], point["name"]) == (row["id"], row["landmark"])
        keys = ("x", "y", "score", "expected_error", "radius95")
        np.testing.assert_allclose([point[key] for key in keys], [float(row[key]) for key in keys], atol=1e-4)
        stated = (image["error_unit"], str(int(point["present"])), str(int(image["image_ok"])))
        assert (row["unit"], row["present"], row["image_ok"]) == stated
    first = content["images"][0]
    assert first["file"] == str(folder / "hand_000.png")
    assert (first["coordinates"], first["unit"]) == ("pixel", "px")
    with images_open(folder / "hand_000.png") as image:
        assert first["size"] == list(image.size)


def images_open(path):
    from PIL import Image

    return Image.open(path)


def interrupt(monkeypatch, after):
    """Ctrl-C after so many batches."""
    original = streaming.stream

    def interrupted(*args, **options):
        for number, batch in enumerate(original(*args, **options), start=1):
            yield batch
            if number == after:
                raise KeyboardInterrupt

    monkeypatch.setattr(answers, "stream", interrupted)


def count_reads(monkeypatch):
    read, original = [], steps.prepare
    monkeypatch.setattr(streaming, "prepare", lambda path, *more, **options: read.append(path.name) or original(path, *more, **options))
    return read


@pytest.mark.usefixtures("small_batches")
def test_a_resumed_prediction_equals_an_uninterrupted_one(run_2d, folder, tmp_path, monkeypatch):
    whole, table = tmp_path / "whole.json", tmp_path / "p.json"
    assert command(run_2d, folder, whole, "--overlay", tmp_path / "w", "--to", "labelme", "--to-dir", tmp_path / "w") == 1
    more = ("--overlay", tmp_path / "d", "--to", "labelme", "--to-dir", tmp_path / "d")
    with monkeypatch.context() as patch:
        interrupt(patch, 1)
        assert command(run_2d, folder, table, *more) == 130
    assert "hand_003" in table.read_text()  # what was found is in the table
    assert "hand_005" not in table.read_text()
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "d").iterdir()}
    read = count_reads(monkeypatch)
    assert command(run_2d, folder, table, *more, "--resume") == 1
    assert table.read_bytes() == whole.read_bytes()
    assert not {"hand_000.png", "hand_003.png"} & set(read)
    assert len(read) == 7  # the broken file is tried again
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "d").iterdir() if path.name in times} == times
    assert sorted(path.name for path in (tmp_path / "d").iterdir()) == sorted(path.name for path in (tmp_path / "w").iterdir())
    read.clear()
    assert command(run_2d, folder, table, *more, "--resume") == 1
    assert read == ["hand_004b.png"]


@pytest.mark.usefixtures("small_batches")
def test_a_kill_at_any_byte_of_the_journal_costs_only_what_was_not_written(run_2d, folder, tmp_path, monkeypatch):
    (folder / "hand_004b.png").unlink()
    table = tmp_path / "p.csv"
    assert command(run_2d, folder, table) == 0
    whole, log = table.read_bytes(), journal.path_for(table)
    content = log.read_bytes()
    lines = content.splitlines(keepends=True)
    for cut in (3, len(lines[0]), sum(map(len, lines[:5])), sum(map(len, lines[:5])) + 40, len(content) - 1, len(content)):
        log.write_bytes(content[:cut])
        table.unlink()
        with monkeypatch.context() as patch:
            read = count_reads(patch)
            assert command(run_2d, folder, table, "--resume") == 0
        assert table.read_bytes() == whole
        assert len(read) == 10 - max(0, content[:cut].count(b"\n") - 1)


def test_work_of_another_model_or_with_other_options_is_not_continued(run_2d, folder, tmp_path, capsys):
    table = tmp_path / "p.csv"
    assert command(run_2d, folder, table) == 1
    before = table.read_bytes(), journal.path_for(table).read_bytes()
    other = shutil.copytree(run_2d, tmp_path / "other")
    export.export_tflite(run_2d, tmp_path / "other.tflite")
    from scn_tf.runs import checkpoints
    from tests.conftest import with_settings

    network, info = checkpoints.load_model(other / "model.keras")
    checkpoints.save_model(network, other / "model.keras", with_settings(info, train__seed=3))
    calls = {
        "another model": (other,),
        "another spacing": (run_2d, "--spacing", 1, 2),
        "another overlay": (run_2d, "--overlay", tmp_path / "o"),
        "another to and another to_dir": (run_2d, "--to", "coco", "--to-dir", tmp_path / "t"),
    }
    for difference, (model, *more) in calls.items():
        capsys.readouterr()
        assert command(model, folder, table, *more, "--resume") == 1
        error = capsys.readouterr().err
        assert f"was begun with {difference}. Repeat its command with --resume, or start again without --resume." in error
        assert (table.read_bytes(), journal.path_for(table).read_bytes()) == before
    assert command(other, folder, table) == 1  # without --resume as before
    assert journal.path_for(table).read_bytes() != before[1]


def test_images_that_changed_or_lack_their_picture_are_done_again_and_new_ones_are_added(run_2d, folder, tmp_path, monkeypatch):
    table, drawn = tmp_path / "p.csv", tmp_path / "drawn"
    (folder / "hand_004b.png").unlink()
    (folder / "hand_009.png").rename(tmp_path / "hand_009.png")
    assert command(run_2d, folder, table, "--overlay", drawn) == 0
    (drawn / "hand_002.png").unlink()
    shutil.copy(folder / "hand_001.png", folder / "hand_005.png")
    (tmp_path / "hand_009.png").rename(folder / "hand_009.png")
    (folder / "hand_007.png").unlink()
    read = count_reads(monkeypatch)
    assert command(run_2d, folder, table, "--overlay", drawn, "--resume") == 0
    assert sorted(read) == ["hand_002.png", "hand_005.png", "hand_009.png"]
    found = rows(table)
    assert [row["id"] for row in found[::21]] == [f"hand_00{number}" for number in (0, 1, 2, 3, 4, 5, 6, 8, 9)]
    for first, fifth in zip(found[21:42], found[105:126], strict=True):
        np.testing.assert_allclose(float(first["x"]), float(fifth["x"]), atol=SUBPIXEL)


def test_a_full_disk_ends_the_work_and_keeps_what_was_found(tmp_path):
    path = tmp_path / ".p.csv.journal"
    header = {"model": "m"}
    with Journal(path, header, resume=False) as log:
        log.append([{"key": "a", "x": 1.5}])

        class Full:
            def __getattr__(self, name):
                return getattr(log_file, name)

            def write(self, content):
                log_file.write(content[: len(content) // 2])
                raise OSError(errno.ENOSPC, "No space left on device")

        log_file, log._file = log._file, Full()
        with pytest.raises(WriteError, match=r"journal: cannot be written \(No space left on device\).*`resume` continues"):
            log.append([{"key": "b", "x": 2.5}])
    with Journal(path, header, resume=True) as log:
        assert log.places.keys() == {"a"}
        log.append([{"key": "c", "x": 3.5}, {"key": "a", "x": 4.5}])
        assert [log.record(key)["x"] for key in ("a", "c")] == [4.5, 3.5]


def test_two_processes_do_not_write_one_journal(tmp_path):
    path = tmp_path / ".p.csv.journal"
    with Journal(path, {}, resume=False), pytest.raises(WriteError, match="another process writes it"):
        Journal(path, {}, resume=True)


def test_a_journal_of_another_program_stays(run_2d, folder, tmp_path, capsys):
    path = journal.path_for(tmp_path / "p.csv")
    path.write_text("mine\n")
    assert command(run_2d, folder, tmp_path / "p.csv") == 1
    assert "was not written by scn_tf" in capsys.readouterr().err
    assert path.read_text() == "mine\n"


@pytest.mark.parametrize("name", ["slicer", "coco", "tps", "csv-long", "via", "json", "pts"])
def test_answers_come_back_in_the_format_of_another_tool(name, run_2d, folder, tmp_path):
    from scn_tf.data.annotations import ANNOTATIONS, Expected, converted, read_any
    from scn_tf.data.images.facts import read_facts

    predictor = scn_tf.load(run_2d)
    assert command(run_2d, folder, tmp_path / "p.csv", "--to", name, "--to-dir", tmp_path / "out") == 1
    row = ANNOTATIONS[name]
    written = sorted((tmp_path / "out").iterdir())
    assert len([path for path in written if path.name.endswith(row.endings[0])]) == (10 if row.per_image else 1)
    found = read_any(tmp_path / "out" if row.per_image else written[0], Expected(predictor.names, 2), row)
    facts = {path.stem: read_facts(path, dims=2) for path in sorted(folder.iterdir()) if path.name != "hand_004b.png"}
    pixel = converted(found, "pixel", facts) if found.frame != "stated" else found
    assert sorted(image_id.removesuffix(".png") for image_id in pixel.points) == sorted(facts)
    for image_id, points in pixel.points.items():
        lines = [line for line in rows(tmp_path / "p.csv") if line["id"] == image_id.removesuffix(".png")]
        expected = [[float(line[axis]) if line["present"] == "1" else np.nan for axis in "xy"] for line in lines]
        order = [pixel.names.index(landmark) for landmark in predictor.names] if pixel.names else slice(None)
        np.testing.assert_allclose(points[order], expected, atol=1e-3)


def test_options_of_another_tool_are_checked_before_any_work(run_2d, folder, tmp_path, capsys):
    out = tmp_path / "p.csv"
    calls = {
        "--to: needs --to-dir, a folder. Formats: ": ("--to", "coco"),
        "--to-dir: needs --to, the name of a format": ("--to-dir", tmp_path / "t"),
        "annotation format cocoa: unknown; did you mean coco?": ("--to", "cocoa", "--to-dir", tmp_path / "t"),
        "is also a file of --to": ("--to", "csv-long", "--to-dir", tmp_path),
    }
    for message, more in calls.items():
        table = tmp_path / "predictions.csv" if "also" in message else out
        assert command(run_2d, folder, table, *more) == 1
        assert message in capsys.readouterr().err
        assert not table.exists()
    assert {"slicer", "fcsv", "coco", "tps", "labelme", "dicom-sr"} <= set(writing_formats())


def test_files_of_another_program_in_the_folder_stay(run_2d, folder, tmp_path, capsys):
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "hand_003.json").write_text('{"mine": 1}')
    assert command(run_2d, folder, tmp_path / "p.csv", "--to", "labelme", "--to-dir", tmp_path / "t") == 1
    assert "hand_003.json: already exists and was not written by scn_tf. Choose another --to-dir folder" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "t").iterdir()] == ["hand_003.json"]


def test_an_image_that_a_format_cannot_hold_is_left_out_with_the_reason(run_2d, folder, tmp_path, capsys):
    pytest.importorskip("highdicom")
    assert command(run_2d, folder / "hand_000.png", tmp_path / "p.csv", "--to", "dicom-sr", "--to-dir", tmp_path / "t") == 1
    error = capsys.readouterr().err
    assert "hand_000.png: is no DICOM image, and a DICOM report refers to one. Write another format" in error
    assert not (tmp_path / "p.csv").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="a priority is that of a whole process there")
def test_reading_lends_no_core_of_the_network(small_batches, hands_2d, run_2d, monkeypatch):
    found, original = {"read": set(), "network": set()}, streaming.prepare

    def prepare(*arguments, **options):
        found["read"].add(os.getpriority(os.PRIO_PROCESS, 0))  # of this thread
        return original(*arguments, **options)

    def locate(batch):
        found["network"].add(os.getpriority(os.PRIO_PROCESS, 0))
        return predictor.locate(batch)

    monkeypatch.setattr(streaming, "prepare", prepare)
    predictor, own = predict.load(run_2d), os.getpriority(os.PRIO_PROCESS, 0)
    sources = [images.Source(str(path.stem), path) for path in sorted((hands_2d / "images").iterdir())]
    assert sum(map(len, streaming.stream(locate, predictor.info, sources))) == len(sources)
    assert found == {"read": {min(own + streaming.NICER, 19)}, "network": {own}}
    assert os.getpriority(os.PRIO_PROCESS, 0) == own
