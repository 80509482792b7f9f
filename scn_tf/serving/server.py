"""A local prediction server with TF Serving's REST routes, without Docker. docs/server.md shows how to call it."""

import asyncio
import contextlib
import gc
import importlib.util
import signal
import socket
from typing import Any, cast

from scn_tf.environment.extras import INSTALL
from scn_tf.errors import ConfigError
from scn_tf.serving import memory, requests, servable
from scn_tf.serving.pace import Pace
from scn_tf.types import PathName

try:
    import h11
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

    from scn_tf.serving.routes import Application, Limits
except ModuleNotFoundError as missing:
    raise ConfigError(f"serve: needs the library {missing.name}; {INSTALL}.") from None

resource = importlib.import_module("resource") if importlib.util.find_spec("resource") else None  # not on Windows
STOP_SECONDS = 1  # behind: who is, is not waited for when the server stops
IDLE_SECONDS = 30  # a connection without a request, or whose answer is not taken, is closed after one to two of these
MAX_CONNECTIONS = 500  # half as many as files may be open, where these are fewer than 1000
OPEN_FILES = 4096  # asked for; many systems begin with 1024 or 256 and allow more
MAX_UNREAD = 1_000_000_000  # bytes of answers that clients have not taken yet, all together
BUSY = b"""HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\nConnection: close\r\n\r
{"error": "busy: every connection waits for an answer; try again."}"""


class Connection(H11Protocol):
    """An HTTP connection that makes room for others when its client is slow.

    uvicorn's own limits count requests, and begin with the first answer. Clients that send headers or body slowly, or read no
    answer, would stay connected. Enough of them would block all others. Here, when there are too many connections, the slowest one
    (:class:`Pace`) is closed. Connections that wait for the model are kept.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))  # that of a TCP connection
        self.pace, self.unsent, self.sends, self.lost = Pace(self.loop.time()), 0, False, False
        if sum(connection.open for connection in self._all()) > _most_connections():
            self._make_room()
        self.loop.call_later(IDLE_SECONDS, self._watch, None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        now = self.loop.time()
        if not self.sends:  # a request begins: that the connection was idle before does not count
            self.pace, self.sends = Pace(now), True
        self.pace.moved(len(data), now)
        super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:  # an answer is under way: there is no way to say it
            self.transport.abort()
        if self.cycle is not None and not self.cycle.response_complete:  # whoever answers finds the client gone
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def on_response_complete(self) -> None:
        self._measure()
        if not self.unsent:
            self.pace = Pace(self.loop.time())
        self.unsent, self.sends = self.transport.get_write_buffer_size(), False
        super().on_response_complete()
        unread = [connection for connection in self._all() if connection.transport.get_write_buffer_size()]
        if sum(connection.transport.get_write_buffer_size() for connection in unread) > MAX_UNREAD:
            max(unread, key=Connection.behind).transport.abort()

    @property
    def open(self) -> bool:
        """Whether the connection counts as open: it is not closing, or an answer is still unread."""
        return not self.transport.is_closing() or self.transport.get_write_buffer_size() > 0

    @property
    def idle(self) -> bool:
        """Whether no request is being received or answered."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def working(self) -> bool:
        """Whether its request has arrived completely and the client waits for the answer."""
        return not self.idle and not self.cycle.more_body and not self.transport.get_write_buffer_size()

    def behind(self) -> float:
        """Lag of the client in seconds, for sending or for receiving."""
        self._measure()
        return self.pace.behind(self.loop.time())

    def shutdown(self) -> None:
        """Stop after the running request, or at once if its client is slow."""
        super().shutdown()
        self._leave()

    def _all(self) -> "list[Connection]":
        """All connections of the server."""
        return [connection for connection in self.connections if isinstance(connection, Connection)]

    def _leave(self) -> None:
        if self.lost:
            return
        if not self.working and self.behind() > STOP_SECONDS:
            self.transport.abort()
        self.loop.call_later(STOP_SECONDS, self._leave)

    def _measure(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        if unsent or self.unsent:
            self.pace.moved(max(0, self.unsent - unsent), self.loop.time())
        self.unsent = unsent

    def _make_room(self) -> None:
        others = [connection for connection in self._all() if connection.open and connection is not self and not connection.working]
        if others:
            max(others, key=Connection.behind).transport.abort()
        else:
            self.transport.write(BUSY)
            self.transport.close()

    def _watch(self, last: RequestResponseCycle | None) -> None:
        if self.lost:
            return
        behind = self.behind()
        if behind > IDLE_SECONDS if self.unsent else self.idle and self.cycle is last:
            self.transport.abort()
        self.loop.call_later(IDLE_SECONDS, self._watch, self.cycle)


def _most_connections() -> int:
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if resource else -1
    return MAX_CONNECTIONS if soft < 0 else min(MAX_CONNECTIONS, soft // 2)  # below zero: no limit


def _allow_open_files() -> None:
    """Raise the limit of open files to the number that the connections need, as far as the system allows."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if 0 <= soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def build_server(application: Application) -> uvicorn.Server:
    """Build the uvicorn server of an :class:`Application`. Its ``run`` takes a bound socket."""
    stop_seconds: Any = application.limits.stop_seconds  # declared a whole number there; it takes any
    return uvicorn.Server(
        uvicorn.Config(
            application.asgi,
            http=Connection,
            ws="none",
            lifespan="on",
            loop="asyncio",
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=stop_seconds,
        )
    )


def serve(out: PathName, *, host: str = "127.0.0.1", port: int = 8501, name: str = "scn", limits: Limits | None = None) -> None:
    """Serve an export until SIGTERM or Ctrl-C. Running requests are answered first.

    Args:
        out: folder of the export, or a version in it.
        host: address to listen on. By default, only this machine can reach the server.
        port: 0 takes any free port, which is printed.
        name: name of the model in the routes.
        limits: :class:`Limits`.

    Raises:
        ConfigError: a value is invalid, or the port is taken.
        CheckpointError: the folder holds no exported model.
    """
    if not name or set(name) & set("/:?#% "):
        raise ConfigError(f"name: expected a word that is valid in a URL, received {name!r}.")
    limits = limits or Limits()
    _allow_open_files()
    memory.prepare()
    with _bound_socket(host, port) as listener:
        model = servable.load(out)
        servable.warm_up(model)
        gc.collect()
        gc.freeze()  # what is here stays: TensorFlow's objects are not to be looked at again with every large request
        application = Application(model, name=name, limits=limits)
        server = build_server(application)
        # uvicorn raises the signal again once it has stopped; a stop that was asked for is no failure.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        listener.listen(128)
        print(_greeting(model, name, host, listener.getsockname()[1]), flush=True)
        server.run(sockets=[listener])


def _bound_socket(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise ConfigError(f"port {port}: expected 0 to 65535.")
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"port {port}: cannot listen on {host} ({reason}); port 0 takes any free one.") from None
    return listener


def _greeting(model: servable.Servable, name: str, host: str, port: int) -> str:
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    predict = f"{url}/v1/models/{name}:predict"
    example = f"curl {url}/v1/models/{name}/metadata"
    default = model.signatures.get(requests.DEFAULT_SIGNATURE)
    if default and set(default.inputs) == {"image_bytes"}:
        json = """(printf '{"instances": [{"b64": "'; base64 < hand.png; printf '"}]}')"""
        example = f"{json} | curl -d @- {predict}"
    return f"Serving {name} version {model.version} at {url} (Ctrl-C stops it). Try\n  {example}"
