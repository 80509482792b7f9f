"""The routes of the prediction server, equal to TF Serving's, and their shared state.

Path of a request: body, counted during transfer -> JSON to arrays, in a thread -> batch -> JSON. Nothing is written to disk.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import prometheus_client
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from scn_tf.errors import ConfigError
from scn_tf.export.signatures import MAX_PIXELS
from scn_tf.serving import memory, requests, servable
from scn_tf.serving.batching import Batcher, QueueFull
from scn_tf.serving.bodies import Bodies, Body

T = TypeVar("T")

LARGE_PIXELS, LARGE_BYTES = 8_000_000, 4_000_000  # of images, and of a body or an answer: their memory is given back at once
GIVE_BACK_SECONDS = (0, 5)  # when the request is done, and when its answer is taken
MAX_ANSWERING = 256  # requests that are parsed, wait or run; each holds its connection
REQUEST_PIXELS, QUEUE_PIXELS = 4 * MAX_PIXELS, 8 * MAX_PIXELS  # of encoded images: about half a minute, a minute of a core
DISCARD_SECONDS = 10  # for the rest of a request that was refused
CLIENT_CLOSED = 499  # nobody reads it; it makes the metrics honest
ROUTES = "/v1/models/NAME[/versions/N], .../metadata, ...:predict (POST), /healthz, /metrics"


@dataclass(frozen=True)
class Limits:
    """Limits of one request and of all requests together.

    ``max_batch``: images that run together. ``batch_wait_ms``: time that a single request waits for others. ``max_queue``: waiting
    images. ``max_body_mb``: size of a request. ``max_megapixels``: size of an image. ``body_seconds``: time to receive a request.
    ``stop_seconds``: time to finish running requests when the server stops.
    """

    max_batch: int = 8
    batch_wait_ms: float = 2
    max_queue: int = 128
    max_body_mb: float = 32
    max_megapixels: float = 64
    body_seconds: float = 60
    stop_seconds: float = 30

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 < value < 1e9 and not (field.name == "batch_wait_ms" and value == 0):
                raise ConfigError(f"{field.name}: expected a positive number, received {value}.")


class Metrics:
    """Prometheus counters of one server, in their own registry."""

    def __init__(self, waiting: Callable[[], float], body_bytes: Callable[[], float]) -> None:
        self.registry = registry = prometheus_client.CollectorRegistry()
        prometheus_client.ProcessCollector(registry=registry)
        self.requests = prometheus_client.Counter("scn_requests", "Predict requests by status code", ["code"], registry=registry)
        self.seconds = prometheus_client.Histogram("scn_request_seconds", "Seconds from request to answer", registry=registry)
        self.batches = prometheus_client.Histogram(
            "scn_batch_images", "Images that ran together", buckets=[1, 2, 4, 8, 16, 32, 64], registry=registry
        )
        prometheus_client.Gauge("scn_waiting_images", "Images in the queue", registry=registry).set_function(waiting)
        prometheus_client.Gauge("scn_body_bytes", "Bytes of request bodies in memory", registry=registry).set_function(body_bytes)


class Application:
    """The routes and their shared model, queue, limits and metrics."""

    def __init__(self, model: servable.Servable, *, name: str, limits: Limits) -> None:
        self.model, self.name, self.limits = model, name, limits
        self.bodies = Bodies(int(limits.max_body_mb * 1e6))
        self.most_pixels = min(int(limits.max_megapixels * 1e6), MAX_PIXELS)
        self.answering = 0
        self.metrics = Metrics(lambda: self.batcher.waiting(), lambda: self.bodies.bytes)
        # One thread: a large JSON document takes many times its size while it is parsed.
        self.parser = ThreadPoolExecutor(1, thread_name_prefix="json")
        self.batcher = Batcher(
            servable.run,
            max_batch=limits.max_batch,
            max_pixels=MAX_PIXELS,
            max_queue=limits.max_queue,
            max_queue_pixels=QUEUE_PIXELS,
            wait=limits.batch_wait_ms / 1000,
            observe=self.metrics.batches.observe,
        )
        routes = []
        for prefix in ("/v1/models/{name}", "/v1/models/{name}/versions/{version}"):
            routes += [
                Route(f"{prefix}:predict", self.predict, methods=["POST"]),
                Route(f"{prefix}/metadata", self.metadata),
                Route(prefix, self.status),
            ]
        routes += [Route("/healthz", self.health), Route("/metrics", self.show_metrics)]
        handlers: Mapping[Any, Callable[..., Awaitable[Response]]] = {HTTPException: _http_error, Exception: _internal_error}
        self.asgi = Starlette(routes=routes, exception_handlers=handlers, lifespan=self._lifespan)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(self.batcher.close)
        self.parser.shutdown()

    async def status(self, request: Request) -> Response:
        """Version and state of the model."""
        self._check_model(request)
        status = {"version": self.model.version, "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        return JSONResponse({"model_version_status": [status]})

    async def metadata(self, request: Request) -> Response:
        """Signatures of the model."""
        self._check_model(request)
        spec = {"name": self.name, "signature_name": "", "version": self.model.version}
        return JSONResponse({"model_spec": spec, "metadata": {"signature_def": {"signature_def": self.model.signature_def}}})

    async def health(self, _: Request) -> Response:
        """Status 200 while predictions are possible."""
        return JSONResponse({"status": "ok" if self.batcher.alive else "stopped"}, 200 if self.batcher.alive else 503)

    async def show_metrics(self, _: Request) -> Response:
        """Metrics in Prometheus' text format."""
        return Response(prometheus_client.generate_latest(self.metrics.registry), media_type=prometheus_client.CONTENT_TYPE_LATEST)

    async def predict(self, request: Request) -> Response:
        """Find landmarks, from the row or the column form."""
        code, start, body = 500, time.monotonic(), self.bodies.add()
        try:
            self._check_model(request)
            content = await self._read(request, body)
            if self.answering >= MAX_ANSWERING:
                raise _busy(f"{self.answering} requests wait already")
            self.answering += 1
            try:
                response = await self._answer(request, content, body)
            finally:
                self.answering -= 1
            code = response.status_code
            return response
        except HTTPException as error:
            code = error.status_code
            raise
        except asyncio.CancelledError:  # the server waits no longer
            code = 503
            raise HTTPException(503, "the server is stopping.", {"Connection": "close"}) from None
        finally:
            if body.large or body.size > LARGE_BYTES:
                content = b""
                for seconds in GIVE_BACK_SECONDS:
                    asyncio.get_running_loop().call_later(seconds, self._give_back)
            self.bodies.remove(body)
            self.metrics.requests.labels(code).inc()
            self.metrics.seconds.observe(time.monotonic() - start)

    def _give_back(self) -> None:
        with contextlib.suppress(RuntimeError):  # the server has stopped
            self.parser.submit(memory.give_back)

    async def _answer(self, request: Request, content: bytes, body: Body) -> Response:
        """Response to the bytes of a body, through parser and queue. Records in ``body`` whether it took much memory."""
        in_thread, thread = asyncio.get_running_loop().run_in_executor, self.parser
        try:
            limits = {"most_pixels": self.most_pixels, "most_rows": self.limits.max_queue, "most_pixels_in_all": REQUEST_PIXELS}
            call = await in_thread(thread, lambda: requests.parse(content, self.model.signatures, **limits))
            body.large |= sum(call.pixels) > LARGE_PIXELS
            futures = self.batcher.submit(call.signature, call.inputs, call.pixels)
            try:
                pieces = await _unless_gone(request, asyncio.gather(*map(asyncio.wrap_future, futures)))
            finally:
                for future in futures:  # what still waits there is of no use any more
                    future.cancel()
            text = await in_thread(thread, lambda: requests.answer(call, requests.joined(pieces)))
            body.large |= len(text) > LARGE_BYTES
        except servable.InputError as error:
            raise HTTPException(400, str(error)) from None
        except servable.Exhausted:
            raise _busy("not enough memory for this image") from None
        except QueueFull:
            raise _busy(f"{self.limits.max_queue} images wait already, or fewer large ones") from None
        return Response(text, media_type="application/json")

    async def _read(self, request: Request, body: Body) -> bytes:
        """Read the bytes of the request. ``body`` counts each part before it is kept."""
        if request.headers.get("content-encoding", "identity") != "identity":
            raise HTTPException(415, "expected a body without content-encoding.")
        if {"content-length", "transfer-encoding"} <= set(request.headers):  # a proxy may see another end of the request than we
            raise HTTPException(400, "expected content-length or transfer-encoding, received both.", {"Connection": "close"})
        length = request.headers.get("content-length", "0")
        parts = bytearray()
        try:
            if len(length) > 15 or int(length) > self.bodies.most_bytes:
                self.bodies.grow(body, self.bodies.most_bytes + 1)
            async with asyncio.timeout(self.limits.body_seconds) as body.limit:
                async for part in request.stream():
                    self.bodies.grow(body, len(part))
                    parts += part
        except TimeoutError:
            late = f"the request did not arrive within {self.limits.body_seconds:g} s, or arrived too slowly while others waited."
            raise HTTPException(408, late, {"Connection": "close"}) from None
        except ClientDisconnect:
            raise _gone() from None
        except HTTPException:
            self.bodies.remove(body)
            parts.clear()
            await _discard_rest(request)
            raise
        body.whole = True
        return bytes(parts)

    def _check_model(self, request: Request) -> None:
        name, version = request.path_params["name"], request.path_params.get("version")
        if name != self.name:
            raise HTTPException(404, f"Servable not found for request: Latest({name[:60]}); the model here is {self.name}.")
        if version not in (None, self.model.version):
            raise HTTPException(404, f"Servable not found for request: Specific({name}, {version[:20]}); there is {self.model.version}.")


async def _discard_rest(request: Request) -> None:
    """Keep reading from a client that wants the connection closed.

    Closing the connection while the client sends would reset it, and the client would never see the answer. On a connection that
    stays open, uvicorn does the same after the answer.
    """
    if request.scope["http_version"] != "1.0" and request.headers.get("connection", "").lower() != "close":
        return
    with contextlib.suppress(TimeoutError, ClientDisconnect):
        async with asyncio.timeout(DISCARD_SECONDS):
            async for _ in request.stream():
                pass


async def _unless_gone(request: Request, work: asyncio.Future[T]) -> T:
    """Result of a future, unless the client disconnects first."""

    async def disconnect() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    gone = asyncio.create_task(disconnect())
    try:
        both: set[asyncio.Future[Any]] = {work, gone}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise _gone()
        return work.result()
    finally:
        gone.cancel()


def _gone() -> HTTPException:
    return HTTPException(CLIENT_CLOSED, "the client went away.")


def _busy(reason: str) -> HTTPException:
    return HTTPException(503, f"busy: {reason}; try again.", {"Retry-After": "1"})


async def _http_error(_: Request, error: HTTPException) -> Response:
    known = {404: f"no such route; there are {ROUTES}.", 405: f"another method is expected there; the routes are {ROUTES}."}
    plain = error.detail in ("Not Found", "Method Not Allowed")
    return JSONResponse({"error": known[error.status_code] if plain else error.detail}, error.status_code, headers=error.headers)


async def _internal_error(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": "internal error; the server's own output says more."}, 500)
