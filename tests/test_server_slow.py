"""Clients that send or take slowly keep nobody else out. All connections are real ones, on this machine."""

import contextlib
import json
import resource
import socket
import threading
import time

import pytest

from scn_tf.serving import pace, routes, servable, server
from tests.serving_client import SMALL_PNG, ask, b64, eventually, metric, running

PREDICT = b"POST /v1/models/scn:predict HTTP/1.1\r\nHost: x\r\n"
REQUEST = {"instances": [b64(SMALL_PNG)]}
CROWD = 520  # more than may be connected
SOON = 5  # seconds


@pytest.fixture(scope="module")
def model(saved_2d):
    loaded = servable.load(saved_2d)
    servable.warm_up(loaded)
    return loaded


@pytest.fixture(autouse=True, scope="module")
def enough_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < 2048:  # both ends of every connection are in this process
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(2048, hard) if hard >= 0 else 2048, hard))


@contextlib.contextmanager
def crowd(port, count, first, more=b"", *, pause=0.3):
    """``count`` connections that send ``first`` and then ``more`` again and again, slowly; gives them."""
    stop, clients = threading.Event(), []

    def trickle():
        while not stop.wait(pause):
            for client in list(clients):
                with contextlib.suppress(OSError):
                    client.send(more)

    thread = threading.Thread(target=trickle)
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            with contextlib.suppress(OSError):  # made room already
                client.sendall(first)
            client.setblocking(False)
            clients.append(client)
        if more:
            thread.start()
        try:
            yield clients
        finally:
            stop.set()
            if more:
                thread.join(20)


def closed(clients):
    """How many of them the server has closed, as far as they can tell."""
    count = 0
    for client in clients:
        try:
            while True:
                if not client.recv(65536):
                    raise ConnectionResetError
        except BlockingIOError:
            pass
        except OSError:
            count += 1
    return count


@pytest.mark.parametrize(
    ("first", "more"),
    [
        (PREDICT + b"Content-Length: 900000\r\n\r\n{", b" "),
        (PREDICT + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", b"1\r\n \r\n"),
        (PREDICT + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),  # never a whole chunk
        (PREDICT + b"Content-Length: 900000\r\nExpect: 100-continue\r\n\r\n", b""),
        (b"POST /v1/models/none:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n{", b" "),  # answered before it ends
        (PREDICT + b"X-Slow: ", b"a"),
        (b"", b""),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b""),  # kept open
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /heal", b""),
    ],
    ids=["body", "chunked", "chunk", "continue", "refused", "headers", "nothing", "kept", "pipelined"],
)
def test_five_hundred_slow_clients_keep_nobody_out(model, first, more):
    with running(model) as port, crowd(port, CROWD, first, more) as clients:
        for _ in range(3):
            start = time.monotonic()
            assert ask(port, body=REQUEST)[0] == 200
            assert time.monotonic() - start < SOON
        eventually(lambda: closed(clients) >= CROWD - server.MAX_CONNECTIONS)
        # A client whose request comes in at a usual pace is not the one that makes room, however long it takes.
        body = json.dumps(REQUEST).encode()
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            client.sendall(PREDICT + f"Content-Length: {len(body) + 400_000}\r\n\r\n".encode())
            for _ in range(4):
                client.sendall(b" " * 100_000)
                with crowd(port, 3, first):
                    pass
                time.sleep(0.1)
            client.sendall(body)
            assert client.recv(4096).startswith(b"HTTP/1.1 200")


def test_a_crowd_that_comes_back_at_once_keeps_nobody_out(model):
    first, stop = PREDICT + b"Content-Length: 900000\r\n\r\n{", threading.Event()
    with running(model) as port, crowd(port, CROWD, first) as clients:

        def again():
            while not stop.wait(0.01):
                with contextlib.suppress(OSError):
                    clients.append(socket.create_connection(("127.0.0.1", port), timeout=20))
                    clients[-1].sendall(first)

        thread = threading.Thread(target=again)
        thread.start()
        try:
            for _ in range(5):
                start = time.monotonic()
                assert ask(port, body=REQUEST)[0] == 200
                assert time.monotonic() - start < SOON
        finally:
            stop.set()
            thread.join(20)
            for client in clients:
                client.close()


def test_large_bodies_that_stand_still_make_room_for_another_large_one(model, monkeypatch):
    monkeypatch.setattr(pace, "MAX_AHEAD", 0.5)
    stalled = PREDICT + b"Content-Length: 2990000\r\n\r\n" + b" " * 2_900_000
    with running(model, max_body_mb=3) as port, contextlib.ExitStack() as stack:
        clients = []
        for _ in range(4):
            clients.append(stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20)))
            clients[-1].sendall(stalled)
        eventually(lambda: metric(port, "scn_body_bytes") == 4 * 2_900_000)
        large = b" " * 2_000_000 + json.dumps(REQUEST).encode()
        eventually(lambda: ask(port, body=large)[0] == 200)
        assert metric(port, 'scn_requests_total{code="408"}') >= 1
        for client in clients:
            client.settimeout(0.2)
        answers = []
        for client in clients:
            with contextlib.suppress(TimeoutError):
                answers.append(client.recv(4096))
        assert answers
        assert all(answer.startswith(b"HTTP/1.1 408") for answer in answers)


def never_read(port, requests, size):
    """A client with a small buffer that asks and takes no answer."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(5)
    client.connect(("127.0.0.1", port))
    with contextlib.suppress(OSError):
        for _ in range(requests):
            client.sendall(size)
    return client


def test_a_client_that_takes_no_answers_is_left(model, monkeypatch):
    monkeypatch.setattr(server, "IDLE_SECONDS", 0.4)
    monkeypatch.setattr(pace, "MAX_AHEAD", 0.1)
    pipelined = b"GET /v1/models/scn/metadata HTTP/1.1\r\nHost: x\r\n\r\n" * 100
    row = json.dumps({"signature_name": "serve_heatmaps", "instances": [[[[0.0]] * 32] * 48] * 8}).encode()
    large = PREDICT + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(row) + row
    with running(model) as port:
        for requests, content in ((30, pipelined), (1, large)):
            with contextlib.closing(never_read(port, requests, content)) as client:
                assert ask(port, body=REQUEST)[0] == 200
                time.sleep(1.5)
                assert was_closed(client)
                assert ask(port, body=REQUEST)[0] == 200


def was_closed(client):
    """Whether the server has gone, as a client finds that sends more or reads to the end."""
    client.settimeout(0.5)
    try:
        for _ in range(3):
            client.sendall(b"GET")
            time.sleep(0.1)
        while client.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def test_one_who_takes_a_large_answer_at_a_usual_pace_gets_all_of_it(model, monkeypatch):
    monkeypatch.setattr(server, "IDLE_SECONDS", 0.4)
    row = json.dumps({"signature_name": "serve_heatmaps", "instances": [[[[0.0]] * 32] * 48] * 16}).encode()
    with running(model, max_queue=64) as port, contextlib.closing(never_read(port, 0, b"")) as client:
        client.sendall(PREDICT + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(row) + row)
        received, start = 0, time.monotonic()
        while piece := client.recv(1_000_000):
            received += len(piece)
            if time.monotonic() - start < 1.5:
                time.sleep(0.01)
        assert received > 5_000_000


def test_unread_answers_do_not_pile_up(model, monkeypatch):
    monkeypatch.setattr(server, "MAX_UNREAD", 5_000_000)
    row = json.dumps({"signature_name": "serve_heatmaps", "instances": [[[[0.0]] * 32] * 48] * 8}).encode()
    request = PREDICT + b"Content-Length: %d\r\n\r\n" % len(row) + row
    with running(model) as port, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(contextlib.closing(never_read(port, 1, request))) for _ in range(6)]
        eventually(lambda: metric(port, 'scn_requests_total{code="200"}') == 6)
        received = []
        for client in clients:
            count = 0
            with contextlib.suppress(OSError):
                client.settimeout(1)
                while b"\r\n\r\n" not in (piece := client.recv(1_000_000)) or count == 0:
                    count += len(piece)
                    if not piece:
                        break
            received.append(count)
        assert sum(count < 3_000_000 for count in received) >= 2  # those were cut off
        assert ask(port, body=REQUEST)[0] == 200


def test_where_all_wait_for_the_model_a_new_one_is_told_so(model, monkeypatch):
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 3)
    body = json.dumps(REQUEST).encode()
    request = PREDICT + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
    with running(model, batch_wait_ms=60_000, max_batch=4) as port:
        with crowd(port, 3, request) as clients:
            time.sleep(0.5)  # their requests have come in
            eventually(lambda: ask_quietly(port) == 503)
            assert closed(clients) == 0
        eventually(lambda: ask_quietly(port) == 200)


def ask_quietly(port):
    """Status of the health route, or None where the connection was reset before the answer was read."""
    with contextlib.suppress(OSError):
        return ask(port, "/healthz")[0]


def test_requests_beyond_those_that_can_wait_get_503(model, monkeypatch):
    monkeypatch.setattr(routes, "MAX_ANSWERING", 2)
    body = json.dumps(REQUEST).encode()
    request = PREDICT + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
    with running(model, batch_wait_ms=60_000, max_batch=8) as port, crowd(port, 2, request):
        eventually(lambda: metric(port, "scn_waiting_images") == 2)
        status, answer = ask(port, body=REQUEST)
        assert (status, answer["error"]) == (503, "busy: 2 requests wait already; try again.")


@pytest.mark.parametrize(
    "content",
    [
        PREDICT + b"Transfer-Encoding: chunked\r\n\r\nno number\r\n",
        b"POST /nothing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nno number\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n\0\0\0\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /%00%ff%2e%2e HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET " + b"/a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/0.9\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" * 20,
        PREDICT + b"Content-Length: -1\r\n\r\n",
        PREDICT + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
        b"POST /v1/models/scn:predict HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    ],
)
def test_what_is_no_http_gets_an_answer_and_no_traceback(model, content, caplog, capfd):
    with running(model) as port:
        for wait in (0, 0.2):  # at once, and with its end once the beginning is answered
            with socket.create_connection(("127.0.0.1", port), timeout=20) as client, contextlib.suppress(OSError):
                half = content.find(b"\r\n\r\n") + 4 if wait else len(content)
                client.sendall(content[:half])
                time.sleep(wait)
                client.sendall(content[half:])
                client.shutdown(socket.SHUT_WR)
                answer = client.recv(4096)
                assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
        assert ask(port, "/healthz")[0] == 200
    assert "Traceback" not in caplog.text + capfd.readouterr().err


def test_a_request_that_states_two_ends_is_refused_and_nothing_behind_it_is_read(model):
    hidden = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    with running(model) as port, socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(PREDICT + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden)
        answer = b""
        while piece := client.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"received both" in answer
