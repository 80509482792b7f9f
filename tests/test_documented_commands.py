"""Every command and every Python or YAML block of README and docs is run, in document order, in a sandbox of small data and models.

Documents use the names of a reader's files; ``NAMES`` states what stands for them here, ``SMALLER`` what makes a command small,
``NOT_RUN`` what a test cannot run, and why.
"""

import contextlib
import io
import json
import re
import shlex
import shutil
import subprocess
import tomllib
import warnings
from pathlib import Path

import pytest
import SimpleITK as sitk
import tensorflow as tf
import yaml

import scn_tf
from scn_tf import cli, config, registry, study
from scn_tf.export import export_saved_model
from scn_tf.serving import servable
from tests.conftest import REPOSITORY
from tests.serving_client import running

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md")), *sorted((REPOSITORY / "docs" / "research").glob("*.md"))]
NAMES = {"FOLDER": "data", "RUN": "runs/first", "OUT": "served", "IMAGE_OR_FOLDER": "pictures_in"}
NAMES |= {"IMAGES": "scans", "ANNOTATIONS": "scans/points.json", "NEW_IMAGES": "pictures_in"}
TINY = {
    "model.image_size": "48,32",
    "model.filters": "4",
    "model.levels": "2",
    "model.spatial_pooling": "4",
    "model.spatial_kernel": "5",
    "train.epochs": "1",
    "train.minutes": "none",
    "train.batch_size": "4",
    "train.precision": "float32",
}
SMALLER = {  # command -> what is added to it
    "train": [word for name, value in TINY.items() for word in (f"--{name}", value)],
    "compare": ["--data.root", "data"],  # the runs of the documents are trained on different sets here
    "calibrate": ["--data.root", "data"],  # another document may have trained the run on a set with two validation images
    "study": ["--list"],  # 180 trainings; tests/test_study.py carries small ones out
}
SMALLER_PYTHON = {
    '"train": {"epochs": 50}': '"train": {"epochs": 1}, "model": {"image_size": [48, 32], "filters": 4, "levels": 2}',
    "FOLDER": "data",
}
NOT_RUN = {  # beginning of a line -> why
    "pip install": "changes the environment; tools/check_wheel.sh installs the package",
    "scn-tf serve": "runs until Ctrl-C; the server of tests/test_server.py answers the requests of the documents",
    "scn-tf demo": "runs until Ctrl-C and needs npm; tests/test_demo.py",
    "SCN_MODEL=$PWD/served docker compose": "needs Docker; tests/test_deploy.py checks the files",
    "kubectl": "needs a cluster; tests/test_deploy.py checks the files",
    "python benchmarks/": "measures for minutes; tests/test_benchmarks.py",
    "KERAS_BACKEND=jax python benchmarks/": "trains for hours without a GPU; tests/test_fast.py",
    "scn-tf batch s3://": "needs a store and a cluster; tests/test_batch.py",
}
SERVER = "127.0.0.1:8501"


def name(page):
    return str(page.relative_to(REPOSITORY))


def blocks(text):
    """(language, content) of the fenced blocks, those inside lists too, without their indentation."""
    found = re.findall(r"^( *)```(\w*)\n(.*?)^ *```$", text, flags=re.S | re.M)
    return [(language, re.sub(rf"^{indent}", "", content, flags=re.M)) for indent, language, content in found]


def lines(content):
    """Command lines of a block."""
    return [line.removeprefix("$ ") for line in content.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]


class Sandbox:
    """A folder with a reader's files, and what has been run in it."""

    def __init__(self, folder):
        self.folder, self.done, self.stack = folder, set(), contextlib.ExitStack()
        self._port = None

    def served(self):
        """Folder of an export; written if no document has."""
        if not (self.folder / "served").is_dir():
            export_saved_model(self.folder / "runs" / "first", self.folder / "served")
        return self.folder / "served"

    def with_port(self, text):
        """The text with the address of a server that runs, in place of the documents'."""
        if SERVER not in text:
            return text
        if self._port is None:
            self._port = self.stack.enter_context(running(servable.load(self.served())))
        return text.replace(SERVER, f"127.0.0.1:{self._port}")

    def run(self, line):
        """Run a line of a shell block once; returns why not, or None."""
        if reason := next((reason for start, reason in NOT_RUN.items() if line.startswith(start)), None):
            return reason
        words = [NAMES.get(word, word) for word in shlex.split(line, comments=True)]
        if tuple(words) in self.done:
            return None
        self.done.add(tuple(words))
        if words[0] == "scn-tf":
            self._command(words[1:])
        elif words[:2] == ["python", "-c"]:
            exec(compile(words[2], line, "exec"), {})
        elif "curl" in line:
            if shutil.which("curl") is None:
                return "curl is not installed"
            shell = self.with_port(line).replace("curl ", "curl --silent --fail --noproxy '*' ")
            assert "landmarks" in (found := self._shell(shell)) or "AVAILABLE" in found, found
        else:
            raise AssertionError(f"nobody knows how to run: {line}")
        return None

    def _command(self, words):
        if words[0] == "train" and "--resume" not in words and "--run-dir" in words:
            shutil.rmtree(words[words.index("--run-dir") + 1], ignore_errors=True)  # another document may have trained it
        if words[0] == "init":
            shutil.rmtree(words[words.index("--out") + 1], ignore_errors=True)
        if words[0] == "train" and "--minutes" in words:
            del words[words.index("--minutes") : words.index("--minutes") + 2]
        if words[0] in ("check-parity", "client"):
            self.served()
        more = [] if "--resume" in words else SMALLER.get(words[0], [])
        output, said = io.StringIO(), io.StringIO()
        with warnings.catch_warnings(action="default"), contextlib.redirect_stdout(output), contextlib.redirect_stderr(said):
            status = cli.main([*map(self.with_port, words), *more])
        # Networks that hardly learned anything have no peaks for int8 to agree about; the small data set has few images.
        if words[0] == "init" and status == 0 and "--dry-run" not in words:  # ten images make no split test
            splits = Path(words[words.index("--out") + 1]) / "splits"
            shutil.copy(splits / "val.txt", splits / "test.txt")
        assert status == 0 or (words[0] in ("check-parity", "check") and "error:" not in said.getvalue()), said.getvalue()

    @staticmethod
    def _shell(line):
        return subprocess.run(["bash", "-c", line], check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.fixture(scope="module")
def sandbox(hands_2d, hands_3d, run_2d, run_3d, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sandbox")
    shutil.copytree(hands_2d, folder / "data")
    shutil.copy(folder / "data" / "splits" / "val.txt", folder / "data" / "splits" / "test.txt")
    for name in ("first", "other"):
        shutil.copytree(run_2d, folder / "runs" / name)
    settings = folder / "runs" / "first" / "config.yaml"
    settings.write_text(settings.read_text(encoding="utf-8").replace(str(hands_2d), str(folder / "data")), encoding="utf-8")
    shutil.copytree(run_3d, folder / "runs" / "heads")
    image = sorted((hands_2d / "images").iterdir())[-1]
    for file in ("hand.png", "one.png", "pictures_in/hand.png"):
        (folder / file).parent.mkdir(exist_ok=True)
        shutil.copy(image, folder / file)
    jpeg = tf.io.encode_jpeg(tf.io.decode_png(image.read_bytes())).numpy()
    for file in ("HAND.jpg", "two.jpg", "other.jpg"):
        (folder / file).write_bytes(jpeg)
    volume = next(path for path in sorted((hands_3d / "images").iterdir()) if path.suffix not in (".raw", ".zraw"))
    sitk.WriteImage(sitk.ReadImage(str(volume)), str(folder / "head.nii.gz"))
    (folder / "annotations.csv").write_text("image;landmark;x;y\nhand01.png;thumb_tip;412.5;310.0\nhand01.png;index_tip;520.1;288.4\n")
    shutil.copytree(hands_2d / "images", folder / "scans")
    (folder / "head.fcsv").write_text("# Markups fiducial file version = 4.11\n# CoordinateSystem = LPS\n1,9,8,7,0,0,0,1,1,1,0,AC,,\n")
    with contextlib.redirect_stdout(io.StringIO()):
        for file, row in (("scans/points.json", "coco"), ("points.csv", "csv-wide")):
            assert cli.main(["convert", str(folder / "data"), str(folder / file), "--to", row]) == 0
    made = Sandbox(folder)
    with made.stack:
        yield made


@pytest.fixture(autouse=True)
def here(sandbox, monkeypatch):
    """The sandbox is the working folder; rows that a document registers go again."""
    monkeypatch.chdir(sandbox.folder)
    registered = []
    original = registry.Registry.register

    def register(self, row):
        original(self, row)
        registered.append((self, row.name))

    monkeypatch.setattr(registry.Registry, "register", register)
    yield
    for home, row in registered:
        home.unregister(row)


def run_python(sandbox, block, namespace, page):
    for text, smaller in SMALLER_PYTHON.items():
        block = block.replace(text, smaller)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", ResourceWarning)  # open(...).read(), as anybody types it
        exec(compile(sandbox.with_port(block), name(page), "exec"), namespace)


def check_yaml(content):
    """A study if it has systems, else a configuration."""
    if "systems:" in content:
        with open("study.yaml", "w", encoding="utf-8") as file:
            file.write(content)
        assert study.read_study("study.yaml").runs("data")
    else:
        assert config.from_dict(yaml.safe_load(content))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_a_document_shows_runs(page, sandbox):
    namespace = {"__name__": "document"}
    for language, content in blocks(page.read_text(encoding="utf-8")):
        if language in ("", "sh", "bash", "console"):
            for line in lines(content):
                sandbox.run(line)
        elif language == "python":
            run_python(sandbox, content, namespace, page)
        elif language == "yaml":
            check_yaml(content)
        elif language == "toml":
            assert tomllib.loads(content)
        else:
            assert language == "text", f"nobody knows how to check a block of {language}"


def test_what_the_page_on_extending_registers_is_trained_exported_and_called(sandbox, capsys):
    page = REPOSITORY / "docs" / "extending.md"
    for language, content in blocks(page.read_text(encoding="utf-8")):
        if language == "python":
            run_python(sandbox, content, {"__name__": "document"}, page)
    rows = ["--model.name", "wide", "--heatmap.decoder", "softmax", "--train.loss", "l1", "--heatmap.sigma_mode", "fixed"]
    unused = ("model.levels", "model.spatial_pooling")
    more = [word for option, value in TINY.items() if option not in unused for word in (f"--{option}", value)]
    assert cli.main(["train", "--data.root", "data", "--run-dir", "runs/wide", *rows, *more]) == 0
    assert cli.main(["export", "runs/wide", "wide.arrays"]) == 0
    shutil.rmtree("points", ignore_errors=True)
    shutil.copytree("data", "points")
    description = Path("points", "dataset.yaml")
    content = yaml.safe_load(description.read_text(encoding="utf-8"))
    dataset = scn_tf.open_dataset("data")
    named = {image: dict(zip(dataset.description.names, xy.tolist(), strict=True)) for image, xy in dataset.landmarks.items()}
    Path("points", "hands.points.json").write_text(json.dumps(named), encoding="utf-8")
    description.write_text(yaml.safe_dump(content | {"annotations": "hands.points.json"}), encoding="utf-8")
    assert cli.main(["evaluate", "runs/wide", "--data.root", "points"]) == 0
    image = tf.io.decode_png(Path("hand.png").read_bytes()).numpy()[..., 0]
    Path("hand.raw8").write_bytes(b"RAW %d %d\n" % image.shape + image.tobytes())
    capsys.readouterr()
    assert cli.main(["predict", "wide.arrays", "hand.raw8", "hand.png", "--out", "wide.csv"]) == 0
    rows = [line.split(",")[2:] for line in Path("wide.csv").read_text(encoding="utf-8").splitlines()[1:]]
    assert rows[: len(rows) // 2] == rows[len(rows) // 2 :]
    capsys.readouterr()
    description.write_text(yaml.safe_dump(content | {"spacing_mm": [1.25, 0.5]}), encoding="utf-8")
    assert cli.main(["check", "points", "--json", "found.json"]) == 1
    found = {(one["kind"], one["message"]) for one in json.loads(Path("found.json").read_text(encoding="utf-8"))["findings"]}
    assert ("coarse", "images/hand_000.png: has pixels of 1.25 mm.") in found
    capsys.readouterr()
    assert cli.main(["weakest", "HAND.jpg"]) == 0
    assert re.fullmatch(r"\w+: \d\.\d\d\n", capsys.readouterr().out)


def test_every_exception_is_needed_and_something_is_run():
    found = [
        line for page in PAGES for language, content in blocks(page.read_text(encoding="utf-8")) if not language for line in lines(content)
    ]
    assert [start for start in NOT_RUN if not any(line.startswith(start) for line in found)] == []
    run = {line for line in found if not line.startswith(tuple(NOT_RUN))}
    assert len(run) > 20
    words = {word for line in run for word in shlex.split(line, comments=True)}
    assert set(NAMES) - words == set()
    assert {word for word in words if word.isupper() and len(word) > 2} <= set(NAMES)


def test_a_command_that_fails_and_one_that_nobody_knows_are_noticed(sandbox):
    with pytest.raises(AssertionError, match="no model there"):
        sandbox.run("scn-tf predict nowhere hand.png")
    with pytest.raises(AssertionError, match="nobody knows"):
        sandbox.run("scn_tf train")
    with pytest.raises(ZeroDivisionError):
        run_python(sandbox, "1 / 0", {}, PAGES[0])
