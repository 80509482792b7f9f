"""A study's long table of errors: the report from it is the report from the runs, and nothing harmful can be read in its place."""

import gzip
import os
import shutil
import warnings
import zlib

import numpy as np
import pytest
import yaml

from scn_tf import cli, config, study
from scn_tf.errors import DataWarning
from scn_tf.storage import files
from scn_tf.study import error_table, execute, run_settings, statistics
from tests.conftest import REPOSITORY, small_config

TABLES = ("results.md", "results.csv", "differences.csv")
REPORT = (*TABLES, "systems.png", "sizes.png")
HEADER = "system,size,fold,seed,image,landmark,error,unit"


def made_runs(folder, **changes):
    """Runs of a study of three systems, one with a name that spreadsheets and CSV readers would stumble over."""
    (folder / "base.yaml").write_text(small_config("set").to_yaml())
    systems = {"SCN": {"model.filters": 4}, '=A, "ü"\n': {"model.filters": 5}, "'C": {"model.filters": 6}}
    folds = {"a": {"data.val_split": "a"}, "b": {"data.val_split": "b"}}
    values = {"base": "base.yaml", "systems": systems, "sizes": [4, "all"], "folds": folds, "seeds": [0, 3], **changes}
    (folder / "study.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    return study.read_study(folder / "study.yaml").runs()


def write_errors(out, run, rng, *, unit="mm", relative=False, images=3):
    """An ``errors.csv`` of 3 or so images and 5 landmarks, with absent points."""
    lines = [f"id,landmark,error_{unit}{',error_percent' if relative else ''}"]
    for image in range(images):
        for landmark in ("=1", "thumb, tip", "2", "3", "4"):
            values = [f"{value:.5f}" for value in rng.gamma(2.0, 0.7, 1 + relative)]
            absent = rng.random() < 0.15
            lines.append(",".join([f"'-{run.fold}{image}", f'"{landmark}"', *("" if absent else value for value in values)]))
    execute.errors_file(out, run).parent.mkdir(parents=True, exist_ok=True)
    execute.errors_file(out, run).write_text("\n".join(lines) + "\n")
    files.write_text(execute.folder(out, run) / "config.yaml", run.config.resolved(2).to_yaml())


def contents(out, names=REPORT):
    return {name: (out / name).read_bytes() for name in names}


def forget_runs(out):
    shutil.rmtree(out / "runs")
    for name in REPORT:
        (out / name).unlink(missing_ok=True)


@pytest.mark.parametrize("kind", ["mm", "px", "old and new px", "unfinished"])
def test_the_report_from_the_table_is_the_report_from_the_runs(kind, rng, tmp_path):
    runs, out = made_runs(tmp_path), tmp_path / "out"
    for number, run in enumerate(runs):
        if kind == "unfinished" and number in (1, 6, 7, 23):
            continue
        relative = kind == "px" or (kind == "old and new px" and run.system == "SCN")
        write_errors(out, run, rng, unit="mm" if kind in ("mm", "unfinished") else "px", relative=relative, images=3 + len(run.fold))
    study.write_report(out, runs)
    before, table, settings = contents(out), (out / error_table.NAME).read_bytes(), (out / run_settings.NAME).read_bytes()
    forget_runs(out)
    with warnings.catch_warnings(action="error"):
        study.write_report(out, runs)
    assert contents(out) == before
    assert ((out / error_table.NAME).read_bytes(), (out / run_settings.NAME).read_bytes()) == (table, settings)
    assert f"{20 if kind == 'unfinished' else 24} of 24 runs" in before["results.md"].decode()


def test_the_table_holds_every_point_of_every_run(rng, tmp_path):
    runs, out = made_runs(tmp_path), tmp_path / "out"
    for run in runs:
        write_errors(out, run, rng)
    study.write_report(out, runs)
    lines = gzip.decompress((out / error_table.NAME).read_bytes()).decode().splitlines()
    assert lines[0] == HEADER
    assert len(lines) == 1 + len(runs) * 3 * 5
    assert lines[1].startswith("SCN,4,a,0,'-a0,'=1,")
    found = error_table.read(out / error_table.NAME)
    assert list(found) == [error_table.key_of(run) for run in runs]
    for run in runs:
        stored, own = found[error_table.key_of(run)], statistics.read_run(execute.errors_file(out, run))
        assert (stored.ids, stored.unit, stored.relative) == (own.ids, "mm", None)
        np.testing.assert_array_equal(stored.points, own.points)


def test_equal_errors_give_an_equal_file_whenever_and_wherever_it_is_written(rng, tmp_path):
    runs, tables = made_runs(tmp_path), []
    for name in ("first", "second"):
        for run in runs:
            write_errors(tmp_path / name, run, np.random.default_rng(len(run.name) + run.seed))
        study.write_report(tmp_path / name, runs)
        tables.append((tmp_path / name / error_table.NAME).read_bytes())
    assert tables[0] == tables[1]
    assert tables[0][3:8] == bytes(5)  # no name, no time


def test_the_table_survives_a_partial_rerun(rng, tmp_path):
    runs, out = made_runs(tmp_path), tmp_path / "out"
    for run in runs:
        write_errors(out, run, rng)
    study.write_report(out, runs)
    first = error_table.read(out / error_table.NAME)
    forget_runs(out)
    again = runs[5]
    write_errors(out, again, rng)
    with pytest.warns(DataWarning, match=r"errors\.csv\.gz: the errors of 23 runs are from this file"):
        text = study.write_report(out, runs)
    assert "24 of 24 runs" in text
    second = error_table.read(out / error_table.NAME)
    assert list(second) == list(first)
    for key, stored in first.items():
        assert np.array_equal(stored.points, second[key].points, equal_nan=True) == (key != error_table.key_of(again))
    assert list(run_settings.read(out / run_settings.NAME)) == [run.name for run in runs]
    report = contents(out)
    forget_runs(out)
    study.write_report(out, runs)
    assert contents(out) == report


def test_a_study_that_has_fewer_runs_now_keeps_the_others_in_its_table(rng, tmp_path):
    runs, out = made_runs(tmp_path), tmp_path / "out"
    for run in runs:
        write_errors(out, run, rng)
    study.write_report(out, runs)
    before = contents(out)
    forget_runs(out)
    fewer = [run for run in runs if run.system == "SCN"]
    write_errors(out, fewer[0], rng)
    with pytest.warns(DataWarning):
        study.write_report(out, fewer)
    assert set(error_table.read(out / error_table.NAME)) == set(map(error_table.key_of, runs))
    assert set(run_settings.read(out / run_settings.NAME)) == {run.name for run in runs}
    forget_runs(out)
    study.write_report(out, runs)
    changed = [
        line for line, old in zip(*((text["results.csv"].splitlines()) for text in (contents(out), before)), strict=True) if line != old
    ]
    assert len(changed) == 1


def test_nothing_is_lost_of_a_study_that_no_system_has_finished(rng, tmp_path):
    runs, out = made_runs(tmp_path), tmp_path / "out"
    write_errors(out, runs[0], rng)
    with pytest.raises(config.ConfigError, match="no system has finished"):
        study.write_report(out, runs)
    assert list(error_table.read(out / error_table.NAME)) == [error_table.key_of(runs[0])]


def packed(text):
    return gzip.compress(text.encode() if isinstance(text, str) else text)


ROW = "A,all,a,0,i,0,1.5,mm\n"
MALFORMED = {
    "empty": (b"", "cannot be unpacked|its end is missing|is empty"),
    "nothing in it": (packed(""), "is empty"),
    "no gzip": (f"{HEADER}\n{ROW}".encode(), "cannot be unpacked"),
    "cut": (packed(f"{HEADER}\n{ROW * 50}")[:-9], "its end is missing"),
    "checksum": (packed(f"{HEADER}\n{ROW}")[:-8] + bytes(8), "cannot be unpacked"),
    "two members": (packed(HEADER + "\n") + packed(ROW), "data follow its end"),
    "zeros after it": (packed(f"{HEADER}\n{ROW}") + bytes(70_000), "data follow its end"),
    "another table": (packed("a,b\n1,2\n"), "line 1: expected the columns system,size"),
    "columns exchanged": (packed(HEADER.replace("size,fold", "fold,size") + "\n" + ROW), "line 1: expected the columns"),
    "no UTF-8": (packed(HEADER.encode() + b"\n\xff\xfe" + ROW.encode()), "line 2: no line of a table"),
    "open quote": (packed(f'{HEADER}\n"A,all,a,0,i,0,1.5,mm\n'), "line 2: no line of a table"),
    "too few cells": (packed(f"{HEADER}\nA,all,a,0,i,0,1.5\n"), "line 2: expected 8 cells, received 7"),
    "too many cells": (packed(f"{HEADER}\n{ROW[:-1]},2\n"), "line 2: expected 8 cells, received 9"),
    "empty line": (packed(f"{HEADER}\n\n{ROW}"), "line 2: expected 8 cells, received 0"),
    "seed": (packed(f"{HEADER}\n{ROW.replace(',0,i', ',zero,i')}"), "line 2: seed: expected a whole number, received 'zero'"),
    "long seed": (packed(f"{HEADER}\n{ROW.replace(',0,i', ',' + '9' * 5000 + ',i')}"), "line 2: seed: expected a whole number"),
    "unit": (packed(f"{HEADER}\n{ROW.replace('mm', 'inch')}"), "line 2: unit: expected mm or px, received 'inch'"),
    **{
        f"error {value}": (packed(f"{HEADER}\n{ROW.replace('1.5', value)}"), "line 2: expected an error")
        for value in ("x", "nan", "inf", "-1", "1_0", "1e999", " 1", "٣")
    },
    "units mixed": (packed(f"{HEADER}\n{ROW}A,all,a,0,j,0,1.5,px\n"), "line 3: run .* expected the same unit"),
    "a point twice": (packed(f"{HEADER}\n{ROW}{ROW}"), "does not have every landmark once for every image"),
    "a point missing": (packed(f"{HEADER}\n{ROW}A,all,a,0,j,1,1,mm\n"), "does not have every landmark once for every image"),
    "long line": (packed(f"{HEADER}\n{'A' * 200_000},all,a,0,i,0,1.5,mm\n"), "more than 131,072 bytes|no line of a table"),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_table_is_refused_by_name(kind, tmp_path, capsys):
    content, message = MALFORMED[kind]
    path = tmp_path / "out" / error_table.NAME
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(config.ConfigError, match=f"errors\\.csv\\.gz.*({message})"):
        error_table.read(path)
    made_runs(tmp_path)
    assert cli.main(["study", str(tmp_path / "study.yaml"), "--out", str(path.parent), "--report"]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith(f"error: {path}")
    assert len(shown.splitlines()) == 1
    assert path.read_bytes() == content  # left as it was


@pytest.mark.parametrize("start", [b"", f"{HEADER}\n".encode(), f"{HEADER}\n{ROW}".encode()])
def test_a_table_that_unpacks_to_gigabytes_is_refused_before_it_does(start, tmp_path, monkeypatch):
    monkeypatch.setattr(error_table, "MAX_BYTES", 1 << 20)
    path, packing = tmp_path / error_table.NAME, zlib.compressobj(wbits=31)
    rows = "".join(f"A,all,a,0,i{number},0,1.5,mm\n" for number in range(300_000)).encode() if ROW.encode() in start else bytes(1 << 27)
    path.write_bytes(packing.compress(start) + packing.compress(rows) + packing.flush())
    unpacked = []
    original = error_table._unpacked
    monkeypatch.setattr(error_table, "_unpacked", lambda path: (unpacked.append(len(piece)) or piece for piece in original(path)))
    with pytest.raises(config.ConfigError, match=r"errors\.csv\.gz.*(more than 1 MiB unpacked|more than 131,072 bytes)"):
        error_table.read(path)
    assert sum(unpacked) <= 1 << 20


def test_runs_and_points_of_a_table_are_counted(tmp_path, monkeypatch):
    path = tmp_path / error_table.NAME
    path.write_bytes(packed(HEADER + "\n" + "".join(f"A,all,a,0,i{n},{n},1,mm\n" for n in range(30_000))))
    with pytest.raises(config.ConfigError, match=r"line \d+: a run with more than 6,000,000 points"):  # a gigabyte as a matrix
        error_table.read(path)
    path.write_bytes(packed(HEADER + "\n" + "".join(f"A,all,a,{n},i,0,1,mm\n" for n in range(10_002))))
    with pytest.raises(config.ConfigError, match=r"line 10002: more than 6,000,000 rows or 10,000 runs"):
        error_table.read(path)


def test_a_pipe_or_folder_in_place_of_the_table_is_refused(tmp_path):
    path = tmp_path / error_table.NAME
    os.mkfifo(path)
    with pytest.raises(config.ConfigError, match="it is no file"):
        error_table.read(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(config.ConfigError, match="it is no file"):
        error_table.read(path)
    path.rmdir()
    path.symlink_to("/dev/zero")
    with pytest.raises(config.ConfigError, match="it is no file"):
        error_table.read(path)
    path.unlink()
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(config.ConfigError, match="cannot be unpacked"):
        error_table.read(path)


def test_errors_too_many_for_one_table_leave_the_report_and_a_warning(rng, tmp_path, monkeypatch):
    runs, out = made_runs(tmp_path), tmp_path / "out"
    for run in runs:
        write_errors(out, run, rng)
    monkeypatch.setattr(error_table, "MAX_BYTES", 100)
    with pytest.warns(DataWarning, match=r"errors\.csv\.gz: not written: this study has too many errors"):
        assert "24 of 24 runs" in study.write_report(out, runs)
    assert not (out / error_table.NAME).exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1: expected the columns"),
        ("id,landmark\na,0\n", "line 1: expected the columns"),
        ("id,landmark,error_inch\na,0,1\n", "line 1: expected the columns"),
        ("id,landmark,error_mm\na,0\n", "line 2: expected 3 cells, received 2"),
        ("id,landmark,error_mm\na,0,1\na,1,x\n", "line 3: expected an error"),
        ("id,landmark,error_mm\na,0,-1\n", "line 2: expected an error"),
        (b"id,landmark,error_mm\n\xff,0,1\n", "cannot be read as a table of errors"),
    ],
)
def test_a_malformed_file_of_a_run_is_refused_by_name(content, message, tmp_path, capsys):
    runs, out = made_runs(tmp_path), tmp_path / "out"
    path = execute.errors_file(out, runs[0])
    path.parent.mkdir(parents=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert cli.main(["study", str(tmp_path / "study.yaml"), "--out", str(out), "--report"]) == 1
    shown = capsys.readouterr().err
    assert f"error: {path}" in shown
    assert message in shown
    assert len(shown.splitlines()) == 1
    assert not (out / error_table.NAME).exists()  # which could not be read again


def test_errors_of_other_settings_are_refused_though_the_run_folders_are_gone(rng, tmp_path, capsys):
    runs, out = made_runs(tmp_path), tmp_path / "out"
    for run in runs:
        write_errors(out, run, rng)
    study.write_report(out, runs)
    study.check_settings(out, runs)
    stored = run_settings.read(out / run_settings.NAME)
    assert [config.differences(stored[run.name], run.config.resolved(2)) for run in runs] == [[]] * len(runs)
    forget_runs(out)
    study.check_settings(out, runs)
    other = made_runs(tmp_path, settings={"train.epochs": 77})
    for more in ([], ["--report"], ["--list"], ["--run", "0"]):
        assert cli.main(["study", str(tmp_path / "study.yaml"), "--out", str(out), *more]) == 1
        shown = capsys.readouterr().err
        assert f"{error_table.NAME}: the study's folder holds this run with other settings ({runs[0].name}: train.epochs)" in shown
    (out / error_table.NAME).unlink()  # as the message says
    study.check_settings(out, other)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]\n", "expected sections"),
        ("shared: {}\n", "expected the mappings shared and runs"),
        ("shared: {}\nruns: {SCN_4_a_seed0: 3}\n", "run SCN_4_a_seed0: expected settings, received 3"),
        ("shared: {}\nruns: {SCN_4_a_seed0: {epochs: 3}}\n", "'epochs': expected section.field"),
        ("shared: {train.epoch: 3}\nruns: {SCN_4_a_seed0: {}}\n", r"train\.epoch: unknown field; did you mean train\.epochs"),
        ("shared: {train.epochs: many}\nruns: {SCN_4_a_seed0: {}}\n", r"train\.epochs"),
    ],
)
def test_mistakes_in_the_settings_beside_the_table_are_named(text, message, rng, tmp_path):
    runs, out = made_runs(tmp_path), tmp_path / "out"
    for run in runs:
        write_errors(out, run, rng)
    study.write_report(out, runs)
    forget_runs(out)
    (out / run_settings.NAME).write_text(text)
    with pytest.raises(config.ConfigError, match=rf"settings\.yaml.*{message}"):
        study.check_settings(out, runs)


def test_settings_of_somebody_else_are_not_replaced(rng, tmp_path):
    runs, out = made_runs(tmp_path), tmp_path / "out"
    for run in runs:
        write_errors(out, run, rng)
    (out / run_settings.NAME).write_text("my: own\n")
    with pytest.raises(files.WriteError, match=r"settings\.yaml: already exists and was not written by scn_tf"):
        study.write_report(out, runs)
    assert (out / run_settings.NAME).read_text() == "my: own\n"


def test_a_run_that_is_trained_joins_those_of_the_table_and_the_report_needs_neither_folder(
    hands_2d, rng, tmp_path, capsys, in_this_process
):
    values = yaml.safe_load(small_config(hands_2d).to_yaml())
    values["model"]["name"], values["forest"] = "forest", {"trees": 2, "features": 20, "samples": 30, "leaf": 3}
    systems = {"coarse": {"forest.leaf": 9}, "fine": None}
    contained = {"base": values, "systems": systems, "seeds": [1]}  # the settings of the base in the study itself
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(contained))
    out = tmp_path / "out"
    arguments = ["study", str(tmp_path / "study.yaml"), "--out", str(out)]
    coarse, fine = study.read_study(tmp_path / "study.yaml").runs()
    write_errors(out, coarse, rng)
    assert cli.main([*arguments, "--report"]) == 0
    assert "1 of 2 runs" in capsys.readouterr().out
    forget_runs(out)
    assert cli.main([*arguments, "--run", "1"]) == 0, execute.log_file(out, fine).read_text()
    with warnings.catch_warnings(action="default"):
        assert cli.main([*arguments, "--report"]) == 0
    shown = capsys.readouterr()
    assert "the errors of 1 run are from this file" in shown.err
    assert "2 of 2 runs" in shown.out
    before, errors = contents(out), statistics.read_run(execute.errors_file(out, fine)).points
    stored = error_table.read(out / error_table.NAME)[error_table.key_of(fine)]
    np.testing.assert_array_equal(stored.points, errors)
    assert run_settings.read(out / run_settings.NAME)[fine.name].forest.leaf == 3
    for name in ("configs", "logs"):
        shutil.rmtree(out / name)
    forget_runs(out)
    assert cli.main([*arguments, "--report"]) == 0
    assert contents(out) == before


@pytest.mark.parametrize("base", [3, ["a"], None])
def test_a_base_is_a_file_or_settings(base, tmp_path):
    with pytest.raises(config.ConfigError, match=r"study\.yaml: base: expected a file, or sections with settings, received"):
        made_runs(tmp_path, base=base)
    with pytest.raises(config.ConfigError, match=r"model\.nam: unknown field"):
        made_runs(tmp_path, base={"model": {"nam": "scn"}})


@pytest.mark.parametrize("name", ["study_hand_xray", "study_hand_xray_tuning"])
def test_a_stored_study_gives_its_tables_again_to_every_digit(name, tmp_path):
    stored = REPOSITORY / "benchmarks" / "results" / name
    for part in ("study.yaml", error_table.NAME, run_settings.NAME):
        shutil.copy(stored / part, tmp_path)
    planned = study.read_study(tmp_path / "study.yaml")
    study.check_settings(tmp_path, planned.runs())
    study.write_report(tmp_path, planned.runs(), sizes_figure=planned.sizes_figure)
    assert contents(tmp_path, TABLES) == contents(stored, TABLES)
