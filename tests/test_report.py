"""Figures without mm, and the report that shows the worst images."""

import base64
import csv
import io
import json
import re
import shutil

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

import scn_tf
from scn_tf import evaluate_run
from scn_tf.data.dataset import open_dataset
from scn_tf.figures import charts, pages, sheets
from scn_tf.scoring import alignment, gallery, localization, resampling, scores
from scn_tf.storage import ownership
from scn_tf.study import report as study_report
from scn_tf.study import statistics
from scn_tf.systems import network
from tests import chromium
from tests.calibrated import calibrated

pytestmark = pytest.mark.filterwarnings("ignore:.*has other units than the training data")


def without_mm(root, out, extra=""):
    shutil.copytree(root, out)
    text = (out / "dataset.yaml").read_text().replace("spacing_mm:\n- 0.9\n- 0.9\n", extra)
    (out / "dataset.yaml").write_text(text)
    return out


def rows_of(path):
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.fixture(scope="module")
def in_pixels(run_2d, hands_2d, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pixels")
    root = without_mm(hands_2d, folder / "set")
    return (root, *evaluate_run.evaluate(run_2d, "val", root=root, out=folder / "out"))


def test_without_mm_errors_are_relative_to_the_diagonal(in_pixels):
    root, summary, out = in_pixels
    predicted = {(r["id"], r["landmark"]): (float(r["x"]), float(r["y"])) for r in rows_of(out / "predictions.csv")}
    dataset = open_dataset(root)
    errors = np.array(
        [
            np.linalg.norm(np.subtract(predicted[identity, name], point)) / np.hypot(192, 256) * 100
            for identity in dataset.split("val")
            for name, point in zip(dataset.description.names, dataset.landmarks[identity], strict=True)
        ]
    )
    assert summary["nme_percent"] == pytest.approx(errors.mean(), rel=1e-4)
    assert summary["nme_reference"] == "image diagonal"
    for limit in ("0.5", "1", "2", "5"):
        assert summary["pck_percent"][limit] == pytest.approx(100 * (errors < float(limit)).mean(), abs=1e-6)
    assert summary["unit"] == "px"
    assert set(summary["sdr_percent"]) == {"2", "2.5", "3", "4", "10"}
    assert {*summary["sdr_percent"].values(), *summary["outliers"].values(), summary["pe_mean_mm"]} == {None}
    assert json.loads((out / "summary.json").read_text()) == summary


def test_no_threshold_in_mm_is_printed_of_pixels(in_pixels):
    _, summary, out = in_pixels
    text = evaluate_run.table(summary) + (out / "report.html").read_text().split("data:image")[0]
    assert not re.search(r"\b(2|2\.5|3|4|10) px", text)
    assert "outliers" not in text
    assert re.search(r"within +0\.5 %: .* %   1 %: .* %   2 %: .* %   5 %: ", text)
    header = (out / "per_landmark.csv").read_text().splitlines()[0]
    calibrated = "coverage95_percent,radius95_mean,"  # a training calibrates
    assert header == f"landmark,points,pe_mean_px,pe_median_px,pe_max_px,nme_percent,pck_1_percent,{calibrated}trained"
    assert (out / "errors.csv").read_text().splitlines()[0] == "id,landmark,error_px,error_percent"


def test_a_study_in_pixels_has_shares_of_the_image_too(in_pixels, tmp_path):
    _, summary, out = in_pixels
    errors = statistics.collect({("split", 0): out / "errors.csv"})
    found = statistics.figures(errors)
    assert found["nme_percent"] == pytest.approx(summary["nme_percent"], rel=1e-3)
    assert found["pck_5"] == pytest.approx(summary["pck_percent"]["5"], abs=1e-6)
    assert not [name for name in found if name.startswith(("sdr", "outliers"))]
    text = study_report._markdown([{"system": "A", "size": "all", **found}], [], errors.unit, done=1, planned=1)
    assert "Errors in px" in text
    assert "| relative error | < 0.5 % | < 1 % | < 2 % | < 5 % |" in text
    assert ">= 10" not in text
    old = tmp_path / "old.csv"  # of a version that knew no percent
    old.write_text("id,landmark,error_px\na,0,1.5\na,1,2.5\n")
    known = statistics.figures(statistics.collect({("split", 0): old}))
    assert np.isnan(known["pck_1"])
    assert known["pe_mean"] == 2.0


ODD = "<script>alert(1)<&script>$x_{"  # an image


@pytest.fixture(scope="module")
def odd(run_2d, hands_2d, tmp_path_factory):
    """Evaluation of a set without mm, with a named distance, large images and names that a page or a chart could execute."""
    folder = tmp_path_factory.mktemp("odd")
    root = without_mm(hands_2d, folder / "set", "normalization: {landmarks: [3, 19]}\n")
    dataset = open_dataset(root)
    for identity in dataset.split("val"):
        path = root / "images" / f"{identity}.png"
        image = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
        sitk.WriteImage(sitk.GetImageFromArray(np.kron(image, np.ones((8, 8), "uint8"))), str(path))
    rows = [line.split(",") for line in (root / "landmarks.csv").read_text().splitlines()]
    (root / "landmarks.csv").write_text("\n".join(",".join([row[0], *(f"{8 * float(v) + 3.5}" for v in row[1:])]) for row in rows))
    (root / "images" / "hand_008.png").rename(root / "images" / f"{ODD}.png")
    for name in ("landmarks.csv", "splits/val.txt"):
        (root / name).write_text((root / name).read_text().replace("hand_008", ODD))
    return (root, *evaluate_run.evaluate(run_2d, "val", root=root, out=folder / "out"))


def test_a_named_distance_takes_the_place_of_the_diagonal(odd):
    root, summary, out = odd
    dataset = open_dataset(root)
    assert dataset.unit == "px"
    assert (summary["unit"], summary["nme_reference"]) == ("px", "distance from index_mcp to radius")
    for row in rows_of(out / "errors.csv")[:30]:
        first, second = dataset.landmarks[row["id"]][[3, 19]]
        assert float(row["error_percent"]) == pytest.approx(100 * float(row["error_px"]) / np.linalg.norm(first - second), rel=1e-3)


def test_an_absent_named_point_leaves_its_image_out_of_the_relative_errors():
    result = {
        "predicted": np.zeros((2, 3, 2)),
        "landmarks": np.array([[[3.0, 4], [0, 0], [0, 8]], [[3, 4], [0, 0], [0, 0]]]),
        "annotated": np.array([[1.0, 1, 1], [1, 1, 0]]),
        "file_per_pixel": np.full((2, 2), 2.0),
        "size": np.array([[30.0, 40], [60, 80]]),
    }
    np.testing.assert_allclose(localization.relative_errors(result), [[20, 0, 32], [10, 0, np.nan]])
    np.testing.assert_allclose(localization.relative_errors(result, (1, 2)), [[62.5, 0, 100], [np.nan] * 3])


@pytest.fixture(scope="module")
def evaluated(run_2d, tmp_path_factory):
    return evaluate_run.evaluate(run_2d, "val", out=tmp_path_factory.mktemp("evaluated") / "out")


@pytest.fixture(scope="module")
def evaluated_3d(run_3d, tmp_path_factory):
    return evaluate_run.evaluate(run_3d, "val", out=tmp_path_factory.mktemp("evaluated") / "out")


def pictures_of(page):
    found = re.findall(r'alt="([^"]*)" src="data:image/(\w+);base64,([^"]+)"', page)
    return [(name, kind, Image.open(io.BytesIO(base64.b64decode(content)))) for name, kind, content in found]


CALIBRATED = ("reliability curve", "errors and radii")  # pictures of calibrated models


@pytest.mark.parametrize("result", ["evaluated", "evaluated_3d"])
def test_the_report_shows_the_worst_images_with_truth_and_prediction(result, request):
    summary, out = request.getfixturevalue(result)
    page = (out / "report.html").read_text()
    assert len(page) < 3_000_000
    assert not re.findall(r'src="(?!data:)', page)
    every = pictures_of(page)
    # Two pictures of each image: with its points, and its heatmaps.
    maps = [(name, picture) for name, _, picture in every if name.startswith("heatmaps of ")]
    shown = [one for one in every if not one[0].startswith("heatmaps of ") and one[0] not in CALIBRATED]
    means = {}
    for row in rows_of(out / "errors.csv"):
        means.setdefault(row["id"], []).append(float(row["error_mm"]))
    worst = sorted(means, key=lambda identity: -np.mean(means[identity]))
    charts = ["cumulative error distribution", "errors per landmark", "error ellipses on the mean image"]
    assert [name for name, _, _ in shown[: 3 + len(worst)]] == charts + worst
    assert [name for name, _ in maps] == [f"heatmaps of {name}" for name in worst]
    assert all(picture.width / picture.height > 1.5 for _, picture in maps)  # three beside each other
    assert len(shown) == 3 + len(worst) + gallery.WORST_POINTS
    assert "Also drawn, and shown among the worst: " in page
    assert f"{worst[0]}: mean error {np.mean(means[worst[0]]):.2f} mm" in page
    picture = np.asarray(shown[3][2].convert("RGB")).astype(int)
    assert picture.shape[0] > 300
    green = (picture[..., 1] > 160) & (picture[..., 0] < 110) & (picture[..., 2] < 110)
    red = (picture[..., 0] > 160) & (picture[..., 1] < 110) & (picture[..., 2] < 110)
    assert green.sum() > 20
    assert red.sum() > 20
    assert summary["images"] == len(worst)


def test_images_keep_their_proportions_and_points_their_place(rng):
    """Pixels of 0.5 x 1 mm: 80 x 60 of them are 40 x 60 mm."""
    content = sheets.compared(rng.random((60, 80, 1)), np.array([[20.0, 15]]), np.array([[60.0, 45]]), ["a"], np.array([0.5, 1.0]))
    picture = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
    height, width, _ = picture.shape
    assert width / height == pytest.approx(40 / 60, rel=0.03)
    green = np.argwhere((picture[..., 1] > 170) & (picture[..., 0] < 100) & (picture[..., 2] < 100)).mean(axis=0)
    red = np.argwhere((picture[..., 0] > 170) & (picture[..., 1] < 90) & (picture[..., 2] < 90)).mean(axis=0)
    np.testing.assert_allclose(green / [height, width], [15.5 / 60, 20.5 / 80], atol=0.02)
    np.testing.assert_allclose(red / [height, width], [45.5 / 60, 60.5 / 80], atol=0.02)


def test_a_large_image_makes_a_small_report(odd):
    assert (odd[2] / "report.html").stat().st_size < 3_000_000


def test_names_in_a_report_are_text(odd):
    page = (odd[2] / "report.html").read_text()
    assert page.count("<script") == 1
    assert page.count("alert(1)") == page.count("&lt;script&gt;alert(1)&lt;") > 0


def test_what_was_not_annotated_or_not_trained_is_among_no_worst_images():
    errors = np.array([[1.0, 9], [5, np.nan], [np.nan, np.nan], [2, 2]])
    assert gallery.worst_images(errors, np.array([True, True]), 6) == [0, 1, 3]
    assert gallery.worst_images(errors, np.array([True, False]), 6) == [1, 3, 0]
    assert gallery.worst_points(errors, np.array([True, False]), 2) == [(1, 0), (3, 0)]
    assert gallery.worst_points(errors, np.array([True, True]), 9) == [(0, 1), (1, 0), (3, 0), (3, 1), (0, 0)]


def test_figures_in_one_line_have_the_unit_that_is_known():
    ones = np.ones((2, 3))
    assert scores.headline(scores.summarize(ones, ones, "mm")) == "mean 1.0000 mm, within 2 mm 100.00 %"
    assert scores.headline(scores.summarize(ones, ones, "px")) == "mean 1.0000 px"
    relative = scores.summarize(ones, ones, "px", errors_percent=2 * ones)
    assert scores.headline(relative) == "mean 2.0000 % of the image diagonal, within 1 % 0.00 %"


def test_a_comparison_of_systems_counts_the_points_that_both_have():
    first = np.array([[[1.0, 2, np.nan], [4, 4, 4]]])
    second = np.array([[[3.0, np.nan, 5], [5, 5, 5]]])
    one, other = (statistics.Errors((0,), ("a", "b"), points, "mm") for points in (first, second))
    assert statistics.difference(one, other)["mean"] == pytest.approx((-2 - 1) / 2)


def test_figures_have_intervals_over_the_images(rng):
    hard = rng.gamma(2, 1, (60, 1))
    errors = hard * rng.uniform(0.5, 1.5, (60, 5))
    errors[3] = np.nan  # an image without points
    errors[7, 1:] = np.nan
    found = scores.intervals(errors, "mm")
    kept = np.delete(errors, 3, axis=0)
    for key, value in (
        ("pe_mean_mm", np.nanmean(kept)),
        ("pe_median_mm", np.nanmedian(kept)),
        ("ipe_mean_mm", np.nanmean(kept, axis=1).mean()),
    ):
        low, high = found[key]
        assert low < value < high
    # Points of one image are alike, so an interval over single points would be less than half as wide.
    spread = np.nanmean(kept, axis=1).std() / np.sqrt(len(kept))
    assert found["ipe_mean_mm"][1] - found["ipe_mean_mm"][0] == pytest.approx(2 * 1.96 * spread, rel=0.1)
    share = 100 * (kept[np.isfinite(kept)] < 2).mean()
    assert found["sdr_percent"]["2"][0] < share < found["sdr_percent"]["2"][1]
    assert scores.intervals(errors, "mm") == found
    relative = scores.intervals(errors, "px", errors_percent=errors)
    assert relative["nme_percent"] == relative["pe_mean_px"] == found["pe_mean_mm"]
    assert set(relative["pck_percent"]) == {"0.5", "1", "2", "5"}
    assert scores.intervals(errors[:1], "mm") == {}


def test_medians_and_large_sets_are_resampled_in_parts(rng, monkeypatch):
    errors = rng.exponential(size=(40, 3))
    whole = resampling.median_interval(errors), resampling.interval(errors[:, 0]), resampling.sign_flip(errors[:, 0] - 0.9)
    monkeypatch.setattr(resampling, "CHUNK", 500)
    assert (resampling.median_interval(errors), resampling.interval(errors[:, 0]), resampling.sign_flip(errors[:, 0] - 0.9)) == whole
    plain = [np.median(errors[rng.integers(0, 40, 40)]) for _ in range(2000)]
    np.testing.assert_allclose(whole[0], np.percentile(plain, (2.5, 97.5)), rtol=0.06)


@pytest.mark.parametrize("dims", [2, 3])
def test_the_mean_shape_undoes_place_size_and_rotation_of_the_images(rng, dims):
    shape = rng.normal(size=(6, dims)) * 20 + 50
    points = []
    for _ in range(5):
        turn, _ = np.linalg.qr(np.eye(dims) + 0.2 * rng.normal(size=(dims, dims)))
        turn *= np.sign(np.diag(turn))  # near the identity
        turn[:, 0] *= np.sign(np.linalg.det(turn))
        points.append(rng.uniform(0.8, 1.2) * (shape - 50) @ turn.T + 50 + rng.normal(size=dims))
    points = np.array(points)
    points[2, 1] = np.nan
    mean, fits = alignment.mean_shape(points)
    for one, fit in zip(points, fits, strict=True):
        known = np.isfinite(one).all(axis=1)
        np.testing.assert_allclose(fit.apply(one)[known], mean[known], atol=1e-6)
        assert np.linalg.det(fit.matrix) > 0
    found = points + 1.0
    vectors = alignment.error_vectors(found, points, fits)
    np.testing.assert_allclose(vectors[0], np.tile(fits[0].matrix.sum(axis=1), (6, 1)))
    assert np.isnan(vectors[2, 1]).all()


def test_a_mirrored_shape_is_turned_and_not_mirrored():
    one = np.array([[0.0, 0], [4, 0], [4, 1], [0, 3]])
    fit = alignment.similarity(one * [-1, 1], one)
    assert np.linalg.det(fit.matrix) > 0
    few = alignment.similarity(one[:2], one[:2] + np.array([3, 5]))
    np.testing.assert_array_equal(few.matrix, np.eye(2))
    np.testing.assert_allclose(few.offset, [3, 5])


def test_the_mean_image_has_the_points_of_all_images_in_one_place(rng):
    truth = np.array([[[20.0, 12], [40, 12], [30, 30]], [[24.0, 16], [44, 16], [34, 34]]])
    sample = alignment.Sample(2, (48, 64))
    for number, points in enumerate(truth):
        image = np.full((48, 64, 1), -1.0)
        for x, y in points.astype(int):
            image[y, x] = 2.0
        sample.add(number, image)
    mean, fits = alignment.mean_shape(truth)
    picture = alignment.mean_image(sample.images, fits, (48, 64))
    brightest = np.argwhere(picture > 0.9)[:, ::-1]
    np.testing.assert_allclose(sorted(map(tuple, brightest)), sorted(map(tuple, mean)), atol=1e-6)
    assert alignment.Sample(1000, (8, 512, 512, 512)[1:]).images == {}
    assert len(alignment.Sample(1000, (512, 512, 512))._chosen) == 0  # one alone would be too large
    content, factor, numbers = charts.error_ellipses(picture, 1, mean, np.full((2, 3, 2), 0.1))
    assert (factor, numbers) == (1, [])  # two errors have no ellipse
    assert Image.open(io.BytesIO(content)).width > 600


@pytest.mark.parametrize(
    ("name", "dims", "titles"),
    [("scn", 3, ["product", "local appearance", "spatial configuration"]), ("unet", 2, ["heatmaps"])],
)
def test_networks_show_the_heatmaps_that_they_have(name, dims, titles, rng):
    size = (16, 32, 48)[:dims]
    built = scn_tf.build_network(name=name, dims=dims, image_size=size, landmarks=3, filters=4)
    image = rng.normal(size=(*size, 1)).astype("float32")
    maps = network.heatmaps_of(built)(image)
    assert list(maps) == titles
    assert all(picture.shape == size[-2:] and picture.max() <= 1 for picture in maps.values())
    heatmaps = built(image[None]).numpy()[0].reshape(-1, *size[-2:], 3).max(axis=0)
    expected = (heatmaps / np.maximum(np.abs(heatmaps).max(axis=(0, 1)), 1e-6)).max(axis=-1)  # maps of an untrained SCN are tiny
    np.testing.assert_allclose(maps[titles[0]], expected, atol=1e-4)


def test_boxes_are_of_the_worst_landmarks_and_none_without_errors():
    errors = np.arange(1.0, 201)[None] + np.zeros((3, 1))
    content, count = charts.box_plots(["$x_{"] * 200, errors, "mm")
    assert count == charts.MAX_BOXES
    assert Image.open(io.BytesIO(content)).height < 2000
    assert charts.box_plots(["a"], np.full((2, 1), np.nan), "mm") is None


def test_reports_of_this_and_earlier_versions_are_known_as_ours(tmp_path):
    now, before, other = (tmp_path / f"{name}.html" for name in ("now", "before", "other"))
    now.write_text(pages.page("hands, split val", "x"))
    before.write_text("<!doctype html><html lang=en><meta charset=utf-8><title>hands, split val</title><style>body{font:15px sans-serif")
    other.write_text("<!doctype html><html lang=en><title>hands, split val</title>")
    assert [ownership.is_ours(path) for path in (now, before, other)] == [True, True, False]


def test_the_report_sorts_fits_a_phone_and_loads_nothing(run_2d, tmp_path):
    _, out = evaluate_run.evaluate(calibrated(run_2d, tmp_path / "model.keras"), "val", out=tmp_path / "out")
    with chromium.start(tmp_path) as page:
        page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", dict(width=390, height=844, deviceScaleFactor=2, mobile=True))
        page.get((out / "report.html").as_uri())
        assert page.execute_script("return document.documentElement.scrollWidth") == 390
        assert page.execute_script("return [...document.images].every(image => image.complete && image.naturalWidth > 0)")
        column = "return [...document.querySelectorAll('#landmarks tbody tr')].map(row => row.cells[2].textContent)"
        before = page.execute_script(column)
        head = page.find_elements("css selector", "#landmarks th")[2]
        page.execute_script("arguments[0].click()", head)
        rising = page.execute_script(column)
        assert rising == sorted(before, key=float) != before
        head.send_keys("\ue007")  # Enter sorts the other way
        assert page.execute_script(column) == rising[::-1]
        assert head.get_attribute("aria-sort") == "descending"
        colours = "const style = getComputedStyle(document.body); return [style.color, style.backgroundColor]"
        assert page.execute_script(colours) == ["rgb(17, 17, 17)", "rgb(255, 255, 255)"]
        sent = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
        requests = [one["params"] for one in sent if one["method"] == "Network.requestWillBeSent"]
        asked = [request["request"]["url"] for request in requests if request["documentURL"].startswith("file:")]
        assert {url.split(":")[0] for url in asked} == {"file", "data"}
        assert sum(url.startswith("file:") for url in asked) == 1
        page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        page.refresh()
        assert len(page.find_elements("css selector", "#landmarks tbody tr")) == len(before)  # tables need no script
