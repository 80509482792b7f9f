"""A local prediction server with TF Serving's REST routes, for who has no Docker; docs/server.md shows how to call it."""

import gc
import signal
import socket

from scn_tf.config import ConfigError
from scn_tf.extras import INSTALL
from scn_tf.serving import requests, servable

try:
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol

    from scn_tf.serving.routes import Application, Limits
except ModuleNotFoundError as missing:
    raise ConfigError(f"serve: needs the library {missing.name}; {INSTALL}.") from None

IDLE_SECONDS = 30  # a connection without a request is closed after one to two of these
MOST_CONNECTIONS = 500  # well below the 1024 open files that a process usually has


class Connection(H11Protocol):
    """An HTTP connection that is closed when no request begins or ends on it for a while.

    uvicorn's own limit begins with the first answer; a client that sends its headers slowly, or nothing, would stay. Its limit of
    connections asks at the first request, and descriptors would run out before: here the one that is idle longest makes room.
    """

    def connection_made(self, transport):
        super().connection_made(transport)
        self.made = self.loop.time()
        # One that was closed a moment ago is still listed, and makes no more room.
        listed = [connection for connection in self.connections if not connection.transport.is_closing()]
        if len(listed) > MOST_CONNECTIONS:
            idle = [connection for connection in listed if connection.idle]
            min(idle, key=lambda connection: connection.made).transport.abort()
        self._watch(last=self)

    @property
    def idle(self):
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _watch(self, last):
        if self.idle and self.cycle is last:
            self.transport.abort()
        if not self.transport.is_closing():
            self.loop.call_later(IDLE_SECONDS, self._watch, self.cycle)


def build_server(application):
    """The uvicorn server of an :class:`Application`; hand its ``run`` a bound socket."""
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
            timeout_graceful_shutdown=application.limits.stop_seconds,
        )
    )


def serve(out, *, host="127.0.0.1", port=8501, name="scn", limits=None):
    """Serve an export until SIGTERM or Ctrl-C; requests in flight are answered first.

    Args:
        out: folder of the export, or a version in it.
        host: address to listen on; with the default only this machine can reach the server.
        port: 0 takes any free one; the line that is printed says which.
        name: of the model in the routes.
        limits: :class:`Limits`.

    Raises:
        ConfigError: a bad value, or the port is taken.
        CheckpointError: no exported model there.
    """
    if not name or set(name) & set("/:?#% "):
        raise ConfigError(f"--name: expected a word that can stand in a URL, received {name!r}.")
    limits = limits or Limits()
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


def _bound_socket(host, port):
    if not 0 <= port <= 65535:
        raise ConfigError(f"--port {port}: expected 0 to 65535.")
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"--port {port}: cannot listen on {host} ({reason}); --port 0 takes any free one.") from None
    return listener


def _greeting(model, name, host, port):
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    predict = f"{url}/v1/models/{name}:predict"
    example = f"curl {url}/v1/models/{name}/metadata"
    default = model.signatures.get(requests.DEFAULT_SIGNATURE)
    if default and set(default.inputs) == {"image_bytes"}:
        json = """(printf '{"instances": [{"b64": "'; base64 < hand.png; printf '"}]}')"""
        example = f"{json} | curl -d @- {predict}"
    return f"Serving {name} version {model.version} at {url} (Ctrl-C stops it). Try\n  {example}"
