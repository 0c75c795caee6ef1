"""A model in a worker process, started again when it died: see ``edgellm_runtimes.core.Core``."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from edgellm.errors import BackendError, BusyError, EdgeLLMError, Interrupted
from edgellm.progress import CancelToken, Progress
from edgellm_runtimes.core import Deliver
from edgellm_runtimes.embedding import EmbedRequest
from edgellm_runtimes.engine_info import EngineFacts, EngineStatus
from edgellm_runtimes.watch_policy import WatchPolicy
from edgellm_runtimes.worker.connection import Connection
from edgellm_runtimes.worker.restart import RestartClock, RestartPolicy

if TYPE_CHECKING:
    from edgellm_runtimes.generation import Request
    from edgellm_runtimes.load import LoadRequest
    from edgellm_runtimes.scheduler import SchedulerStatistics

__all__ = ["WorkerCore"]


class WorkerCore:
    """See ``core.Core``. Made by ``load``."""

    def __init__(
        self, request: LoadRequest, deliver: Deliver, policy: RestartPolicy | None, watch: WatchPolicy | None
    ) -> None:
        self._request = _from_anywhere(request)
        self._name = request.name or request.model_path.name
        self._deliver = deliver
        self._clock = RestartClock(policy or RestartPolicy())
        self._watch = watch or WatchPolicy()
        self._starting = threading.Lock()  # held while a worker is started: the others wait for the same one
        self._stop_starting = CancelToken()
        self._connection: Connection | None = None
        self._is_loading = False
        self._closed = False
        self._last_error: EdgeLLMError | None = None
        self._facts: EngineFacts | None = None
        self._known_pieces: dict[int, bytes] = {}

    @classmethod
    def load(
        cls,
        request: LoadRequest,
        deliver: Deliver,
        *,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
        policy: RestartPolicy | None = None,
        watch: WatchPolicy | None = None,
    ) -> WorkerCore:
        """Start a worker that loads the model. Blocks until it has; raises what loading raises, and BackendError."""
        core = cls(request, deliver, policy, watch)
        with core._starting:
            core._start_worker(progress, cancel or CancelToken())
        return core

    @property
    def facts(self) -> EngineFacts:
        """What is known about the model, from the last time that it was loaded."""
        assert self._facts is not None
        return self._facts

    @property
    def ready(self) -> bool:
        """True while there is a worker with the model."""
        return self._connection is not None and self._connection.alive

    def revive(self) -> None:
        """Start the worker again; see ``core.Core.revive``."""
        if self.ready:
            return
        with self._starting:
            if self._closed:
                raise BackendError("the model is closed")
            if self.ready:
                return
            wait_s = self._clock.wait_s(time.monotonic())
            if wait_s > 0:
                raise BusyError(
                    f"{self._last_error}; it starts again in {wait_s:.1f} s at the earliest",
                    hint=f"try again in {wait_s:.1f} s",
                )
            try:
                self._start_worker(None, self._stop_starting)
            except Interrupted:
                raise BackendError("the model was closed") from None

    def start(self, request: Request | EmbedRequest) -> None:
        """Begin a request."""
        self._worker().start(request)

    def cancel(self, request_id: int) -> None:
        """Stop a request."""
        connection = self._connection
        if connection is not None:
            connection.cancel(request_id)

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Token ids of ``text``."""
        return self._worker().tokenize(text, add_special=add_special, parse_special=parse_special)

    def pieces(self, tokens: Sequence[int]) -> list[bytes]:
        """The bytes of each token; each is asked for once."""
        known = self._known_pieces
        missing = [token for token in dict.fromkeys(tokens) if token not in known]
        if missing:
            known.update(zip(missing, self._worker().pieces(missing), strict=True))
        return [known[token] for token in tokens]

    def statistics(self) -> SchedulerStatistics:
        """Counters of the worker's scheduler, which begin anew with each worker."""
        from edgellm_runtimes.scheduler import SchedulerStatistics

        return self._worker().statistics(SchedulerStatistics)

    def status(self) -> EngineStatus:
        """The worker's state."""
        connection = self._connection
        running = self.ready and connection is not None
        silent_s, is_stuck = (connection.silent_s, connection.is_stuck) if connection is not None else (0.0, False)
        return EngineStatus(
            isolation="worker",
            state="closed" if self._closed else "running" if running else "loading" if self._is_loading else "stopped",
            pid=connection.pid if running and connection is not None else None,
            starts=self._clock.starts,
            retry_in_s=0.0 if running or self._closed else self._clock.wait_s(time.monotonic()),
            last_error=None if self._last_error is None else str(self._last_error),
            silent_s=silent_s if running else 0.0,
            is_stuck=is_stuck and running,
        )

    def close(self) -> None:
        """Free the model and end the worker."""
        self._closed = True
        self._stop_starting.cancel()
        with self._starting:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _worker(self) -> Connection:
        connection = self._connection
        if connection is None:
            raise self._last_error or BackendError("the model is closed")
        return connection

    def _start_worker(self, progress: Progress | None, cancel: CancelToken) -> None:
        """Called with ``_starting`` held."""
        self._clock.started(time.monotonic())
        self._is_loading = True
        try:
            connection = Connection(self._name, self._deliver, self._died, self._watch)
            try:
                self._facts = connection.load(self._request, progress, cancel)
            except BaseException:
                connection.kill()
                raise
            self._connection = connection
        except EdgeLLMError as error:
            self._last_error = error
            self._clock.died(time.monotonic())
            raise
        finally:
            self._is_loading = False

    def _died(self, error: BackendError) -> None:
        self._last_error = error
        self._clock.died(time.monotonic())


def _from_anywhere(request: LoadRequest) -> LoadRequest:
    """``request`` for a worker that may start when the working folder is another."""
    folder = request.prefix_folder
    return msgspec.structs.replace(
        request,
        model_path=request.model_path.absolute(),
        adapters={name: path.absolute() for name, path in request.adapters.items()},
        adapter_digests=dict(request.adapter_digests),
        prefix_folder=None if folder is None else folder.absolute(),
    )
