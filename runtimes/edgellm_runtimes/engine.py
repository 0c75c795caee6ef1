"""The public API of a loaded model: prompts and chats in, streamed text out, many at a time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgellm.errors import EdgeLLMError, UsageError
from edgellm.progress import CancelToken, Progress
from edgellm_runtimes.chat import Message, render_chat_async
from edgellm_runtimes.engine_info import EngineInfo
from edgellm_runtimes.generation import Chunk, GenerationOptions, Request
from edgellm_runtimes.sampling import SamplingParams, sampling_params

if TYPE_CHECKING:
    from edgellm.bundle.plan import SamplingDefaults
    from edgellm_runtimes.backend import Backend
    from edgellm_runtimes.load import LoadRequest
    from edgellm_runtimes.scheduler import SchedulerStatistics
    from edgellm_runtimes.scheduler.scheduler import Delivery

__all__ = ["Engine", "EngineInfo"]

_CHARACTERS_PER_TOKEN = 64  # on average over a whole prompt; real text has 1 to 6


class Engine:
    """A loaded model. Made by ``Engine.load``; use it as an async context manager, or ``close`` it.

    All methods belong to one event loop; the decode thread is the engine's own. Any number of generations may run at
    the same time.
    """

    def __init__(self, backend: Backend, info: EngineInfo, defaults: SamplingDefaults | None = None) -> None:
        from edgellm_runtimes.scheduler import Scheduler

        self.info = info
        self._defaults = defaults
        self._backend = backend
        self._vocabulary = backend.vocabulary
        self._ids = itertools.count()
        self._arrivals: dict[int, asyncio.Queue[Chunk | EdgeLLMError]] = {}
        self._loop = asyncio.get_running_loop()
        self._scheduler = Scheduler(backend, self._deliver)
        self._closed = False

    @classmethod
    async def load(
        cls, request: LoadRequest, *, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> Engine:
        """Check that the model fits, and load it in a thread.

        Raises DoesNotFitError, ModelFileError, UnsupportedError, NotFoundError, UsageError, Interrupted.
        """
        from edgellm_runtimes.load import load_backend

        backend, info = await asyncio.to_thread(load_backend, request, progress=progress, cancel=cancel)
        return cls(backend, info, request.plan.sampling if request.plan is not None else None)

    async def __aenter__(self) -> Engine:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.close()

    def params(self, **chosen: Any) -> SamplingParams:
        """Sampling parameters: what was ``chosen`` (None is not chosen) over the model's own defaults, over ours."""
        return sampling_params(self._defaults, **chosen)

    def tokenize(self, text: str, *, add_special: bool = True, parse_special: bool = True) -> list[int]:
        """Token ids of ``text``; ``add_special`` puts bos in front where the model was trained so."""
        return self._vocabulary.tokenize(text, add_special=add_special, parse_special=parse_special)

    def token_text(self, token: int) -> str:
        """The text of one token as it is, special ones too. Part of a character becomes U+FFFD."""
        return self._vocabulary.piece(token, special=True).decode("utf-8", "replace")

    async def generate(
        self,
        prompt: str | Sequence[int],
        params: SamplingParams | None = None,
        *,
        stop: Iterable[str] = (),
        options: GenerationOptions | None = None,
    ) -> AsyncGenerator[Chunk, None]:
        """Continue ``prompt``, given as text or as token ids. Yields chunks; the last one has a finish reason.

        Closing the iterator (or cancelling the task) stops the generation, also in the middle of its prefill.
        Raises UsageError when the prompt is empty, malformed or does not fit the context; BackendError.
        """
        if isinstance(prompt, str):
            tokens = await self._prompt_tokens(prompt, add_special=True)
        else:
            tokens = self._check_ids(prompt)
        async with contextlib.aclosing(self._run(tokens, self._options(params, stop, options))) as chunks:
            async for chunk in chunks:
                yield chunk

    async def chat(
        self,
        messages: Sequence[Message],
        params: SamplingParams | None = None,
        *,
        stop: Iterable[str] = (),
        options: GenerationOptions | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        template_variables: Mapping[str, Any] | None = None,
    ) -> AsyncGenerator[Chunk, None]:
        """Answer ``messages`` (objects with role and content) through the model's chat template; see ``generate``."""
        prompt = await self.render(messages, tools=tools, template_variables=template_variables)
        # the template writes bos itself where the model wants it
        tokens = await self._prompt_tokens(prompt, add_special=False)
        async with contextlib.aclosing(self._run(tokens, self._options(params, stop, options))) as chunks:
            async for chunk in chunks:
                yield chunk

    async def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        template_variables: Mapping[str, Any] | None = None,
    ) -> str:
        """The prompt that ``chat`` would give to the model."""
        return await render_chat_async(
            self._backend.facts.chat_template,
            messages,
            tools=tools,
            bos_token=self._special_text(self._vocabulary.bos),
            eos_token=self._special_text(self._vocabulary.eos),
            variables=template_variables,
        )

    def statistics(self) -> SchedulerStatistics:
        """What the scheduler has done."""
        return self._scheduler.statistics()

    async def close(self) -> None:
        """Stop what runs and free the model. Calling it again does nothing."""
        if not self._closed:
            self._closed = True
            await asyncio.to_thread(self._scheduler.close)

    async def _run(self, tokens: list[int], options: GenerationOptions) -> AsyncGenerator[Chunk, None]:
        self._check_length(tokens, options)
        self._check_bias(options.sampling)
        request = Request(next(self._ids), tokens, options)
        arrivals = self._arrivals[request.id] = asyncio.Queue()
        missing = options.choices
        try:
            self._scheduler.submit(request)
            while missing:
                item = await arrivals.get()
                if isinstance(item, EdgeLLMError):
                    raise item
                yield item
                missing -= item.finish_reason is not None
        finally:
            del self._arrivals[request.id]
            if missing:
                self._scheduler.cancel(request.id)

    def _deliver(self, items: list[Delivery]) -> None:
        """On the decode thread: one wake-up of the event loop for all requests of a step."""
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody listens any more
            self._loop.call_soon_threadsafe(self._dispatch, items)

    def _dispatch(self, items: list[Delivery]) -> None:
        for request_id, item in items:
            arrivals = self._arrivals.get(request_id)
            if arrivals is not None:
                arrivals.put_nowait(item)

    def _options(
        self, params: SamplingParams | None, stop: Iterable[str], options: GenerationOptions | None
    ) -> GenerationOptions:
        if options is not None:
            return options
        return GenerationOptions(
            sampling=params or self.params(), stop=(stop,) if isinstance(stop, str) else tuple(stop)
        )

    async def _prompt_tokens(self, text: str, *, add_special: bool) -> list[int]:
        """Tokenize in a thread. Text far beyond the context is refused first: llama.cpp takes quadratic time over many
        special tokens."""
        limit_characters = self.info.context * _CHARACTERS_PER_TOKEN
        if len(text) > limit_characters:
            raise UsageError(
                f"the prompt has {len(text)} characters; a context of {self.info.context} tokens cannot hold it",
                hint="shorten the prompt, or load the model with a larger --context",
            )
        return await asyncio.to_thread(self.tokenize, text, add_special=add_special)

    def _check_length(self, tokens: Sequence[int], options: GenerationOptions) -> None:
        if not tokens:
            raise UsageError("the prompt is empty")
        context = self.info.context
        if len(tokens) >= context and options.overflow == "error":
            wanted = _next_context(len(tokens) + 1)
            larger = min(wanted, self.info.trained_context or wanted)
            more = f", or load the model with --context {larger}" if larger > len(tokens) else ""
            raise UsageError(
                f"the prompt has {len(tokens)} tokens; the context of {context} must hold it and a new token",
                hint=f"shorten the prompt or begin a new conversation{more}",
            )

    def _check_bias(self, params: SamplingParams) -> None:
        last = self._backend.limits.n_vocab - 1
        token = max(params.logit_bias, default=0)
        if token > last:
            raise UsageError(f"logit_bias names token {token}; this model has 0 to {last}")

    def _check_ids(self, ids: Sequence[int]) -> list[int]:
        n_vocab = self._backend.limits.n_vocab
        tokens = list(ids)
        for token in tokens:
            if not isinstance(token, int) or isinstance(token, bool) or not 0 <= token < n_vocab:
                raise UsageError(f"{token!r} is not a token id of this model (0 to {n_vocab - 1})")
        return tokens

    def _special_text(self, token: int | None) -> str:
        return "" if token is None else self.token_text(token)


def _next_context(tokens: int) -> int:
    """The next multiple of 1024: contexts are named so."""
    return -(-tokens // 1024) * 1024
