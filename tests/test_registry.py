"""The mechanism behind all rows: threads, and modules that are both registered and offered."""

import sys
import textwrap
import threading

import pytest

from scn_tf.errors import ConfigError
from scn_tf.heatmaps.decoders import Decoder
from scn_tf.registry import Registry


def registry(group="scn_tf.none"):
    return Registry("decoder", Decoder, home="scn_tf.heatmaps.decoders", group=group)


def test_threads_that_ask_first_at_the_same_time_all_find_the_rows():
    for _ in range(20):
        rows, start, found = registry(), threading.Barrier(8), []

        def ask(rows=rows, start=start, found=found):
            start.wait()
            found.append(rows["argmax"].name)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == ["argmax"] * 8


def test_a_module_may_register_its_row_and_be_an_entry_point(tmp_path, monkeypatch):
    (tmp_path / "toy_rows.py").write_text(
        textwrap.dedent("""
        from scn_tf.heatmaps.decoders import Decoder
        from tests import test_registry

        TOY = Decoder(name="toy", description="for tests", decode=lambda maps: (maps, maps))
        test_registry.ROWS.register(TOY)
        """)
    )
    (tmp_path / "toy-1.dist-info").mkdir()
    (tmp_path / "toy-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1\n")
    (tmp_path / "toy-1.dist-info" / "entry_points.txt").write_text("[scn_tf.for_tests]\ntoy = toy_rows:TOY\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    rows = registry("scn_tf.for_tests")
    monkeypatch.setattr(sys.modules[__name__], "ROWS", rows, raising=False)
    assert "toy" in rows
    with pytest.raises(ConfigError, match="toy: is already registered"):  # by another package
        rows.register(Decoder(name="toy", description="another", decode=lambda maps: (maps, maps)))
    assert rows["toy"].description == "for tests"
    rows.register(rows["toy"])
    assert list(rows).count("toy") == 1
