import csv
import json
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import SimpleITK as sitk

import scn_tf
from scn_tf import export, geometry
from scn_tf.data import preprocess
from scn_tf.runs import checkpoints
from scn_tf.serving import demo
from scn_tf.storage import tables
from tests import chromium
from tests.chromium import downloaded, drop, errors_of, wait_for
from tests.conftest import EXACT, SAME_RADIUS

SAME_PX = 0.1  # pixels of the original image between the browser and Python


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium.start(tmp_path_factory.mktemp("browser")) as driver:
        yield driver


@pytest.fixture(scope="module")
def quiet_run(calibrated_2d, tmp_path_factory):
    """A model to which no image is strange and no landmark absent."""
    return flagging(calibrated_2d, tmp_path_factory.mktemp("quiet") / "run.keras", strange=1e9, absent=-1e9)


def flagging(file, path, *, strange, absent):
    """A copy of a calibrated model with other limits of its flags."""
    info = checkpoints.read_info(shutil.copy(file, path))
    limits = {"largest_strangeness": strange, "lowest_presence": absent}
    checkpoints.restate(path, info.model_copy(update={"calibration": info.calibration.model_copy(update=limits)}))
    return path


@pytest.fixture(scope="module")
def site(browser, quiet_run, tmp_path_factory):
    """Address and folder of ``scn-tf demo``, which must end well when it is interrupted."""
    folder = tmp_path_factory.mktemp("demo")
    # A shell's background jobs start with the interrupt ignored.
    program = "import signal as s, sys; s.signal(s.SIGINT, s.default_int_handler); from scn_tf.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "demo", str(quiet_run), "--out", str(folder), "--port", "0", "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            assert "http://127.0.0.1:" in line, process.stderr.read()
            yield line.split()[1], folder
        finally:
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")


@pytest.fixture
def page(browser, site):
    """The page, opened anew and ready."""
    browser.get(site[0])
    wait_for(browser, "Ready.")
    return browser


@pytest.fixture(scope="module")
def pictures(hands_2d, tmp_path_factory):
    """Image files of several shapes and kinds."""
    folder = tmp_path_factory.mktemp("pictures")
    hand = sitk.GetArrayFromImage(sitk.ReadImage(str(hands_2d / "images" / "hand_007.png")))
    colour = np.stack([hand, hand // 2, 255 - hand // 3], axis=-1)
    opacity = np.tile(np.arange(hand.shape[1], dtype="uint8"), (len(hand), 1))
    arrays = {
        "hand.png": hand,
        "wide.png": hand[40:160, ::-1],
        "filling.png": hand[:180, :120],  # the shape of the network's input: its maps lie on the image
        "tiny.png": hand[::9, ::9],
        "large.png": np.kron(hand[:150], np.ones((7, 6), "uint8")),
        "colour.png": colour,
        "opacity.png": np.concatenate([colour, opacity[..., None]], axis=-1),
        "deep.png": hand.astype("uint16") * 200 + np.arange(hand.shape[1], dtype="uint16"),
        "photo.jpg": hand[:, 20:],
        "flat.png": np.full((50, 70), 93, "uint8"),
    }
    for name, array in arrays.items():
        sitk.WriteImage(sitk.GetImageFromArray(array, isVector=array.ndim == 3), str(folder / name))
    # The same JPEG said to lie on its side: Python does not turn it.
    photo = (folder / "photo.jpg").read_bytes()
    entry = b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    (folder / "turned.jpg").write_bytes(photo[:2] + b"\xff\xe1" + struct.pack(">H", len(entry) + 2) + entry + photo[2:])
    return [folder / name for name in (*arrays, "turned.jpg")]


@pytest.mark.filterwarnings("ignore:.*turned.jpg. its EXIF orientation is 6")
@pytest.mark.filterwarnings("ignore:.*flat.png. every pixel has the same value")  # Python says so of that one
def test_the_page_finds_what_python_finds_and_hands_out_both_files(page, pictures, quiet_run):
    page.find_element("id", "files").send_keys("\n".join(map(str, pictures)))
    wait_for(page, f"{len(pictures)} images, 21 landmarks each.")
    note = "turned.jpg: note: EXIF says to turn it (orientation 6); landmarks are in its pixels as stored, not turned."
    assert errors_of(page) == [note]
    page.find_element("id", "csv").click()
    page.find_element("id", "json").click()
    rows = list(csv.DictReader(downloaded(page, "predictions.csv").splitlines()))
    document = json.loads(downloaded(page, "predictions.json"))
    assert list(rows[0]) == ["id", "landmark", "x", "y", "score", *tables.CALIBRATED]
    assert [image["file"] for image in document["images"]] == [path.name for path in pictures]
    model = scn_tf.load(quiet_run)
    for path, image in zip(pictures, document["images"], strict=True):
        expected = model.predict(path)
        own = [row for row in rows if row["id"] == path.stem]
        assert [row["landmark"] for row in own] == [point["landmark"] for point in image["landmarks"]] == list(expected.names)
        assert (image["width"], image["height"]) == tuple(expected.image.size)
        for points in (own, image["landmarks"]):
            found = np.array([[float(point["x"]), float(point["y"])] for point in points])
            assert np.linalg.norm(found - expected.landmarks, axis=-1).max() <= SAME_PX, path.name
            np.testing.assert_allclose([float(point["score"]) for point in points], expected.scores, rtol=0.01, atol=1e-4)
            for name in ("expected_error", "radius95"):
                found = np.array([float(point[name]) for point in points])
                apart = np.abs(found - getattr(expected.estimates, name)).max()
                assert apart <= SAME_RADIUS * expected.estimates.radius95.min(), path.name
        assert {row["unit"] for row in own} == {image["error_unit"]} == {expected.estimates.unit}
        for name, values in (("present", expected.estimates.present), ("image_ok", expected.estimates.image_ok)):
            shown = [""] * len(own) if values is None else [str(int(value)) for value in np.broadcast_to(values, len(own))]
            assert [row[name] for row in own] == shown


def test_picture_and_table_follow_the_controls(page, pictures, calibrated_2d):
    first, second = pictures[0], pictures[2]
    for path in (first, second):
        page.find_element("id", "files").send_keys(str(path))
    wait_for(page, "2 images, 21 landmarks each.")
    picture = lambda: page.execute_script("return document.getElementById('picture').toDataURL()")  # noqa: E731
    seen = [picture()]
    for control in ("overlay", "names", "radii", "points"):
        page.find_element("id", control).click()
        seen.append(picture())
    for control, value in (("map", 3), ("opacity", 0.1)):
        page.execute_script(
            "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))", page.find_element("id", control), value
        )
        seen.append(picture())
    assert len(set(seen)) == 7
    page.find_element("css selector", "#shown option").click()  # back to the first
    expected = scn_tf.load(calibrated_2d).predict(first)
    deadline = time.monotonic() + 20
    while abs(float(page.find_element("css selector", "#rows td").text) - expected.landmarks[0, 0]) > 0.05 + SAME_PX:
        assert time.monotonic() < deadline
    assert [head.text for head in page.find_elements("css selector", "#rows th")] == list(expected.names)
    assert page.find_element("css selector", "th.calibrated").text == "Expected error (mm)"
    error = page.find_element("css selector", "#rows td:nth-child(5)").text.split()[0]
    assert float(error) == pytest.approx(expected.estimates.expected_error[0], rel=SAME_RADIUS, abs=0.006)


def test_the_circle_is_as_large_as_the_radius_in_pixels_of_the_image(page):
    """A drawn answer: a radius of 20 mm around (30, 60), pixels of 2 x 4 mm, a picture of 100 x 120 pixels."""
    seen = page.execute_async_script(
        """const done = arguments[0], canvas = document.createElement("canvas");
        import("./draw.js").then(async ({ draw }) => {
          const bitmap = await createImageBitmap(new ImageData(100, 120));
          const estimates = { unit: "mm", radius95: [20], expected_error: [5], present: null, image_ok: null };
          const shown = { bitmap, image: { width: 100, height: 120 }, found: { landmarks: [[30, 60]], estimates } };
          draw(canvas, shown, { landmarks: ["a"], pixel_size: [2, 4] }, { radii: true });
          const scale = canvas.width / 100, context = canvas.getContext("2d");
          const at = (x, y) => context.getImageData((x + 0.5) * scale, (y + 0.5) * scale, 1, 1).data[3];
          done([at(40, 60), at(20, 60), at(30, 65), at(30, 55), at(30, 60), at(30, 70), at(37, 60)]);
        }).catch((error) => done(String(error)));"""
    )
    assert [value > 200 for value in seen] == [True] * 4 + [False] * 3


def test_absent_landmarks_and_strange_images_are_marked_in_both_files(page):
    """Of a drawn answer, whatever the model of this test knows."""
    table, document = page.execute_async_script(
        """const done = arguments[0];
        import("./table.js").then(({ csv, json }) => {
          const estimates = { unit: "px", radius95: [20, 30], expected_error: [5, 7], present: [1, 0], image_ok: 0 };
          const found = { landmarks: [[3, 4], [5, 6]], scores: [0.5, 0.2], estimates };
          const results = [{ id: "one", file: { name: "one.png" }, width: 9, height: 9, ...found }];
          done([csv(results, ["a", "b"]), json(results, ["a", "b"], "hands")]);
        }).catch((error) => done([String(error), ""]));"""
    )
    assert table.splitlines()[1:] == ["one,a,3.0000,4.0000,0.5,5.0000,20.0000,px,1,0", "one,b,5.0000,6.0000,0.2,7.0000,30.0000,px,0,0"]
    (image,) = json.loads(document)["images"]
    assert (image["error_unit"], image["image_ok"]) == ("px", False)
    assert [point["present"] for point in image["landmarks"]] == [True, False]


def test_the_page_says_which_image_is_strange_and_which_landmarks_are_absent(browser, site, quiet_run, pictures, tmp_path):
    folder = shutil.copytree(site[1], tmp_path / "page")
    run = flagging(quiet_run, tmp_path / "run.keras", strange=1e-6, absent=1e9)
    export.export_tflite(run, folder / "model.tflite", heatmaps=True)
    with demo.server(folder, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser.get(f"http://127.0.0.1:{server.server_port}/")
        wait_for(browser, "Ready.")
        browser.find_element("id", "files").send_keys(str(pictures[0]))
        wait_for(browser, "1 image, 21 landmarks each.")
        note = "hand.png: note: it is not like the images that the model was trained on; do not trust its points."
        assert errors_of(browser) == [note]
        assert all(cell.text.endswith(" (absent)") for cell in browser.find_elements("css selector", "#rows td:last-child"))
        browser.find_element("id", "csv").click()
        assert downloaded(browser, "predictions.csv").splitlines()[1].endswith(",mm,0,0")
        server.shutdown()


def test_the_page_of_a_model_that_is_not_calibrated_says_nothing_of_errors(browser, site, pictures, tmp_path):
    folder = shutil.copytree(site[1], tmp_path / "page")
    facts = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**facts, "error_unit": None}))
    with demo.server(folder, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser.get(f"http://127.0.0.1:{server.server_port}/")
        wait_for(browser, "Ready.")
        browser.find_element("id", "files").send_keys(str(pictures[0]))
        wait_for(browser, "1 image, 21 landmarks each.")
        assert not any(part.is_displayed() for part in browser.find_elements("class name", "calibrated"))
        assert len(browser.find_elements("css selector", "#rows tr:first-child td")) == 3
        browser.find_element("id", "csv").click()
        assert downloaded(browser, "predictions.csv").splitlines()[1].endswith(",,,,,")
        server.shutdown()


def test_heatmap_and_cross_lie_on_the_landmark(page, pictures, run_2d):
    page.find_element("id", "files").send_keys(str(pictures[2]))
    wait_for(page, "1 image, 21 landmarks each.")
    page.find_element("id", "names").click()
    page.find_element("id", "overlay").click()
    expected = scn_tf.load(run_2d).predict(pictures[2])
    colours = page.execute_script(
        """const c = document.getElementById("picture"), scale = c.width / arguments[1], pixels = c.getContext("2d");
        return arguments[0].map(([x, y]) => [...pixels.getImageData((x + 0.5) * scale, (y + 0.5) * scale, 1, 1).data]);""",
        expected.landmarks.tolist(),
        int(expected.image.size[0]),
    )
    inside = ((expected.landmarks >= 0) & (expected.landmarks <= expected.image.size - 1)).all(axis=1)
    assert inside.any()
    np.testing.assert_allclose(np.array(colours)[inside], [[0, 229, 255, 255]] * inside.sum(), atol=60)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("notes.txt", b"These are no pixels.", "notes.txt: cannot be read as an image; expected PNG, JPEG or BMP."),
        ("empty.png", b"", "empty.png: cannot be read as an image"),
        ("cut.png", b"\x89PNG\r\n\x1a\n\0\0", "cut.png: cannot be read as an image"),
        (
            "bomb.png",
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\1\0\0\0\1\0\0\x08\0\0\0\0" + bytes(9),
            "bomb.png: is too large: 65536 x 65536 pixels",
        ),
        ("bomb.gif", b"GIF89a\xff\xff\xff\xff" + bytes(20), "bomb.gif: is GIF, which this page does not read: save it as PNG."),
        (
            "bomb.jpg",
            b"\xff\xd8\xff\xc0\0\x0b\x08\xff\xff\xff\xff\1\1\x11\0\xff\xda\0\x08\1\1\0\0\x3f\0\xff\xd9",
            "bomb.jpg: is too large: 65535 x 65535 pixels",
        ),
        ("endless.jpg", b"\xff\xd8\xff\xe0\0\2" * 3, "endless.jpg: cannot be read as an image"),
        ("<b>.png", b"\x89PNG", "<b>.png: cannot be read as an image"),
    ],
)
def test_a_dropped_file_that_is_no_image_is_named_and_the_next_one_works(page, pictures, name, content, message):
    drop(page, name, content)
    wait_for(page, "0 images, 21 landmarks each.")
    assert len(errors_of(page)) == 1
    assert errors_of(page)[0].startswith(message)
    drop(page, "good.png", pictures[2].read_bytes())
    wait_for(page, "1 image, 21 landmarks each.")
    assert errors_of(page) == []


def test_an_id_comes_once_until_the_results_are_cleared(page, pictures):
    for _ in range(2):
        page.find_element("id", "files").send_keys(str(pictures[0]))
    wait_for(page, "1 image, 21 landmarks each.")
    assert errors_of(page) == ["hand.png: the ID hand came before; skipped. Clear the results to use it again."]
    page.find_element("id", "clear").click()
    wait_for(page, "Ready.")
    page.find_element("id", "files").send_keys(str(pictures[0]))
    wait_for(page, "1 image, 21 landmarks each.")
    assert errors_of(page) == []


def test_nothing_is_asked_of_or_sent_to_another_host(browser, site, pictures):
    browser.get_log("performance")  # drops what came before
    browser.get(site[0])
    wait_for(browser, "Ready.")
    browser.find_element("id", "files").send_keys(str(pictures[0]))
    wait_for(browser, "1 image, 21 landmarks each.")
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"}
    assert f"{site[0]}model.tflite" in asked
    assert [url for url in asked if not url.startswith((site[0], f"blob:{site[0]}"))] == []

    heard = []

    class Listener(BaseHTTPRequestHandler):
        def do_GET(self):
            heard.append(self.path)
            self.send_response(204)
            self.end_headers()

        def do_POST(self):
            self.do_GET()

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Listener) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{listener.server_port}/"
        refused = browser.execute_async_script(
            """const [address, done] = arguments, refused = [];
            document.addEventListener("securitypolicyviolation", (event) => refused.push(event.effectiveDirective));
            new Image().src = address + "image";
            navigator.sendBeacon(address + "beacon", "pixels");
            const form = Object.assign(document.createElement("form"), {action: address + "form", method: "post", target: "_blank"});
            document.body.append(form);
            form.submit();
            fetch(address + "fetch", {mode: "no-cors"}).catch(() => setTimeout(() => done(refused), 500));""",
            address,
        )
        assert heard == []
        urllib.request.urlopen(f"{address}control").close()
        assert heard == ["/control"]
        listener.shutdown()
    assert {"img-src", "connect-src", "form-action"} <= set(refused)


@pytest.mark.parametrize(
    ("shape", "size", "channels", "spacing", "flat"),
    [
        ((61, 40, 1), (48, 32), 1, None, False),
        ((500, 333, 1), (48, 32), 1, None, False),
        ((10, 17, 3), (40, 44), 1, None, False),
        ((70, 90, 4), (32, 48), 3, None, False),
        ((70, 90, 2), (32, 48), 3, None, False),
        ((60, 80, 1), (40, 48), 1, (0.5, 0.7, 0.4), False),
        ((60, 80, 3), (40, 48), 3, (0.5, 0.7, 2.1), False),
        ((1, 1, 1), (8, 8), 1, None, False),
        ((200, 180, 1), (96, 96), 1, None, True),
    ],
)
def test_the_javascript_preparation_is_that_of_python(page, rng, shape, size, channels, spacing, flat):
    pixels = rng.integers(0, 65536, shape).astype("uint16")
    if flat:  # but for a spot: its percentiles are the same
        pixels[:] = 500
        pixels[90:100, 50:60] = 40000
    pixel_size, input_spacing = (spacing[:2], spacing[2]) if spacing else ((1.0, 1.0), None)
    model = {"size": size[::-1], "channels": channels, "pixel_size": pixel_size, "spacing": input_spacing}
    image = {"width": shape[1], "height": shape[0], "channels": shape[2], "data": pixels.ravel().tolist()}
    points = rng.uniform(-5, 50, (9, 2))
    prepared, back = page.execute_async_script(
        """const [image, model, points, done] = arguments;
        import("./prepare.js").then((prepare) => {
          const placement = prepare.fit(image, model);
          done([[...prepare.networkInput(image, placement, model)], prepare.toImage(points, placement)]);
        });""",
        image,
        model,
        points.tolist(),
    )
    fit = geometry.fit_to_input(np.array(shape[1::-1]), np.array(pixel_size), np.array(size[::-1]), spacing=input_spacing)
    array = scn_tf.data.images.from_array(pixels, dims=2, channels=channels).array
    expected = preprocess.network_input(array, fit.scale, fit.translation, size).numpy()
    np.testing.assert_allclose(np.reshape(prepared, expected.shape), expected, atol=EXACT)
    np.testing.assert_allclose(back, geometry.apply(np.linalg.inv(fit.input_from_array), points), atol=EXACT)


def test_a_network_that_cannot_be_loaded_is_said(browser, site, tmp_path):
    folder = tmp_path / "damaged"
    folder.mkdir()
    for path in site[1].iterdir():
        (folder / path.name).symlink_to(path)
    (folder / "model.tflite").unlink()
    (folder / "model.tflite").write_bytes(b"no model")
    with demo.server(folder, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser.get(f"http://127.0.0.1:{server.server_port}/")
        wait_for(browser, "The network could not be loaded.")
        assert "scn-tf demo RUN" in errors_of(browser)[0]
        server.shutdown()
