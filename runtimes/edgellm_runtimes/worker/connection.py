"""One life of a worker process: two threads that speak with it, and what it still owes when it ends."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from typing import TYPE_CHECKING, TypeVar

import msgspec

from edgellm.errors import BackendError, EdgeLLMError, Interrupted, UsageError
from edgellm.progress import CancelToken, Progress
from edgellm_runtimes.core import Deliver, Delivery
from edgellm_runtimes.embedding import EmbedRequest
from edgellm_runtimes.engine_info import EngineFacts
from edgellm_runtimes.watch_policy import WatchPolicy
from edgellm_runtimes.worker import messages as wire
from edgellm_runtimes.worker.frames import FrameReader, frame
from edgellm_runtimes.worker.process import WorkerProcess
from edgellm_runtimes.worker.watcher import Watcher

if TYPE_CHECKING:
    from edgellm_runtimes.generation import Request
    from edgellm_runtimes.load import LoadRequest

__all__ = ["Connection"]

Value = TypeVar("Value")

_POLL_S = 0.05
_CANCEL_S = 2.0  # for a worker to stop loading
_CLOSE_S = 30.0  # for it to free the model and to write what it keeps
_ENDING_S = 15.0  # for all that follows when nothing more can be read, ``WorkerProcess.finish`` above all
_STATISTICS_S = 2.0  # for it to tell them: one that hangs must not hold up whoever looks at all models


class Connection:
    """A worker from its start to its death. Any thread may call any method.

    ``deliver`` and ``died`` are called on the connection's own thread; ``died`` at the death of a worker that was not
    closed, before anybody can see that it is dead. A worker that hangs while somebody waits for it is killed, as
    ``policy`` says.
    """

    def __init__(self, name: str, deliver: Deliver, died: Callable[[BackendError], None], policy: WatchPolicy) -> None:
        self._name = name
        self._deliver = deliver
        self._died = died
        self._progress: Progress | None = None
        self._loaded: Future[EngineFacts] = Future()
        self._is_loading = False
        self._lock = threading.Lock()
        self._answers: dict[int, int] = {}  # request in flight -> choices or texts that are not finished
        self._calls: dict[int, Future[msgspec.Raw]] = {}
        self._n_calls = 0
        self._end: BackendError | None = None
        self._fault: BackendError | None = None  # what it sent was wrong
        self._hang: str | None = None  # why it was given up
        self._closing = False
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._process = WorkerProcess(name)
        self.pid = self._process.pid
        self._writer = threading.Thread(target=self._write, name="edgellm-worker-write", daemon=True)
        self._reader = threading.Thread(target=self._read, name="edgellm-worker-read", daemon=True)
        ping = frame(wire.encode(wire.Ping()))
        self._watcher = Watcher(
            self.pid, policy, lambda: self._outgoing.put(ping), lambda: self._is_awaited, self._give_up
        )
        self._writer.start()
        self._reader.start()

    @property
    def alive(self) -> bool:
        """True until the worker has ended or was told to."""
        return self._end is None and not self._closing

    @property
    def silent_s(self) -> float:
        """For how long nothing has come of what it does, while somebody waits."""
        return self._watcher.silent_s

    @property
    def is_stuck(self) -> bool:
        """True when that is longer than a step should take."""
        return self._watcher.is_stuck

    def load(self, request: LoadRequest, progress: Progress | None, cancel: CancelToken) -> EngineFacts:
        """Load the model; the first call. Raises what loading raises, Interrupted, BackendError for a dead worker."""
        self._progress = progress
        self._is_loading = True
        self._send(wire.LoadModel(request))
        self._watcher.awaited()
        while not cancel.cancelled:
            try:
                return self._loaded.result(_POLL_S)
            except TimeoutError:
                continue
        self._send(wire.CancelLoad())
        try:
            return self._loaded.result(_CANCEL_S)
        except TimeoutError:
            raise Interrupted("loading was stopped") from None

    def start(self, request: Request | EmbedRequest) -> None:
        """Begin ``request``. Raises BackendError when the worker has ended, UsageError for options that no worker can
        be told."""
        try:
            options = msgspec.Raw(wire.encode(request.options))
            if isinstance(request, EmbedRequest):
                texts = [list(text) for text in request.texts]
                message, n_answers = wire.encode(wire.StartEmbedding(request.id, texts, options)), len(texts)
            else:
                message = wire.encode(wire.StartRequest(request.id, list(request.prompt), options))
                n_answers = request.options.choices
        except (TypeError, ValueError, OverflowError, NotImplementedError) as error:
            raise UsageError(f"the request cannot be sent to a worker: {error}") from error
        with self._lock:
            self._check_alive()
            self._answers[request.id] = n_answers
            self._outgoing.put(frame(message))
        self._watcher.awaited()

    def cancel(self, request_id: int) -> None:
        """Stop a request; nothing happens to one that is over."""
        with self._lock:
            if self._answers.pop(request_id, 0):
                self._outgoing.put(frame(wire.encode(wire.CancelRequest(request_id))))

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Token ids of ``text``. Raises UsageError, BackendError."""
        return self._call(lambda call: wire.Tokenize(call, text, add_special, parse_special), list[int])

    def pieces(self, tokens: Sequence[int]) -> list[bytes]:
        """The bytes of each token. Raises BackendError."""
        return self._call(lambda call: wire.Pieces(call, list(tokens)), list[bytes])

    def statistics(self, kind: type[Value]) -> Value:
        """The scheduler's statistics. Raises BackendError, also when they do not come at once."""
        return self._call(wire.AskStatistics, kind, _STATISTICS_S)

    def close(self) -> None:
        """Free the model and wait for the end of the process. One that takes too long is killed."""
        with self._lock:
            if not self._closing and self._end is None:
                self._outgoing.put(frame(wire.encode(wire.Close())))
            self._closing = True
        self._reader.join(_CLOSE_S)
        self.kill()

    def kill(self) -> None:
        """End the process at once, and wait for it: not for ever, since the kernel may keep it."""
        with self._lock:
            self._closing = True
        self._end_process()
        self._reader.join(_ENDING_S)

    def _call(self, command: Callable[[int], wire.Command], kind: type[Value], timeout_s: float | None = None) -> Value:
        answer: Future[msgspec.Raw] = Future()
        with self._lock:
            self._check_alive()
            self._n_calls += 1
            number = self._n_calls
            try:
                message = frame(wire.encode(command(number)))
            except UnicodeEncodeError as error:
                raise UsageError(f"the text is not valid Unicode: {error.reason} at character {error.start}") from error
            self._calls[number] = answer
            self._outgoing.put(message)
        self._watcher.awaited()
        try:
            return msgspec.msgpack.decode(answer.result(timeout_s), type=kind)
        except TimeoutError:
            self._calls.pop(number, None)
            raise BackendError(f"the worker process of {self._name} has not answered for {timeout_s:g} s") from None

    def _check_alive(self) -> None:
        if self._end is not None:
            raise self._end
        if self._closing:
            raise BackendError("the model is closed")

    def _send(self, command: wire.Command) -> None:
        self._outgoing.put(frame(wire.encode(command)))

    def _write(self) -> None:
        """The writing thread: whoever starts a request must not wait for a worker that does not read."""
        while (message := self._outgoing.get()) is not None:
            try:
                self._process.socket.sendall(message)
            except OSError:  # it has ended; the reading thread says so
                return

    def _read(self) -> None:
        """The reading thread."""
        reader = FrameReader(self._process.socket)
        try:
            while (received := reader.read()) is not None:
                self._watcher.is_held_up = True
                batch: list[Delivery] = []
                for message in received:
                    self._take(wire.decode_report(message), batch)
                if batch:
                    self._deliver(batch)
                self._watcher.is_held_up = False
        except Exception as error:  # noqa: BLE001  whatever it is, nothing more can be read from this worker
            self._fault = BackendError(f"what the worker process of {self._name} sent was not understood: {error!r}")
            self._process.kill()
        self._finish()

    def _take(self, report: wire.Report, batch: list[Delivery]) -> None:
        match report:
            case wire.Step():
                for request_id, chunk in report.chunks:
                    if chunk.finish_reason is not None:
                        self._count_answer(request_id)
                    batch.append((request_id, chunk))
                for request_id, embedding in report.embeddings:
                    self._count_answer(request_id)
                    batch.append((request_id, embedding))
                for request_id, error in report.errors:
                    self._answers.pop(request_id, None)
                    batch.append((request_id, error.rebuild()))
            case wire.Answer():
                answer = self._calls.pop(report.call, None)
                if answer is None:  # nobody waits for it any more
                    return
                if report.error is None:
                    answer.set_result(report.value)
                else:
                    answer.set_exception(report.error.rebuild())
            case wire.Pong():
                self._watcher.answered(report.reading)
            case wire.Loaded():
                self._loaded.set_result(report.facts)
            case wire.LoadFailed():
                self._loaded.set_exception(report.error.rebuild())
            case _:
                self._show(report)

    def _count_answer(self, request_id: int) -> None:
        with self._lock:
            left = self._answers.get(request_id, 0) - 1
            if left > 0:
                self._answers[request_id] = left
            else:
                self._answers.pop(request_id, None)

    def _show(self, report: wire.Phase | wire.WorkDone | wire.Note) -> None:
        if self._progress is None:
            return
        match report:
            case wire.Phase():
                self._progress.phase(report.name, report.total_bytes)
            case wire.WorkDone():
                self._progress.advance(report.size_bytes)
            case wire.Note():
                self._progress.message(report.text)

    @property
    def _is_awaited(self) -> bool:
        return bool(self._answers or self._calls) or (self._is_loading and not self._loaded.done())

    def _give_up(self, reason: str) -> None:
        """On the watcher's thread: it hangs."""
        self._hang = reason
        self._end_process()

    def _end_process(self) -> None:
        """Kill it, and let the reading thread go on: a process that waits in the kernel for a disk ends when that has
        answered, and keeps its socket open until then."""
        self._process.kill()
        self._process.shut()

    def _finish(self) -> None:
        """The worker has ended, or nothing more comes of it: tell all who wait for it."""
        self._watcher.end()
        self._process.shut()
        self._outgoing.put(None)
        self._writer.join()
        death = self._process.death(self._process.finish(), self._hang)
        error = self._fault or death
        if self._closing:
            error = BackendError("the model was closed")
        else:
            self._died(error)
        with self._lock:
            self._end = error
            answers, calls = list(self._answers), list(self._calls.values())
            self._answers.clear()
            self._calls.clear()
        _fail(self._loaded, error)
        for call in calls:
            _fail(call, error)
        if answers:
            self._deliver([(request_id, error) for request_id in answers])


def _fail(waiting: Future[Value], error: EdgeLLMError) -> None:
    try:
        waiting.set_exception(error)
    except InvalidStateError:
        return  # it was answered before
