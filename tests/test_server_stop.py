"""A server that stops waits for clients that keep up, and for no others."""

import socket
import threading
import time

import pytest

from scn_tf.serving import routes, servable, server
from tests.serving_client import SMALL_PNG, b64

PREDICT = b"POST /v1/models/scn:predict HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(scope="module")
def model(saved_2d):
    loaded = servable.load(saved_2d)
    servable.warm_up(loaded)
    return loaded


def started(model, stop_seconds):
    """A running server, its thread and its port."""
    listener = server._bound_socket("127.0.0.1", 0)
    running = server.build_server(routes.Application(model, name="scn", limits=routes.Limits(stop_seconds=stop_seconds)))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    while not running.started:
        time.sleep(0.01)
    return running, thread, listener.getsockname()[1]


def connected(port, content):
    client = socket.create_connection(("127.0.0.1", port), timeout=30)
    client.sendall(content)
    return client


def test_slow_clients_do_not_delay_the_stop_and_one_that_keeps_up_is_answered(model, caplog):
    running, thread, port = started(model, 30)
    slow = [connected(port, PREDICT + b"Content-Length: 900000\r\n\r\n{") for _ in range(40)]
    body = f'{{"instances": [{{"b64": "{b64(SMALL_PNG)["b64"]}"}}]}}'.encode().ljust(150_000)
    good = connected(port, PREDICT + b"Content-Length: %d\r\n\r\n" % len(body))
    time.sleep(0.3)
    running.should_exit, begin = True, time.monotonic()
    for start in range(0, len(body), 30_000):
        good.sendall(body[start : start + 30_000])
        time.sleep(0.4)
    assert good.recv(4096).startswith(b"HTTP/1.1 200 OK")
    thread.join(20)
    assert not thread.is_alive()
    assert time.monotonic() - begin < 12  # not 30
    assert not caplog.records
    for client in [*slow, good]:
        client.close()


def test_requests_that_are_cut_off_by_the_end_print_no_traceback(model, caplog):
    running, thread, port = started(model, 0.5)
    clients = [connected(port, PREDICT + b"Content-Length: 900000\r\n\r\n" + 60_000 * b" ") for _ in range(3)]  # ahead for some seconds
    time.sleep(0.3)
    running.should_exit = True
    thread.join(20)
    assert not thread.is_alive()
    assert not [record for record in caplog.records if record.exc_info]
    for client in clients:
        client.close()
