"""Following a job: when to read it again, and what is worth showing."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field, replace

from ._errors import UnavailableError
from ._status import BackupStatus

IN_TRANSACTION = "the connection is in a transaction, which would stay open: commit it, and then watch the backup"


@dataclass(slots=True, kw_only=True)
class Watch:
    """What a watch has seen, and how long it waits."""

    interval: float
    max_interval: float
    retry_for: float
    is_over: bool = False
    _shown: BackupStatus | None = None
    _unchanged: int = 0
    _failures: int = 0
    _reached_at: float = field(default_factory=time.monotonic)

    def take(self, status: BackupStatus | None) -> bool:
        """Takes what was read, and returns whether it differs from what was shown last."""
        self._failures = 0
        self._reached_at = time.monotonic()
        self.is_over = status is None or status.has_ended
        if status is None or (self._shown is not None and _timeless(self._shown) == _timeless(status)):
            self._unchanged += 1
            return False
        self._shown = status
        self._unchanged = 0
        return True

    def fail(self, error: UnavailableError, *, is_lost: bool) -> None:
        """Takes a fault, and raises it if it has lasted too long, or there is no way to try again."""
        if is_lost or time.monotonic() - self._reached_at >= self.retry_for:
            raise error
        self._failures += 1

    @property
    def delay(self) -> float:
        """How many seconds to wait before the next read: the longer, the longer nothing has happened."""
        # The exponent has a bound so that no float overflows.
        delay = self.interval * 1.5 ** min(self._unchanged + self._failures, 100)
        # Many watches that began together do not stay together.
        return min(delay, self.max_interval) * random.uniform(0.9, 1.1)  # noqa: S311 # no secret


def _timeless(status: BackupStatus) -> BackupStatus:
    """A status without what changes by itself as time passes."""
    return replace(status, elapsed=None, elapsed_seconds=None, seconds_left=None, lease_expires_at=None)
