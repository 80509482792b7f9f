"""Memory of request bodies during transfer. It is bounded, and slow senders cannot hold it."""

import asyncio
import time

from starlette.exceptions import HTTPException

from scn_tf.serving.pace import Pace

AT_ONCE = 4  # bodies of the largest size that may be in memory at once,
SMALL = 1_000_000  # bytes; these beside them: who sends large ones must not keep all others out


class Body:
    """One body: its bytes so far, its pace, its time limit, whether it is complete, and whether it is large."""

    def __init__(self) -> None:
        self.size, self.pace, self.whole, self.large = 0, Pace(time.monotonic()), False, False
        self.limit: asyncio.Timeout | None = None


class Bodies:
    """All request bodies in memory.

    Args:
        most_bytes: limit of one body. All large bodies together may take :data:`AT_ONCE` times as much.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes, self.bytes = most_bytes, 0
        self._open: set[Body] = set()

    def add(self) -> Body:
        body = Body()
        self._open.add(body)
        return body

    def remove(self, body: Body) -> None:
        self._open.discard(body)
        self.bytes -= body.size
        body.size = 0

    def grow(self, body: Body, count: int) -> None:
        """Make room for ``count`` more bytes of a body. Large bodies that arrive too slowly are dropped for it.

        Raises:
            HTTPException: 413 the body is too large, 503 there is no room.
        """
        now = time.monotonic()
        body.pace.moved(count, now)
        if body.size + count > self.most_bytes:
            raise HTTPException(413, f"expected a request of at most {self.most_bytes / 1e6:g} MB; send fewer or smaller images.")
        while self.bytes + count > AT_ONCE * self.most_bytes and body.size + count > SMALL:
            slow = [other for other in self._open if other is not body and not other.whole and other.size and other.pace.behind(now) > 0]
            if not slow:
                raise HTTPException(503, "busy: too many large requests at once; try again.", {"Retry-After": "1"})
            self._give_up(max(slow, key=lambda other: other.pace.behind(now)))
        body.size += count
        self.bytes += count

    def _give_up(self, body: Body) -> None:
        if body.limit is not None:
            body.limit.reschedule(asyncio.get_running_loop().time())  # its reader finds that the time is over
        self.remove(body)
