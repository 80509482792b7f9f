"""Text files of users that are too large, too deep, of another encoding, or unfold: refused in a short line, quickly."""

import time

import pytest

from scn_tf import config, study
from scn_tf.data.dataset import open_dataset
from scn_tf.errors import DatasetError
from scn_tf.storage import documents

LEVELS = "\n".join(f"b{n}: &b{n} [{', '.join(9 * [f'*b{n - 1}' if n else 'x'])}]" for n in range(9))
BOMB = f"{LEVELS}\nlandmarks: *b8\n"
MERGED = "\n".join(f"m{n}: &m{n} {{<<: [{', '.join(20 * [f'*m{n - 1}' if n else '{x: 1}'])}]}}" for n in range(6))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB, "holds more than 50,000 values"),
        (MERGED, "holds more than 50,000 values"),
        ("a: &a [1, *a]", "the alias a refers to a value that contains it"),
        ("[" * 5000, "nested more than 40 levels"),
        ("{a: " * 5000, "nested more than 40 levels"),
        ("- " * 3000 + "x", "nested more than 40 levels"),
        ("x: " + "y" * 300_000, "more than 262,144 characters"),
        ("dims: 2\nname: a\ndims: 3", r"line 3: 'dims' appears twice, first in line 1"),
        ("a: {b: 1, b: 2}", "line 1: 'b' appears twice"),
        ("a: !!python/object/apply:os.system [true]", "is no valid YAML"),
        ("a: 2020-13-45", "is no valid YAML"),
        ("a: " + "9" * 5000, "is no valid YAML"),
        ("{? [a, b] : 1}", "is no valid YAML"),
        ("a: \x07", "is no valid YAML"),
        ("a: *unknown", "is no valid YAML"),
        ("a: [1, 2", "is no valid YAML"),
    ],
)
def test_what_unfolds_or_is_no_yaml_is_refused_shortly(text, reason):
    started = time.monotonic()
    with pytest.raises(documents.DocumentError, match=reason) as caught:
        documents.parse_yaml(text)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)
    assert time.monotonic() - started < 5


def test_ordinary_anchors_merges_and_lists_are_read():
    text = "base: &b {x: 1, y: [1, 2]}\nother: {<<: *b, x: 3}\nagain: *b\n"
    assert documents.parse_yaml(text) == {"base": {"x": 1, "y": [1, 2]}, "other": {"x": 3, "y": [1, 2]}, "again": {"x": 1, "y": [1, 2]}}
    assert documents.parse_yaml("") is None
    assert len(documents.parse_yaml("\n".join(f"- landmark number {n}" for n in range(5000)))) == 5000


@pytest.mark.parametrize(
    "text", [BOMB, "[" * 5000, f"landmarks: {'x' * 250_000}", f"{'k' * 1000}: 1", "? " * 100 + "x", "dims: 2\ndims: 2"]
)
def test_every_file_of_settings_is_read_within_the_limits(text, tmp_path):
    for name, read, error in (
        ("dataset.yaml", lambda path: open_dataset(path.parent), DatasetError),
        ("config.yaml", config.load, config.ConfigError),
        ("study.yaml", study.read_study, config.ConfigError),
    ):
        path = tmp_path / name
        path.write_text(text)
        with pytest.raises(error, match=name) as caught:
            read(path)
        assert len(str(caught.value)) < 600 + len(str(path))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("name: hände".encode("utf-16"), "is UTF-16 or UTF-32 text; save it as UTF-8"),
        ("name: hände".encode("utf-32"), "is UTF-16 or UTF-32 text; save it as UTF-8"),
        ("name: a\ndims: 2".encode("utf-16-le"), "is no text: it holds a null byte in line 1"),
        ("name: a\nx: hände".encode("latin-1"), r"is no UTF-8 text \(byte 0xe4 in line 2\)"),
        (b"name: a\ndims: 2\n\0", "is no text: it holds a null byte in line 3"),
    ],
)
@pytest.mark.parametrize("file", ["dataset.yaml", "landmarks.csv", "splits/train.txt", "config.yaml"])
def test_other_encodings_are_named(content, reason, file, tmp_path):
    root = tmp_path / "set"
    for folder in ("images", "splits"):
        (root / folder).mkdir(parents=True)
    (root / "dataset.yaml").write_text("name: a\ndims: 2\nlandmarks: 1\n")
    (root / "landmarks.csv").write_text("a,1,2\n")
    (root / file).write_bytes(content)
    read = config.load if file == "config.yaml" else lambda path: open_dataset(root).split("train")
    with pytest.raises((DatasetError, config.ConfigError), match=f"{file}: {reason}"):
        read(root / file)


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_bytes("\ufefftrain: {epochs: 3}\r\nmodel: {filters: 5}\r\n".encode())
    assert config.load(path).train.epochs == 3


@pytest.mark.parametrize("row", ["a" + ",1" * 2_000_000, "a" * 3_000_000 + ",1,2", "a,1," + "2" * 3_000_000])
def test_a_line_of_megabytes_is_named_in_a_short_one(row, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "dataset.yaml").write_text("name: a\ndims: 2\nlandmarks: 1\n")
    (tmp_path / "landmarks.csv").write_text(f"b,1,2\n{row}\n")
    with pytest.raises(DatasetError, match=r"landmarks\.csv, line 2: cannot be read") as caught:
        open_dataset(tmp_path)
    assert len(str(caught.value)) < 400
