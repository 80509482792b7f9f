"""Pace of a peer: slow ones make room for others."""

BYTES_PER_SECOND = 20_000  # of a peer that keeps up; slower ones are served too, while there is room
MAX_AHEAD = 5.0  # seconds: who sends much at once and then nothing falls behind after these


class Pace:
    """Seconds that a peer lags behind :data:`BYTES_PER_SECOND`. A fast peer is at most :data:`MAX_AHEAD` seconds ahead.

    Args:
        now: seconds of any clock, the same for all calls.
    """

    def __init__(self, now: float) -> None:
        self._at, self._behind = now, 0.0

    def moved(self, count: int, now: float) -> None:
        """Record that ``count`` bytes moved since the last call."""
        self._behind, self._at = max(self.behind(now) - count / BYTES_PER_SECOND, -MAX_AHEAD), now

    def behind(self, now: float) -> float:
        """Lag in seconds, positive if the peer was recently too slow."""
        return self._behind + now - self._at
