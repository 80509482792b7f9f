"""The browser demo: a folder with the page, the network and LiteRT.js, served on this machine alone.

The page's sources are in ``web`` beside this module. npm fetches its two libraries once per folder, with the versions and checksums
of ``package-lock.json``. After that, nothing is downloaded.
"""

import functools
import http.server
import io
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from scn_tf.data import pixels
from scn_tf.errors import ConversionError
from scn_tf.export.forms.tflite.writing import export_tflite
from scn_tf.export.signatures import error_unit
from scn_tf.runs import checkpoints
from scn_tf.runs.info import ModelInfo
from scn_tf.storage import files, ownership
from scn_tf.systems import opening
from scn_tf.types import PathName

Request: TypeAlias = socket.socket | tuple[bytes, socket.socket]  # as socketserver has it

SOURCE = Path(__file__).parent / "web"
PAGE = ("*.html", "*.css", "*.js", "*.svg")
LOCK = "package-lock.json"
LIBRARIES = (
    "@litertjs/core/dist/index.js",
    "@litertjs/core/wasm/litert_wasm_internal.*",
    "@litertjs/core/wasm/litert_wasm_compat_internal.*",  # browsers without relaxed SIMD
    "@litertjs/core/wasm/litert_wasm_threaded_internal.*",
    "@litertjs/wasm-utils/dist/index.js",
    "fast-png/lib/**/*.js",
    "fflate/esm/browser.js",
    "iobuffer/lib/*.js",
    "*/LICENSE",
)
MAX_ECHO = 200  # characters of a request in the answer that refuses it
MAX_CONNECTIONS = 200
# The page states a stricter policy, which also holds on other servers, but not for its workers: theirs comes from here.
# The Cross-Origin lines isolate it, which threads in WebAssembly need.
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def build(run: PathName, out: PathName) -> Path:
    """Write all files of the page into a folder. Any web server can then serve it.

    Args:
        run: run folder or ``.keras`` file of a 2D model.
        out: folder to write. Its libraries stay if they have the right versions.

    Returns:
        path of the folder.

    Raises:
        CheckpointError: the run holds no model.
        ConversionError: the page cannot run the model, or npm is missing or failed.
        WriteError: the folder is not writable.
    """
    out = Path(out)
    model = page_model(checkpoints.load_model(opening.landmark_network_file(run))[1])
    pages = [page for pattern in PAGE for page in SOURCE.glob(pattern)]
    _check_folder(out, [page.name for page in pages])
    _install_libraries(out)
    export_tflite(run, out / "model.tflite", heatmaps=True)
    files.write_text(out / "model.json", json.dumps(model, indent=1) + "\n")
    for page in pages:
        files.write_text(out / page.name, page.read_text(encoding="utf-8"), ours=ownership.anything)
    return out


def _check_folder(out: Path, pages: list[str]) -> None:
    """Check before long work that the page can be written to a folder.

    Raises:
        WriteError: a file or a folder ``vendor`` exists there that scn_tf did not write.
    """
    files.check_folder(out, ["model.json", "model.tflite", *pages], witness="model.json")
    vendor = out / "vendor"
    if vendor.is_dir() and any(vendor.iterdir()) and not (vendor / "@litertjs").is_dir():
        raise files.WriteError(f"{vendor}: already exists and was not written by scn_tf; choose another folder for out.")


def page_model(info: ModelInfo) -> dict[str, object]:
    """Facts of a model for the page, ``model.json``.

    ``size`` and ``pixel_size`` are (x, y); ``spacing`` is mm per pixel of the network's input, or None to fill it. ``error_unit`` is
    that of expected errors and radii, None if the model is not calibrated.

    Raises:
        ConversionError: the model is 3D, or needs a pixel size, which PNG and JPEG do not state.
    """
    millimetres = info.config.model.spacing_mm
    if info.dims != 2:
        raise ConversionError(f"demo: the page shows 2D images, the model is for {info.dims}D; use scn-tf predict.")
    if millimetres is not None and not info.spacing_mm:
        raise ConversionError("demo: the model needs mm per pixel of every image, which PNG and JPEG do not state; use scn-tf predict.")
    if info.needs_spacing:
        raise ConversionError(f"demo: {pixels.WHY}, and PNG and JPEG state no pixel size (spacing); use scn-tf predict.")
    return {
        "name": info.name,
        "landmarks": list(info.landmarks),
        "size": list(info.image_size[::-1]),
        "channels": info.channels,
        "pixel_size": list(info.spacing_mm or (1.0, 1.0)),
        "spacing": millimetres,
        "error_unit": None if info.calibration is None else error_unit(info),
    }


def _install_libraries(out: Path) -> None:
    """Copy the libraries into ``out/vendor``. The copy of the lock file records their versions; it is written last."""
    vendor, lock = out / "vendor", (SOURCE / LOCK).read_text(encoding="utf-8")
    if (vendor / LOCK).is_file() and (vendor / LOCK).read_text(encoding="utf-8") == lock:
        return
    npm = shutil.which("npm")
    if npm is None:
        raise ConversionError(
            f"demo: npm is needed once to fetch LiteRT.js into {vendor}. Install Node.js with npm (Debian: apt install npm), "
            "or run the command on a machine that has it and copy the folder."
        )
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", LOCK):
            shutil.copy(SOURCE / name, folder)
        command = [npm, "ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if line.startswith("npm error")]
            raise ConversionError(f"demo: npm could not fetch LiteRT.js: {' '.join(lines[:4])[:400]}. It needs the npm registry once.")
        modules = Path(folder) / "node_modules"
        for library in (path for pattern in LIBRARIES for path in modules.glob(pattern)):
            with files.replaced(vendor / library.relative_to(modules), ours=ownership.anything) as temporary:
                shutil.copyfile(library, temporary)
    files.write_text(vendor / LOCK, lock, ours=ownership.anything)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Handler that serves the files of one folder to browsers on this machine."""

    extensions_map = {  # noqa: RUF012  (the standard library's own form)
        ".html": "text/html; charset=utf-8",
        ".css": "text/css",
        ".js": "text/javascript",
        ".json": "application/json",
        ".svg": "image/svg+xml",
        ".wasm": "application/wasm",
        "": "application/octet-stream",
    }
    timeout = 30  # seconds; a silent connection keeps no thread

    def send_head(self) -> io.BytesIO | BinaryIO | None:
        # A page elsewhere whose name resolves to 127.0.0.1 must not read the model.
        host = self.headers.get("Host", "").rsplit(":", 1)[0]
        if host not in ("127.0.0.1", "localhost"):
            self.send_error(403, "expected http://127.0.0.1 or http://localhost")
            return None
        try:
            folder = Path(self.translate_path(self.path))
            named = self.path.partition("?")[0].partition("#")[0].endswith("/")  # else its files would be asked for elsewhere
            if not folder.is_dir() or (named and (folder / "index.html").is_file()):
                return super().send_head()
        except (ValueError, OSError):  # names that no file can have: NUL, what is no UTF-8, too many characters
            pass
        self.send_error(404)
        return None

    def list_directory(self, path: str | os.PathLike[str]) -> None:
        self.send_error(404)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        super().send_error(code, message and message[:MAX_ECHO], explain)

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing: the page reports errors."""


class Server(http.server.ThreadingHTTPServer):
    """Server that prints nothing about broken connections, and accepts at most :data:`MAX_CONNECTIONS` at once."""

    request_queue_size = 64

    def process_request(self, request: Request, client_address: Any) -> None:
        if threading.active_count() > MAX_CONNECTIONS:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def handle_error(self, request: Request, client_address: Any) -> None:
        """Ignore browsers that leave during an answer or send invalid HTTP."""


def server(folder: PathName, port: int) -> Server:
    """Build a server of a folder on 127.0.0.1. ``serve_forever`` runs it, and ``server_port`` is its port (``port`` 0: a free one).

    Raises:
        ConversionError: the port is taken.
    """
    try:
        return Server(("127.0.0.1", port), functools.partial(Handler, directory=str(folder)))
    except (OSError, OverflowError) as error:
        raise ConversionError(f"port: {port} cannot be used ({error}); choose another one, or 0 for any free one.") from None
