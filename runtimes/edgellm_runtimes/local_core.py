"""A model in this process: a backend and its scheduler."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from edgellm.errors import AccessError, BackendError, EdgeLLMError, UnsupportedError
from edgellm.progress import CancelToken, Progress
from edgellm_runtimes.compute_lease import ComputeLease
from edgellm_runtimes.core import Deliver
from edgellm_runtimes.embedding import EmbedRequest
from edgellm_runtimes.engine_info import EngineFacts, EngineInfo, EngineStatus
from edgellm_runtimes.generation import Request
from edgellm_runtimes.heap import trim_heap
from edgellm_runtimes.pulse import PulseReading
from edgellm_runtimes.watch_policy import WatchPolicy

if TYPE_CHECKING:
    from edgellm_runtimes.backend import Backend, Vocabulary
    from edgellm_runtimes.load import LoadRequest
    from edgellm_runtimes.scheduler import SchedulerStatistics

__all__ = ["LocalCore"]

_PROBE = "a"
_WATCH = WatchPolicy()


class LocalCore:
    """See ``core.Core``. ``close`` closes the backend and the lease. ``chat_template`` replaces the model file's."""

    def __init__(
        self,
        backend: Backend,
        info: EngineInfo,
        deliver: Deliver,
        *,
        lease: ComputeLease | None = None,
        chat_template: str | None = None,
        **scheduling: Any,
    ) -> None:
        from edgellm_runtimes.scheduler import Scheduler

        template = chat_template or backend.facts.chat_template

        self._vocabulary = vocabulary = backend.vocabulary
        self._deliver = deliver
        self._lease = lease
        self._changed = threading.Condition()
        self._closed = False
        self._readers = 0  # threads that use the vocabulary, which must not be freed under them

        def text(token: int | None) -> str:
            return "" if token is None else vocabulary.piece(token, special=True).decode("utf-8", "replace")

        self._facts = EngineFacts(
            info=msgspec.structs.replace(info, has_chat_template=template is not None),
            n_vocab=backend.limits.n_vocab,
            chat_template=template,
            bos_text=text(vocabulary.bos),
            eos_text=text(vocabulary.eos),
            eot_text=text(vocabulary.eot),
            capabilities=backend.capabilities,
            n_embd=backend.facts.n_embd,
            pooling=backend.facts.pooling or "mean",
            text_end=_text_end(vocabulary),
        )
        self._scheduler = Scheduler(backend, deliver, lease=lease, **scheduling)

    @classmethod
    def load(
        cls,
        request: LoadRequest,
        deliver: Deliver,
        *,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> LocalCore:
        """Load the model. Blocks for as long as it takes; raises what ``load_backend`` raises."""
        from edgellm_runtimes.load import load_backend

        backend, info = load_backend(request, progress=progress, cancel=cancel)
        lease = None
        try:
            lease = _lease(progress)
            own = request.plan.chat.template if request.plan is not None and request.plan.chat is not None else ""
            scheduling = _scheduling(request, backend, progress)
            return cls(backend, info, deliver, lease=lease, chat_template=own or None, **scheduling)
        except BaseException:
            backend.close()
            if lease is not None:
                lease.close()
            raise

    @property
    def facts(self) -> EngineFacts:
        """What is known about the model."""
        return self._facts

    @property
    def ready(self) -> bool:
        """True until closed."""
        return not self._closed

    def revive(self) -> None:
        """Nothing that was closed here comes back."""
        self._check_open()

    def start(self, request: Request | EmbedRequest) -> None:
        """Queue ``request``."""
        self._check_open()
        try:
            if isinstance(request, EmbedRequest):
                self._scheduler.embed(request)
            else:
                self._scheduler.submit(request)
        except EdgeLLMError as error:
            self._deliver([(request.id, error)])

    def cancel(self, request_id: int) -> None:
        """Stop a request, also in the middle of its prefill."""
        self._scheduler.cancel(request_id)

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Token ids of ``text``."""
        with self._held_open():
            return self._vocabulary.tokenize(text, add_special=add_special, parse_special=parse_special)

    def pieces(self, tokens: Sequence[int]) -> list[bytes]:
        """The bytes of each token."""
        with self._held_open():
            return [self._vocabulary.piece(token, special=True) for token in tokens]

    def statistics(self) -> SchedulerStatistics:
        """Counters of the scheduler."""
        self._check_open()
        return self._scheduler.statistics()

    def pulse(self) -> PulseReading:
        """How the decode thread is. Never blocks."""
        return self._scheduler.pulse.read()

    def status(self) -> EngineStatus:
        """This process."""
        if self._closed:
            return EngineStatus("process", "closed", os.getpid(), starts=1)
        pulse = self.pulse()
        is_stuck = pulse.busy_s >= _WATCH.suspicious_s(pulse.expected_s)
        return EngineStatus("process", "running", os.getpid(), starts=1, silent_s=pulse.busy_s, is_stuck=is_stuck)

    def close(self) -> None:
        """Stop what runs, wait for the decode thread and free the model."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.wait_for(lambda: self._readers == 0)
        self._scheduler.close()
        if self._lease is not None:
            self._lease.close()
        trim_heap()  # who measures what is free now finds the model's memory in it

    @contextlib.contextmanager
    def _held_open(self) -> Iterator[None]:
        with self._changed:
            self._check_open()
            self._readers += 1
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1
                self._changed.notify_all()

    def _check_open(self) -> None:
        if self._closed:
            raise BackendError("the model is closed")


def _text_end(vocabulary: Vocabulary) -> tuple[int, ...]:
    """What the tokenizer puts after a text: a text that is cut keeps it."""
    plain = vocabulary.tokenize(_PROBE, add_special=False, parse_special=False)
    whole = vocabulary.tokenize(_PROBE, add_special=True, parse_special=False)
    start = next((n for n in range(len(whole)) if whole[n : n + len(plain)] == plain), len(whole))
    return tuple(whole[start + len(plain) :])


def _lease(progress: Progress | None) -> ComputeLease | None:
    """None, and a message, where models cannot take turns."""
    try:
        return ComputeLease()
    except (AccessError, UnsupportedError) as error:
        if progress is not None:
            progress.message(f"models that run at the same time will hinder each other: {error}")
        return None


def _scheduling(request: LoadRequest, backend: Backend, progress: Progress | None) -> dict[str, Any]:
    """What the scheduler does with prefixes."""
    prompt = request.plan.system_prompt if request.plan is not None else None
    found: dict[str, Any] = {"baked": prompt.tokens if prompt is not None else (), "save_chats": request.save_chats}
    if request.prefix_folder is not None and request.model_digest and "save" in backend.capabilities:
        from edgellm_runtimes.kv_store import PrefixKey, PrefixStore

        key = PrefixKey(request.model_digest, backend.state_traits)
        found["store"] = PrefixStore(
            request.prefix_folder, key, request.prefix_cap_bytes, request.prefix_daily_bytes, progress=progress
        )
        found["adapter_digests"] = request.adapter_digests
    return found
