import threading
import urllib.error
import urllib.request

import pytest

from scn_tf import cli
from scn_tf.errors import ConversionError
from scn_tf.runs import checkpoints
from scn_tf.serving import demo
from tests.conftest import with_settings


def test_the_server_gives_the_folder_alone_isolated_to_this_machine(tmp_path):
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "a.wasm").write_bytes(b"\0asm")
    (tmp_path / "secret.txt").write_text("secret")
    with demo.server(tmp_path / "page", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        with urllib.request.urlopen(f"{address}a.wasm") as answer:
            assert answer.headers["Content-Type"] == "application/wasm"
            assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
            assert answer.headers["Content-Security-Policy"].startswith("default-src 'self';")
        strangers = urllib.request.Request(f"{address}a.wasm", headers={"Host": "rebound.example:80"})
        for request in (strangers, address, f"{address}../secret.txt", f"{address}%2e%2e/secret.txt"):
            with pytest.raises(urllib.error.HTTPError, match="403" if request is strangers else "404") as refused:
                urllib.request.urlopen(request)
            refused.value.close()
        with pytest.raises(ConversionError, match=r"^port: "):
            demo.server(tmp_path, server.server_port)
        server.shutdown()


def test_what_the_page_cannot_do_is_refused_with_the_way_out(calibrated_2d, tmp_path, monkeypatch, capsys):
    _, info = checkpoints.load_model(calibrated_2d)
    assert demo.page_model(info)["size"] == [32, 48]
    assert demo.page_model(info)["error_unit"] == "mm"
    assert demo.page_model(info.model_copy(update={"spacing_mm": None, "aspect": "square"}))["error_unit"] == "px"
    assert demo.page_model(info.model_copy(update={"calibration": None}))["error_unit"] is None
    with pytest.raises(ConversionError, match=r"2D images.*3D; use scn-tf predict"):
        demo.page_model(info.model_copy(update={"dims": 3}))
    needing = with_settings(info.model_copy(update={"spacing_mm": None}), model__spacing_mm=0.5)
    with pytest.raises(ConversionError, match="mm per pixel"):
        demo.page_model(needing)
    assert demo.page_model(needing.model_copy(update={"spacing_mm": (0.2, 0.3)}))["pixel_size"] == [0.2, 0.3]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cli.main(["demo", str(calibrated_2d), "--out", str(tmp_path / "demo"), "--port", "0", "--no-open"]) == 1
    assert "npm is needed once" in capsys.readouterr().err
