"""Prepared images on disk: the same as in memory, read instead of image files, never wrong, bounded."""

import os
import re
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from benchmarks import disk_cache as benchmark
from scn_tf import train_run
from scn_tf.config import ConfigError, differences
from scn_tf.data import batching, cache, disk_cache, images, pipeline
from scn_tf.data.dataset import open_dataset
from scn_tf.errors import DataWarning
from scn_tf.storage import checksums
from tests.conftest import REPOSITORY, small_config, weights


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(disk_cache.FOLDER, str(tmp_path / "cache"))
    monkeypatch.setenv(disk_cache.LIMIT, "1")
    monkeypatch.setattr(disk_cache, "RESERVE", 0)
    return disk_cache.folder()


@pytest.fixture
def decoded(monkeypatch):
    """Names of the image files that were decoded."""
    names, original = [], images.read_image
    monkeypatch.setattr(images, "read_image", lambda path, **k: names.append(Path(path).name) or original(path, **k))
    return names


def opened(root, dims=2, kind="disk", split="train", **changes):
    dataset = open_dataset(root)
    settings = small_config(root, dims, data__cache=kind, **changes).resolved(dims)
    return pipeline.opened(dataset, dataset.split(split), settings)


def values(data):
    return [{name: value.numpy() for name, value in example.items()} for example in data]


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            assert one[name].dtype == other[name].dtype
            assert one[name].tobytes() == other[name].tobytes(), name


def entries(folder):
    return sorted(path for path in folder.iterdir() if path.name != "CACHEDIR.TAG")


def batches(split, count=6, first=0, **more):
    return values(
        batching.training_batches(split.data, count=7, batch_size=3, seed=4, first_epoch=first, load=split.load, **more).take(count)
    )


@pytest.mark.parametrize("dims", [2, 3])
def test_examples_from_disk_are_those_from_memory_bit_by_bit(dims, folder, request, decoded):
    root = request.getfixturevalue(f"hands_{dims}d")
    expected = values(opened(root, dims, "memory").data)
    first = opened(root, dims)
    assert_same(values(first.data), expected)
    decoded.clear()
    second = opened(root, dims)
    assert_same(values(second.data), expected)
    assert decoded == []
    assert len(entries(folder)) == len(expected)


def test_batches_are_the_same_wherever_images_are_kept(hands_2d, folder):
    expected = batches(opened(hands_2d, kind="memory"))
    for kind in ("disk", "none"):
        split = opened(hands_2d, kind=kind)
        assert_same(batches(split), expected)
        assert_same(batches(split, 2, first=2), expected[4:])


def test_random_raters_are_the_same_from_disk(hands, folder):
    text = (hands / "dataset.yaml").read_text()
    for name in "ab":
        shutil.copy(hands / "landmarks.csv", hands / f"{name}.csv")
    kept = [line for line in text.splitlines() if not line.startswith("annotations")]
    (hands / "dataset.yaml").write_text("\n".join([*kept, "raters: {a: a.csv, b: b.csv}"]) + "\n")
    dataset = open_dataset(hands)
    found = []
    for kind in ("memory", "disk", "disk"):
        settings = small_config(hands, data__cache=kind, data__rater="random").resolved(2)
        found.append(batches(pipeline.opened(dataset, dataset.split("train"), settings, measured=False, rater="random")))
    assert_same(found[1], found[0])
    assert_same(found[2], found[0])


def test_a_second_training_decodes_nothing_and_ends_in_the_same_weights(run_2d, hands_2d, tmp_path, folder, decoded, capsys):
    runs = {"memory": weights(run_2d)}
    for name in ("first", "second"):
        decoded.clear()
        train_run.train(small_config(hands_2d, data__cache="disk"), tmp_path / name)
        runs[name], printed = weights(tmp_path / name), capsys.readouterr().out
        lines = [line for line in printed.splitlines() if line.startswith("Images ")]
        assert len(lines) == 1
        assert str(folder) in lines[0]
    assert len(decoded) <= 1  # the header of the set's first image tells the unit
    for name in ("first", "second"):
        for one, other in zip(runs[name], runs["memory"], strict=True):
            np.testing.assert_array_equal(one, other)


def test_splits_and_other_points_share_images_and_changed_images_or_settings_do_not(hands, folder, decoded):
    ids = open_dataset(hands).split("train")
    opened(hands)
    (hands / "splits" / "half.txt").write_text("\n".join(ids[:3]))
    moved = [line.split(",") for line in (hands / "landmarks.csv").read_text().splitlines()]
    (hands / "landmarks.csv").write_text("\n".join(",".join([row[0], f"{float(row[1]) + 1:g}", *row[2:]]) for row in moved) + "\n")
    decoded.clear()
    assert_same(values(opened(hands, split="half").data), values(opened(hands, kind="memory", split="half").data))
    assert len(decoded) == 3
    assert len(entries(folder)) == len(ids)

    changed = hands / "images" / f"{ids[0]}.png"
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(changed)))
    array[5:50] = array[5:50][::-1]
    sitk.WriteImage(sitk.GetImageFromArray(array), str(changed))
    expected = values(opened(hands, kind="memory").data)
    decoded.clear()
    assert_same(values(opened(hands).data), expected)
    assert decoded == [changed.name]

    for changes in ({"model__image_size": [64, 32]}, {"model__spacing_mm": 6.0}):
        expected = values(opened(hands, kind="memory", **changes).data)
        decoded.clear()
        assert_same(values(opened(hands, **changes).data), expected)
        assert len(decoded) == len(ids)


def test_an_edit_that_keeps_size_and_ends_of_a_file_is_noticed(tmp_path):
    from scn_tf.data import fingerprint

    file = tmp_path / "image.mha"
    file.write_bytes(bytes(200_000))
    before = fingerprint.of_file(file)
    content = bytearray(file.read_bytes())
    content[30_000] = 1  # between the parts that are digested
    time.sleep(0.02)
    file.write_bytes(content)
    assert fingerprint.of_file(file) != before


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "other", "removed"])
def test_damaged_files_are_noticed_and_written_again(damage, hands_2d, folder, decoded):
    expected = values(opened(hands_2d).data)
    intact = {path: path.read_bytes() for path in entries(folder)}
    path, content = next(iter(intact.items()))
    middle = len(content) // 2
    texts = {
        "cut": content[:-7],
        "empty": b"",
        "flipped": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "other": b"from another program",
    }
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(texts[damage])
    decoded.clear()
    assert_same(values(opened(hands_2d).data), expected)
    assert len(decoded) == 1
    assert {path: path.read_bytes() for path in entries(folder)} == intact


def test_files_that_go_during_a_training_are_made_again(hands_2d, folder):
    split = opened(hands_2d)
    expected = batches(split)
    for path in entries(folder):
        path.unlink()
    assert_same(batches(split), expected)
    assert len(entries(folder)) == 7


def test_an_image_that_changes_during_a_training_is_not_kept_under_its_old_name(hands, folder):
    split = opened(hands)
    for path in entries(folder):
        path.unlink()
    changed = hands / "images" / f"{open_dataset(hands).split('train')[0]}.png"
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(changed)))
    sitk.WriteImage(sitk.GetImageFromArray(array[::-1].copy()), str(changed))
    values(split.data)
    assert len(entries(folder)) == 6


def test_a_constant_image_warns_in_every_run(hands, folder):
    file = hands / "images" / f"{open_dataset(hands).split('train')[0]}.png"
    sitk.WriteImage(sitk.GetImageFromArray(np.full((256, 192), 7, "uint8")), str(file))
    for _ in range(2):
        with pytest.warns(DataWarning, match="every pixel has the same value"):
            opened(hands)


FILL = """
import os, sys, resource, signal, threading, time, warnings
from scn_tf.data import disk_cache, pipeline
from scn_tf.data.dataset import open_dataset
from tests.conftest import small_config
disk_cache.RESERVE = 0
{before}
def fill(root):
    dataset = open_dataset(root)
    return pipeline.opened(dataset, dataset.split("train"), small_config(root, data__cache="disk").resolved(2))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    split = fill(sys.argv[1])
    list(split.data)
for one in caught:
    print(one.category.__name__, one.message)
print("end", len(list(split.data)))
"""


def fill(root, before="", **more):
    """Start a process that fills the cache."""
    return subprocess.Popen(
        [sys.executable, "-c", FILL.format(before=before), str(root)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_fill_it_at_once(hands_2d, tmp_path, folder):
    gate = tmp_path / "gate"
    wait = f"print('ready', flush=True)\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.001)"
    both = [fill(hands_2d, wait) for _ in range(2)]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    gate.touch()
    for process in both:
        out, err = process.communicate(timeout=300)
        assert (process.returncode, out) == (0, "end 7\n"), err
    assert len(entries(folder)) == 7
    for path in entries(folder):
        assert checksums.filled(path.read_bytes()) == path.read_bytes()
    assert_same(values(opened(hands_2d).data), values(opened(hands_2d, kind="memory").data))


def test_a_kill_while_a_file_is_written_leaves_nothing_that_is_read(hands_2d, folder, decoded, monkeypatch):
    """The third file is half written when the process is killed."""
    die = """
from pathlib import Path
original, count = Path.write_bytes, []
def write_bytes(path, content):
    if path.parent == disk_cache.folder():
        count.append(path)
        if len(count) == 3:
            original(path, content[:5000])
            os.kill(os.getpid(), signal.SIGKILL)
    return original(path, content)
Path.write_bytes = write_bytes
"""
    process = fill(hands_2d, die)
    process.communicate(timeout=300)
    assert process.returncode == -9
    unfinished = [path for path in entries(folder) if disk_cache.UNFINISHED.fullmatch(path.name)]
    whole = [path for path in entries(folder) if path not in unfinished]
    assert whole
    assert 5000 in {path.stat().st_size for path in unfinished}  # another thread may have been writing, too
    assert_same(values(opened(hands_2d).data), values(opened(hands_2d, kind="memory").data))
    assert len(decoded) == 7 - len(whole) + 7
    for path in unfinished:
        assert path.exists()  # its writer may still be there
        os.utime(path, (1, 1))
    whole[0].unlink()
    opened(hands_2d)
    assert not any(path.exists() for path in unfinished)
    assert len(entries(folder)) == 7


def test_a_full_disk_warns_once_and_the_training_goes_on(hands_2d, folder):
    process = fill(hands_2d, "resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))")
    out, err = process.communicate(timeout=300)
    first, *others = out.splitlines()
    assert others == ["end 7"], (out, err)
    assert first.startswith(f"DataWarning {folder}: no more prepared images can be kept (File too large)")
    assert entries(folder) == []


def test_a_folder_that_cannot_be_made_warns_and_the_training_goes_on(hands_2d, tmp_path, folder, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv(disk_cache.FOLDER, str(tmp_path / "file"))
    expected = values(opened(hands_2d, kind="memory").data)
    with pytest.warns(DataWarning, match=r"prepared_images: no more prepared images can be kept \(Not a directory\)") as caught:
        assert_same(values(opened(hands_2d).data), expected)
    assert len(caught) == 1


def test_what_was_not_used_for_longest_goes_first_and_other_files_stay(hands_2d, folder, monkeypatch):
    opened(hands_2d)
    old = entries(folder)
    size = old[0].stat().st_size
    for age, path in enumerate(old):
        os.utime(path, (1000 - age, 1000 - age))
    strange = [folder / "notes.txt", folder / ("0" * 64 + ".txt"), folder / "x.fitted"]
    for path in strange:
        path.write_bytes(bytes(size))
        os.utime(path, (1, 1))
    opened(hands_2d)  # these were used just now
    monkeypatch.setenv(disk_cache.LIMIT, f"{9.5 * size / 2**30:.12f}")
    opened(hands_2d, split="val")  # three more
    names = {path.name for path in entries(folder)}
    assert all(path.name in names for path in strange)
    kept = [path for path in entries(folder) if path not in strange]
    assert sum(path.stat().st_size for path in kept) <= 9.5 * size
    assert len(kept) >= 8
    mine = {
        disk_cache.DiskCache(open_dataset(hands_2d), open_dataset(hands_2d).split("val"), small_config(hands_2d).resolved(2).model).names[n]
        for n in range(3)
    }
    assert mine < {path.name for path in kept}


def test_the_order_of_use_counts(hands_2d, folder, monkeypatch):
    opened(hands_2d)
    opened(hands_2d, split="val")
    for age, path in enumerate(entries(folder)):
        os.utime(path, (1000 + age, 1000 + age))
    opened(hands_2d, split="val")  # their time is now
    used = {path.name for path in entries(folder) if path.stat().st_mtime > 10_000}
    assert len(used) == 3
    size = entries(folder)[0].stat().st_size
    monkeypatch.setenv(disk_cache.LIMIT, f"{8 * size / 2**30:.12f}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opened(hands_2d, split="val", model__image_size=[32, 48])
    assert used < {path.name for path in entries(folder)}
    assert sum(path.stat().st_size for path in entries(folder)) <= 8 * size


def test_a_set_larger_than_the_limit_is_kept_in_part_and_says_so(hands_2d, folder, monkeypatch, decoded):
    expected = values(opened(hands_2d, kind="memory").data)
    opened(hands_2d)
    size = entries(folder)[0].stat().st_size
    shutil.rmtree(folder)
    monkeypatch.setenv(disk_cache.LIMIT, f"{4.5 * size / 2**30:.12f}")
    with pytest.warns(DataWarning, match="SCN_TF_CACHE_GIB is") as caught:
        split = opened(hands_2d)
    assert len(caught) == 1
    assert len(entries(folder)) == 4
    decoded.clear()
    assert_same(values(split.data), expected)
    assert len(decoded) == 3


def test_room_for_checkpoints_stays_on_the_disk(hands_2d, folder, monkeypatch):
    monkeypatch.setattr(disk_cache, "RESERVE", 2**60)
    with pytest.warns(DataWarning, match="of the disk stay free"):
        opened(hands_2d)
    assert entries(folder) == []


def test_the_place_follows_from_size_and_free_memory(hands_2d, folder, monkeypatch):
    settings = small_config(hands_2d).resolved(2)
    assert settings.data.cache == "auto"
    size = 4 * 48 * 32 * 10
    for free, kind in ((size / cache.SHARE + 1, "memory"), (size / cache.SHARE - 1, "disk")):
        monkeypatch.setattr(cache, "free_memory", lambda free=free: free)
        found = cache.place(settings, channels=1, images=10)
        assert found.kind == kind
        assert "of memory are free" in found.line
        assert (str(folder) in found.line) == (kind == "disk")
    for kind in ("memory", "disk", "none"):
        assert cache.place(small_config(hands_2d, data__cache=kind).resolved(2), channels=1, images=10).kind == kind


def test_automatic_choice_reaches_the_files(hands_2d, folder, monkeypatch):
    monkeypatch.setattr(cache, "free_memory", lambda: 1000.0)
    assert opened(hands_2d, kind="auto").load is not None
    assert len(entries(folder)) == 7


def test_where_files_are_and_how_many_is_for_the_machine_to_say(tmp_path, monkeypatch):
    for name in (disk_cache.FOLDER, disk_cache.LIMIT, "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert disk_cache.folder() == tmp_path / ".cache" / "scn_tf" / "prepared_images"
    assert disk_cache.limit() == 50 * 2**30
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert disk_cache.folder() == tmp_path / ".cache" / "scn_tf" / "prepared_images"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert disk_cache.folder() == tmp_path / "xdg" / "scn_tf" / "prepared_images"
    monkeypatch.setenv(disk_cache.FOLDER, "~/other")
    assert disk_cache.folder() == tmp_path / "other" / "prepared_images"
    for text in ("-1", "0", "many", "nan", "inf"):
        monkeypatch.setenv(disk_cache.LIMIT, text)
        with pytest.raises(ConfigError, match=rf"SCN_TF_CACHE_GIB: expected a positive number of GiB, received '{text}'"):
            disk_cache.limit()


def test_others_may_not_look_into_the_folder(hands_2d, folder):
    opened(hands_2d)
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55")


def test_runs_that_differ_in_the_place_alone_are_the_same(hands_2d):
    assert differences(small_config(hands_2d, data__cache="disk"), small_config(hands_2d, data__cache="none")) == []


def test_the_benchmark_measures_time_and_memory(tmp_path, capsys):
    shape = ["--images", "4", "--width", "60", "--height", "50", "--size", "32", "32"]
    benchmark.main([*shape, "--folder", str(tmp_path), "--epochs", "2", "--kinds", "disk"])
    found = capsys.readouterr().out
    assert re.match(r"disk +first pass \d+\.\d\d ms an image, epochs \d+\.\d\d, \d+\.\d\d, first \d+\.\d\d times the later\n", found)
    assert re.search(r"\n +processor \d+\.\d\d, \d+\.\d\d, \d+\.\d\d ms\n +memory \d+, \d+, \d+ MiB, at most \d+\n", found)
    assert len(entries(tmp_path / "cache" / "prepared_images")) == 4
