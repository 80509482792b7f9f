"""Headless Chromium for tests of the browser demo."""

import contextlib
import shutil
import time

import pytest

CHROMIUM = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--window-size=1200,1000"),
)


@contextlib.contextmanager
def start(folder):
    """A driver with an empty profile and a ``downloads`` folder; the one place that skips where Chromium or npm is missing."""
    missing = [tool for tool in ("chromium", "chromedriver", "npm") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"browser: {', '.join(missing)} not installed (Debian: chromium chromium-driver npm)")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in (*CHROMIUM, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"download.default_directory": str(folder / "downloads")})
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    with webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver"))) as driver:
        driver.set_script_timeout(60)
        driver.downloads = folder / "downloads"
        yield driver


def wait_for(browser, *statuses):
    deadline = time.monotonic() + 60
    while (status := browser.find_element("id", "status").text) not in statuses:
        assert time.monotonic() < deadline, (status, errors_of(browser))
        time.sleep(0.05)


def errors_of(browser):
    return [item.text for item in browser.find_elements("css selector", "#errors li")]


def drop(page, name, content):
    page.execute_script(
        """const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(arguments[1])], arguments[0]));
        document.getElementById("drop").dispatchEvent(new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true}));""",
        name,
        list(content),
    )


def downloaded(page, name):
    path, deadline = page.downloads / name, time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline, f"{name} was not downloaded"
        time.sleep(0.05)
    text = path.read_text(encoding="utf-8")
    path.unlink()
    return text
