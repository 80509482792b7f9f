"""A browser that lacks what the page needs: it says so at once, not that a file is damaged."""

import threading

from scn_tf.serving import demo
from tests import chromium
from tests.chromium import errors_of, wait_for


def test_what_an_old_browser_lacks_is_named_at_once(tmp_path):
    sources = demo.SOURCE
    with demo.server(sources, 0) as server, chromium.start(tmp_path) as browser:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name in ("DecompressionStream", "OffscreenCanvas", "import maps"):
            script = "HTMLScriptElement.supports = () => false" if name == "import maps" else f"delete self.{name}"
            added = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
            browser.get(f"http://127.0.0.1:{server.server_port}/")
            use = "Use Chrome, Edge, Firefox or Safari of 2023 or later."
            wait_for(browser, f"This browser is too old for this page: it lacks {name}. {use}")
            assert errors_of(browser) == []
            browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
        server.shutdown()
