"""Tables that spreadsheets open: nothing in them is executed, and a row is a line."""

import csv
import shutil

import numpy as np
import pytest

from scn_tf import evaluate_run
from scn_tf.data.dataset import open_dataset
from scn_tf.serving import client
from scn_tf.storage import tables
from scn_tf.study import statistics

FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "@SUM(A1)", "-2+3", "-x", '=HYPERLINK("http://x")', "\uff1d1+1", "-", "'=1", "''@a"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_text_that_a_spreadsheet_would_execute_gets_an_apostrophe_and_comes_back(text):
    written = tables.cell(text)
    assert written == f"'{text}"
    assert tables.original(written) == text


@pytest.mark.parametrize("text", ["hand_01", "-5", "+3.5", "-1.25e-3", "'quoted", "a=b", "", "Ärmel", " =x", "-inf", "nan"])
def test_other_texts_and_numbers_stay_as_they_are(text):
    assert tables.cell(text) == text
    assert tables.original(text) == text


@pytest.mark.parametrize("value", [-1, -1.5, np.float32(-2.5), np.int64(-3), 0])
def test_numbers_stay_numbers(value):
    assert tables.write([(value,)]) == f"{value}\n"


@pytest.mark.parametrize("mark", ["\n", "\r", "\r\n", "\t", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\x00", "\x1b"])
def test_whatever_an_id_holds_its_row_is_one_line(mark):
    text = tables.write([("id", "x"), (f"a{mark}b", 1), (f"{mark}=1", 2)])
    lines = text.splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("a\\")
    assert lines[2].startswith("\\")  # nothing executes what begins with a backslash


def test_a_file_name_that_is_no_utf8_is_written_visibly():
    text = tables.write([(b"hand\xff.png".decode("utf-8", "surrogateescape"), 1)])
    assert text.encode() == b"hand\\xff.png,1\n"


def test_rows_of_other_keys_share_the_columns_and_missing_values_stay_empty():
    assert tables.write_dicts([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "=x": -1.0}]) == "epoch,loss,'=x\n1,0.5,\n2,,-1.0\n"
    assert tables.write_dicts([]) == ""


def test_an_id_that_is_a_formula_works_from_the_table_to_the_predictions(run_2d, hands_2d, tmp_path):
    root = shutil.copytree(hands_2d, tmp_path / "set")
    ids = {"hand_007": "=2+5", "hand_008": "-hand", "hand_009": "@x"}
    table = (root / "landmarks.csv").read_text()
    for old, new in ids.items():
        (root / "images" / f"{old}.png").rename(root / "images" / f"{new}.png")
        table = table.replace(old, new)
    (root / "landmarks.csv").write_text(table)
    (root / "splits" / "val.txt").write_text("\n".join(ids.values()))
    assert open_dataset(root).split("val") == list(ids.values())
    summary, out = evaluate_run.evaluate(run_2d, "val", root=root, out=tmp_path / "out")
    for name in ("predictions.csv", "errors.csv"):
        assert {row["id"] for row in csv.DictReader((out / name).read_text().splitlines())} == {"'=2+5", "'-hand", "'@x"}
    found, errors, unit = statistics.read_errors(out / "errors.csv")
    assert (found, unit) == (list(ids.values()), "mm")
    np.testing.assert_allclose(np.nanmean(errors), summary["pe_mean_mm"], rtol=1e-4)
    expected, _ = evaluate_run.evaluate(run_2d, "val", out=tmp_path / "plain")
    assert {**summary, "data": None} == {**expected, "data": None}  # they lie in two folders


def test_both_writers_of_predictions_write_the_same():
    points, scores = np.array([[[1.0, -2.0], [3.5, 4.25]]]), np.array([[0.5, 0.25]])
    of_client = client.predictions_csv(["a/=x.png"], [client.Found(points[0], scores[0])], names=["@a", "b"])
    assert of_client == tables.points(["=x"], ["@a", "b"], points, scores)
    assert of_client.splitlines() == [
        "id,landmark,x,y,score,expected_error,radius95,unit,present,image_ok",
        "'=x,'@a,1.0000,-2.0000,0.5,,,,,",
        "'=x,b,3.5000,4.2500,0.25,,,,,",
    ]
