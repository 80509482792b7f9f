"""``scn-tf check``: exit status, what it prints, and the files that it writes."""

import contextlib
import io
import itertools
import json
import re
import shutil

import numpy as np
import pytest
import yaml
from PIL import Image

from scn_tf import cli
from scn_tf.data import synthetic
from scn_tf.doctor.finding import Finding
from scn_tf.doctor.report import as_text

KEYS = ["severity", "kind", "image", "landmark", "message", "fix"]


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    root = tmp_path_factory.mktemp("doctor_command") / "hands"
    synthetic.generate(root, dims=2, train=12, val=3, seed=1)
    shutil.rmtree(root / "labels")
    return root


@pytest.fixture(scope="module")
def faulty(clean, tmp_path_factory):
    """Folder with a set ``hands`` that has a cut file, and a landmark and an image of hostile names; what is found in it; status."""
    folder = tmp_path_factory.mktemp("faulty")
    root = folder / "hands"
    shutil.copytree(clean, root)
    path = root / "images" / "hand_004.png"
    path.write_bytes(path.read_bytes()[:-500])
    description = yaml.safe_load((root / "dataset.yaml").read_text())
    description["landmarks"][3] = "<script>alert(1)</script>"
    (root / "dataset.yaml").write_text(yaml.safe_dump(description))
    name = "<b>&'quoted'"
    (root / "images" / "hand_002.png").rename(root / "images" / f"{name}.png")
    for file in ("landmarks.csv", "splits/train.txt"):
        (root / file).write_text((root / file).read_text().replace("hand_002", name))
    rows = [line.split(",") for line in (root / "landmarks.csv").read_text().splitlines()]
    rows[2][7:9] = ["0", "0"]
    (root / "landmarks.csv").write_text("\n".join(map(",".join, rows)) + "\n")
    (folder / "found.json").write_text('{"findings": []}')  # of an earlier check
    with contextlib.redirect_stdout(io.StringIO()) as output:
        status = cli.main(["check", str(root), "--json", str(folder / "found.json"), "--html", str(folder / "found.html")])
    return folder, output.getvalue(), status


def test_a_clean_set_is_one_line_and_status_0(clean, tmp_path, capsys):
    assert cli.main(["check", str(clean), "--json", str(tmp_path / "found.json"), "--html", str(tmp_path / "found.html")]) == 0
    output = capsys.readouterr().out.splitlines()
    assert output[0] == f"{clean}: nothing found."
    assert json.loads((tmp_path / "found.json").read_text()) == {"findings": []}
    assert "Nothing found" in (tmp_path / "found.html").read_text()


def test_findings_are_status_1_and_text_with_the_worst_first(faulty):
    folder, output, status = faulty
    assert status == 1
    assert output.startswith(f"{folder / 'hands'}: 1 error, 1 warning.")
    assert output.index("unreadable (1)") < output.index("placeholder (1)")
    assert "hand_004.png" in output
    assert output.count("Fix: ") == 2


def test_json_has_what_was_found_and_replaces_that_of_an_earlier_check(faulty):
    findings = json.loads((faulty[0] / "found.json").read_text())["findings"]
    assert [list(finding) for finding in findings] == [KEYS] * 2
    assert [(f["severity"], f["kind"], f["image"]) for f in findings] == [
        ("error", "unreadable", "hand_004"),
        ("warning", "placeholder", "<b>&'quoted'"),
    ]
    assert findings[1]["landmark"] == "<script>alert(1)</script>"


def test_the_page_is_one_file_and_shows_names_as_text(faulty):
    page = (faulty[0] / "found.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "<b>&'" not in page
    assert "&lt;script&gt;" in page
    sources = re.findall(r'(?:src|href)="?([^">\s]*)', page)
    assert sources
    assert all(source.startswith(("data:image/jpeg;base64,", "#")) for source in sources)
    assert not re.findall(r"https?://|url\(|@import", page)
    assert "width=device-width" in page


@pytest.mark.parametrize("what", ["no folder", "no dataset.yaml", "a file of another program", "another ending"])
def test_what_cannot_run_is_status_2(clean, tmp_path, capsys, what):
    arguments = ["check", str(clean)]
    if what == "no folder":
        arguments = ["check", str(tmp_path / "nowhere")]
    elif what == "no dataset.yaml":
        arguments = ["check", str(tmp_path)]
    elif what == "a file of another program":
        (tmp_path / "found.json").write_text('{"findings": [{"severity": "mine"}]}')
        arguments += ["--json", str(tmp_path / "found.json")]
    else:
        arguments += ["--html", str(tmp_path / "found.pdf")]
    assert cli.main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    if what == "a file of another program":
        assert "mine" in (tmp_path / "found.json").read_text()


def test_a_description_that_is_no_yaml_is_a_finding(clean, tmp_path, capsys):
    root = tmp_path / "hands"
    shutil.copytree(clean, root)
    (root / "dataset.yaml").write_text("name: [")
    (root / "images" / "hand_001.png").write_bytes(b"")
    assert cli.main(["check", str(root)]) == 1
    output = capsys.readouterr().out
    assert "description (1)" in output
    assert "unreadable (1)" in output


def test_a_cut_jpeg_is_found_also_with_an_end_put_behind_it(clean, tmp_path):
    root = tmp_path / "hands"
    shutil.copytree(clean, root)
    picture = Image.open(root / "images" / "hand_001.png")
    cases = itertools.product((0.4, 0.9, 0.999), ({}, {"progressive": True}), (b"", b"\xff\xd9"))
    ids = [f"hand_{number:03d}" for number in range(12)]
    for image_id, (share, options, ending) in zip(ids, cases, strict=True):
        (root / "images" / f"{image_id}.png").unlink()
        path = root / "images" / f"{image_id}.jpg"
        picture.save(path, **options)
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content)) - 4] + ending)
    target = tmp_path / "found.json"
    assert cli.main(["check", str(root), "--json", str(target)]) == 1
    findings = json.loads(target.read_text())["findings"]
    assert [f["image"] for f in findings if f["kind"] == "unreadable"] == ids


def test_text_is_cut_and_many_findings_are_counted():
    findings = [
        Finding("error", "unreadable", f"image\n{number}", None, f"file {number}: " + "long " * 200, "Copy it.") for number in range(9)
    ]
    text = as_text(findings, "set", width=80)
    assert max(map(len, text.splitlines()[3:])) <= 80
    assert "and 6 more: image\\n3" in text
    assert np.char.count(text, "Fix: ") == 1
