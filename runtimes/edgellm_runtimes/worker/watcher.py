"""The thread that watches one worker for as long as somebody waits for it, and gives it up when it hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from edgellm_runtimes.pulse import PulseReading
from edgellm_runtimes.watch_policy import WatchPolicy
from edgellm_runtimes.worker.vital_signs import read_signs
from edgellm_runtimes.worker.watch import Watch

__all__ = ["Watcher"]


class Watcher:
    """Asks the worker ``pid`` now and then, by ``ask``, how it is; ``answered`` takes what it says.

    ``is_awaited`` tells whether anybody waits for it, ``give_up`` gets the reason when it hangs. Both, and ``ask``, are
    called on the watcher's own thread, which sleeps while nobody waits.
    """

    def __init__(
        self,
        pid: int,
        policy: WatchPolicy,
        ask: Callable[[], None],
        is_awaited: Callable[[], bool],
        give_up: Callable[[str], None],
    ) -> None:
        self._pid = pid
        self._interval_s = policy.interval_s
        self._watch = Watch(policy)
        self._ask = ask
        self._is_awaited = is_awaited
        self._give_up = give_up
        self._is_open = False  # the question
        self._reading: PulseReading | None = None
        self._awaited = threading.Event()
        self._ended = threading.Event()
        self.is_held_up = False
        """True while this process does not take what the worker sends: the worker waits for it then."""
        self._thread = threading.Thread(target=self._run, name="edgellm-worker-watch", daemon=True)
        self._thread.start()

    @property
    def silent_s(self) -> float:
        """For how long nothing has come of what the worker does, while somebody waits; 0 when all is well."""
        return self._watch.silent_s

    @property
    def is_stuck(self) -> bool:
        """True when that is longer than a step should take."""
        return self._watch.is_stuck

    def awaited(self) -> None:
        """Somebody waits for the worker now. Any thread may say so."""
        self._awaited.set()

    def answered(self, reading: PulseReading | None) -> None:
        """The worker has answered; None while it loads."""
        self._reading = reading
        self._is_open = False

    def end(self) -> None:
        """The worker has ended: wait for the thread."""
        self._ended.set()
        self._awaited.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._awaited.wait()
            before = time.monotonic()
            if self._ended.wait(self._interval_s):
                return
            reason = self._look(time.monotonic() - before)
            if reason is not None:
                self._give_up(reason)
                return

    def _look(self, elapsed_s: float) -> str | None:
        if not self._is_awaited():
            self._watch.reset()
            self._awaited.clear()
            if self._is_awaited():  # since just now
                self._awaited.set()
            return None
        if self.is_held_up:
            self._watch.reset()
            return None
        is_open, reading = self._is_open, self._reading
        thread_id = None if is_open or reading is None else reading.thread_id
        signs = read_signs(self._pid, thread_id)
        reason = self._watch.look(elapsed_s, answered=not is_open, reading=reading, signs=signs)
        if reason is None and not is_open:
            self._is_open = True
            self._ask()
        return reason
