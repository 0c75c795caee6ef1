"""The public API of a loaded model: prompts and chats in, streamed text out, many at a time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, get_args

import msgspec

from edgellm.errors import BackendError, EdgeLLMError, MissingAbilityError, PromptTooLongError, UsageError
from edgellm.progress import CancelToken, Progress
from edgellm_runtimes.arrivals import Arrivals, Mailbox
from edgellm_runtimes.chat import Message, render_chat_async
from edgellm_runtimes.embedding import Embedding, Embeddings, EmbedOptions, EmbedRequest, Pooling
from edgellm_runtimes.encoder import no_generation
from edgellm_runtimes.engine_info import EngineFacts, EngineInfo, EngineStatus, Isolation
from edgellm_runtimes.generation import AdapterUse, Chunk, GenerationOptions, Request
from edgellm_runtimes.sampling import SamplingParams, sampling_params

if TYPE_CHECKING:
    from edgellm.bundle.plan import SamplingDefaults
    from edgellm_runtimes.backend import Backend
    from edgellm_runtimes.core import Core, Delivered
    from edgellm_runtimes.load import LoadRequest
    from edgellm_runtimes.scheduler import SchedulerStatistics
    from edgellm_runtimes.watch_policy import WatchPolicy
    from edgellm_runtimes.worker.restart import RestartPolicy

__all__ = ["Engine", "EngineFacts", "EngineInfo", "EngineStatus", "Isolation"]

Value = TypeVar("Value")
_P = ParamSpec("_P")

_CHARACTERS_PER_TOKEN = 64  # on average over a whole prompt; real text has 1 to 6
_SHORTEST_DEADLINE_S = 0.001
_MOST_TEXTS = 256  # of one request to a core: more go one request after the other
_MOST_TEXT_TOKENS = 1 << 20  # likewise, about
_TOKENIZERS = 4  # threads that wait for a core to tokenize


class Engine:
    """A loaded model. Made by ``Engine.load``; use it as an async context manager, or ``close`` it.

    Methods belong to one event loop, apart from ``tokenize``, ``token_texts``, ``status`` and the properties, which any
    thread may use. Any number of generations may run at the same time.
    """

    def __init__(
        self, backend: Backend, info: EngineInfo, defaults: SamplingDefaults | None = None, **scheduling: Any
    ) -> None:
        """Over a backend that was loaded in this process; the engine closes it. ``scheduling``: see ``Scheduler``."""
        from edgellm_runtimes.local_core import LocalCore

        arrivals = Arrivals()
        self._set_up(LocalCore(backend, info, arrivals.deliver, **scheduling), arrivals, defaults)

    def _set_up(self, core: Core, arrivals: Arrivals, defaults: SamplingDefaults | None) -> None:
        self._core = core
        self._arrivals = arrivals
        self._defaults = defaults
        self._ids = itertools.count(1)
        self._reviving: asyncio.Future[None] | None = None
        # threads of its own: a worker that hangs must not take those of the event loop, which serve other models too
        self._threads = ThreadPoolExecutor(_TOKENIZERS, thread_name_prefix="edgellm-engine")
        arrivals.abandon = core.cancel

    @classmethod
    async def load(
        cls,
        request: LoadRequest,
        *,
        isolation: Isolation = "process",
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
        restart: RestartPolicy | None = None,
        watch: WatchPolicy | None = None,
    ) -> Engine:
        """Check that the model fits, and load it: in this process, or in a worker process of its own.

        What kills a worker ends its requests with BackendError and nothing else; the next request starts it again, as
        soon as ``restart`` allows. One that hangs is killed when ``watch`` says so. Cancelling this task sets
        ``cancel``. Raises DoesNotFitError, ModelFileError, UnsupportedError, NotFoundError, UsageError, Interrupted,
        BackendError.
        """
        arrivals, cancel = Arrivals(), cancel or CancelToken()
        load: Callable[[], Core]
        if isolation not in get_args(Isolation):
            raise UsageError(f"isolation is {isolation!r}; it must be one of {', '.join(get_args(Isolation))}")
        if isolation == "worker":
            from edgellm_runtimes.worker.core import WorkerCore

            load = partial(
                WorkerCore.load,
                request,
                arrivals.deliver,
                progress=progress,
                cancel=cancel,
                policy=restart,
                watch=watch,
            )
        else:
            from edgellm_runtimes.local_core import LocalCore

            load = partial(LocalCore.load, request, arrivals.deliver, progress=progress, cancel=cancel)
        loading = _Loading(load)
        try:
            core = await asyncio.to_thread(loading.run)
        except asyncio.CancelledError:
            cancel.cancel()
            loading.abandon()
            raise
        engine = cls.__new__(cls)
        engine._set_up(core, arrivals, request.plan.sampling if request.plan is not None else None)
        return engine

    async def __aenter__(self) -> Engine:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.close()

    @property
    def info(self) -> EngineInfo:
        """How the model was loaded."""
        return self._core.facts.info

    @property
    def facts(self) -> EngineFacts:
        """What is known about the model."""
        return self._core.facts

    def status(self) -> EngineStatus:
        """Whether the model runs, in which process, and what its worker ended with, if it did."""
        return self._core.status()

    async def statistics(self) -> SchedulerStatistics:
        """What the scheduler does and has done since the model was loaded. Raises BackendError while none is."""
        return await asyncio.to_thread(self._core.statistics)

    def params(self, **chosen: Any) -> SamplingParams:
        """Sampling parameters: what was ``chosen`` (None is not chosen) over the model's own defaults, over ours."""
        return sampling_params(self._defaults, **chosen)

    def tokenize(self, text: str, *, add_special: bool = True, parse_special: bool = True) -> list[int]:
        """Token ids of ``text``; ``add_special`` puts bos in front where the model was trained so.

        Blocks until the model has answered. Raises UsageError for text that is not Unicode, BackendError.
        """
        self._core.revive()
        return self._core.tokenize(text, add_special=add_special, parse_special=parse_special)

    async def prompt_tokens(self, text: str, *, add_special: bool = True, parse_special: bool = True) -> list[int]:
        """Token ids of a prompt, found in a thread; see ``tokenize``. Starts a worker again that died.

        Raises PromptTooLongError for text far beyond the context before it is looked at: llama.cpp takes quadratic time
        over many special tokens.
        """
        context = self.info.context
        if len(text) > context * _CHARACTERS_PER_TOKEN:
            raise PromptTooLongError(
                f"the prompt has {len(text)} characters; a context of {context} tokens cannot hold it",
                hint="shorten the prompt, or load the model with a larger --context",
                context_tokens=context,
            )
        await self._be_ready()
        special = {"add_special": add_special, "parse_special": parse_special}
        return await self.in_thread(self._core.tokenize, text, **special)

    def check_tokens(self, ids: Sequence[int]) -> list[int]:
        """``ids`` as a list. Raises UsageError for one that the model does not have."""
        n_vocab = self._core.facts.n_vocab
        tokens = list(ids)
        for token in tokens:
            if not isinstance(token, int) or isinstance(token, bool) or not 0 <= token < n_vocab:
                raise UsageError(f"{token!r} is not a token id of this model (0 to {n_vocab - 1})")
        return tokens

    def token_bytes(self, tokens: Sequence[int]) -> list[bytes]:
        """The bytes of each token as it is, special ones too. Blocks likewise."""
        self._core.revive()
        return self._core.pieces(tokens)

    def token_texts(self, tokens: Sequence[int]) -> list[str]:
        """The text of each token; part of a character becomes U+FFFD. See ``token_bytes``."""
        return [piece.decode("utf-8", "replace") for piece in self.token_bytes(tokens)]

    def token_text(self, token: int) -> str:
        """The text of one token; see ``token_texts``."""
        return self.token_texts([token])[0]

    def generate(
        self,
        prompt: str | Sequence[int],
        params: SamplingParams | None = None,
        *,
        stop: Iterable[str] = (),
        options: GenerationOptions | None = None,
    ) -> AsyncGenerator[Chunk, None]:
        """Continue ``prompt``, given as text or as token ids. Yields chunks; the last one has a finish reason.

        ``options`` say everything about the generation, or else ``params`` and ``stop`` say how to choose tokens and
        where to end. With several choices the chunks of all come as they are made, and each choice has a last one.
        Closing the iterator (or cancelling the task) stops the generation, also in the middle of its prefill.
        Raises UsageError when the prompt is empty, malformed or does not fit the context; BusyError when too many wait
        or the worker must not start again yet; BackendError.
        """
        return self._each(self._run(partial(self._prompt, prompt), self._options(params, stop, options)))

    def stream(self, prompt: str | Sequence[int], options: GenerationOptions) -> AsyncGenerator[list[Chunk], None]:
        """As ``generate``, with the chunks that came since the last time in one list."""
        return self._run(partial(self._prompt, prompt), options)

    def chat(
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

        async def prompt() -> list[int]:
            text = await self.render(messages, tools=tools, template_variables=template_variables)
            return await self.prompt_tokens(text, add_special=False)  # the template writes bos where it belongs

        return self._each(self._run(prompt, self._options(params, stop, options)))

    async def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        template_variables: Mapping[str, Any] | None = None,
        add_generation_prompt: bool = True,
    ) -> str:
        """The prompt that ``chat`` would give to the model; without the generation prompt nobody's turn is begun."""
        facts = self._core.facts
        return await render_chat_async(
            facts.chat_template,
            messages,
            tools=tools,
            add_generation_prompt=add_generation_prompt,
            bos_token=facts.bos_text,
            eos_token=facts.eos_text,
            variables=template_variables,
        )

    async def embed(
        self,
        texts: Sequence[str | Sequence[int]],
        *,
        pooling: Pooling | None = None,
        normalise: bool = True,
        truncate: bool = False,
        adapters: Sequence[AdapterUse] = (),
    ) -> Embeddings:
        """The vectors of ``texts``, given as text or as token ids: float32 [texts, n_embd], and the tokens of each.

        ``pooling`` "mean" is the mean of the hidden states of all tokens, "last" the one of the last token, "cls", of
        an encoder, the one of the first; None is what the model was trained with, else the mean. ``normalise`` gives
        every vector a length of 1. ``truncate`` cuts texts that are longer than the context, what the tokenizer puts
        after a text stays. Nothing that is computed for a text is kept for others. Cancelling the task stops it. Raises
        UnsupportedError where the model gives no embeddings, UsageError for a text that is empty, malformed or longer
        than the context, BusyError when too many requests wait, NotFoundError for an adapter that is not there,
        BackendError.
        """
        if isinstance(texts, (str, bytes)):
            raise UsageError("embed takes a list of texts")
        if "embeddings" not in self.facts.capabilities:
            raise MissingAbilityError(f"{self.info.description or 'this model'} gives no embeddings")
        options = EmbedOptions(pooling=pooling or self.facts.pooling, normalise=normalise, adapters=tuple(adapters))
        if options.pooling == "cls" and "generation" in self.facts.capabilities:
            raise UsageError("the first token of this model knows nothing of what follows", hint="pool by mean or last")
        await self._be_ready()
        tokens = await self.in_thread(self._text_tokens, texts, truncate)
        found: list[Embedding] = []
        while len(found) < len(tokens):
            first = end = len(found)
            n_tokens = 0
            while end < len(tokens) and end - first < _MOST_TEXTS and n_tokens < _MOST_TEXT_TOKENS:
                n_tokens += len(tokens[end])
                end += 1
            found += await self._embed(tokens[first:end], options)
        return self._embeddings(found)

    async def _embed(self, texts: list[list[int]], options: EmbedOptions) -> list[Embedding]:
        request = EmbedRequest(next(self._ids), texts, options)
        found: dict[int, Embedding] = {}
        with self._exchange(request, len(texts)) as exchange:
            while exchange.missing:
                for item in await exchange.box.take():
                    embedding = exchange.receive(item)
                    assert isinstance(embedding, Embedding)
                    found[embedding.index] = embedding
        return [found[index] for index in range(len(texts))]

    def _embeddings(self, found: list[Embedding]) -> Embeddings:
        import numpy as np

        joined = b"".join(embedding.values for embedding in found)
        vectors = np.frombuffer(joined, "<f4").reshape(len(found), self.facts.n_embd).astype(np.float32)
        return Embeddings(vectors, tuple(embedding.n_tokens for embedding in found))

    def check_generates(self) -> None:
        """Raise MissingAbilityError where the model is an encoder."""
        if "generation" not in self.facts.capabilities:
            raise no_generation()

    def _text_tokens(self, texts: Sequence[str | Sequence[int]], truncate: bool) -> list[list[int]]:
        """The token ids of each text. Blocks."""
        context, found = self.info.context, []
        for index, text in enumerate(texts):
            if isinstance(text, str):
                if truncate:
                    text = text[: context * _CHARACTERS_PER_TOKEN]
                elif len(text) > context * _CHARACTERS_PER_TOKEN:
                    raise UsageError(
                        f"text {index} has {len(text)} characters; a context of {context} tokens cannot hold it",
                        hint="cut it into parts, or load the model with a larger --context",
                    )
                tokens = self._core.tokenize(text, add_special=True, parse_special=True) if text else []
            else:
                tokens = self.check_tokens(text)
            if not tokens:
                raise UsageError(f"text {index} is empty")
            if truncate:
                tokens = self._cut(tokens)
            elif len(tokens) > context:
                raise UsageError(
                    f"text {index} has {len(tokens)} tokens; the context holds {context}",
                    hint="cut it into parts, or load the model with a larger --context",
                )
            found.append(tokens)
        return found

    def _cut(self, tokens: list[int]) -> list[int]:
        """As many of the first tokens as fit, with what stands after every text at their end."""
        context, end = self.info.context, list(self.facts.text_end)
        if len(tokens) <= context:
            return tokens
        if not end or tokens[-len(end) :] != end or len(end) >= context:
            return tokens[:context]
        return [*tokens[: context - len(end)], *end]

    async def close(self) -> None:
        """Stop what runs and free the model. Calling it again does nothing."""
        await asyncio.to_thread(self._core.close)
        self._threads.shutdown(wait=False)

    async def in_thread(self, call: Callable[_P, Value], *arguments: _P.args, **named: _P.kwargs) -> Value:
        """What ``call`` returns, which waits for the model: ``tokenize``, ``token_bytes`` and what calls them.

        Unlike `asyncio.to_thread` it takes no thread of the event loop, which a worker that hangs would keep from all
        other models. Raises BackendError after ``close``.
        """
        try:
            waiting = asyncio.get_running_loop().run_in_executor(self._threads, partial(call, *arguments, **named))
        except RuntimeError as error:
            raise BackendError("the model is closed") from error
        return await waiting

    async def _run(
        self, prepare: Callable[[], Awaitable[list[int]]], options: GenerationOptions
    ) -> AsyncGenerator[list[Chunk], None]:
        begun = time.monotonic()
        self.check_generates()
        await self._be_ready()
        tokens = await prepare()
        self._check_length(tokens, options)
        self._check_bias(options.sampling)
        if options.deadline_s is not None:
            left = max(_SHORTEST_DEADLINE_S, options.deadline_s - (time.monotonic() - begun))
            options = msgspec.structs.replace(options, deadline_s=left)
        request = Request(next(self._ids), tokens, options)
        _check_unicode(options)
        with self._exchange(request, options.choices) as exchange:
            while exchange.missing:
                chunks: list[Chunk] = []
                for item in await exchange.box.take():
                    if isinstance(item, EdgeLLMError) and chunks:
                        yield chunks
                    chunk = exchange.receive(item)
                    assert isinstance(chunk, Chunk)
                    chunks.append(chunk)
                yield chunks

    async def _each(self, steps: AsyncGenerator[list[Chunk], None]) -> AsyncGenerator[Chunk, None]:
        async with contextlib.aclosing(steps):
            async for chunks in steps:
                for chunk in chunks:
                    yield chunk

    @contextlib.contextmanager
    def _exchange(self, request: Request | EmbedRequest, missing: int) -> Iterator[_Exchange]:
        """Start ``request``, of which ``missing`` answers or vectors are to come. Who leaves before cancels it."""
        exchange = _Exchange(self._arrivals.open(request.id), missing)
        try:
            self._core.start(request)
            yield exchange
        finally:
            self._arrivals.close(request.id)
            if exchange.missing:
                self._core.cancel(request.id)

    async def _be_ready(self) -> None:
        """Start a worker again that died. Whoever needs it waits for the same start, on one thread for all."""
        if self._core.ready:
            return
        if self._reviving is None or self._reviving.get_loop() is not asyncio.get_running_loop():
            self._reviving = asyncio.ensure_future(asyncio.to_thread(self._core.revive))
            self._reviving.add_done_callback(self._revived)
        await asyncio.shield(self._reviving)

    def _revived(self, reviving: asyncio.Future[None]) -> None:
        self._reviving = None
        if not reviving.cancelled():
            reviving.exception()  # those who waited may all have gone

    def _options(
        self, params: SamplingParams | None, stop: Iterable[str], options: GenerationOptions | None
    ) -> GenerationOptions:
        stops = (stop,) if isinstance(stop, str) else tuple(stop)
        if options is None:
            return GenerationOptions(sampling=params or self.params(), stop=stops)
        if params is not None or stops:
            raise UsageError("give either options, or params and stop")
        return options

    async def _prompt(self, prompt: str | Sequence[int]) -> list[int]:
        return await self.prompt_tokens(prompt) if isinstance(prompt, str) else self.check_tokens(prompt)

    def _check_length(self, tokens: Sequence[int], options: GenerationOptions) -> None:
        if not tokens:
            raise UsageError("the prompt is empty")
        context = self.info.context
        if len(tokens) >= context and options.overflow == "error":
            wanted = _next_context(len(tokens) + 1)
            larger = min(wanted, self.info.trained_context or wanted)
            more = f", or load the model with --context {larger}" if larger > len(tokens) else ""
            raise PromptTooLongError(
                f"the prompt has {len(tokens)} tokens; the context of {context} must hold it and a new token",
                hint=f"shorten the prompt or begin a new conversation{more}",
                prompt_tokens=len(tokens),
                context_tokens=context,
            )

    def _check_bias(self, params: SamplingParams) -> None:
        last = self._core.facts.n_vocab - 1
        token = max(params.logit_bias, default=0)
        if token > last:
            raise UsageError(f"logit_bias names token {token}; this model has 0 to {last}")


class _Exchange:
    """What has come of one request, and how many of its answers or vectors are not whole."""

    def __init__(self, box: Mailbox, missing: int) -> None:
        self.box = box
        self.missing = missing

    def receive(self, item: Delivered) -> Chunk | Embedding:
        """Count ``item``; raise it where it is the error that ends the request."""
        if isinstance(item, EdgeLLMError):
            self.missing = 0
            raise item
        self.missing -= isinstance(item, Embedding) or item.finish_reason is not None
        return item


class _Loading:
    """A model that is loaded in a thread, and closed there when nobody waits for it any more."""

    def __init__(self, load: Callable[[], Core]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._core: Core | None = None
        self._abandoned = False

    def run(self) -> Core:
        """The thread's part."""
        core = self._load()
        with self._lock:
            self._core = core
            unwanted = self._abandoned
        if unwanted:
            core.close()
        return core

    def abandon(self) -> None:
        """The task was cancelled."""
        with self._lock:
            self._abandoned = True
            core = self._core
        if core is not None:
            threading.Thread(target=core.close, name="edgellm-close").start()


def _check_unicode(options: GenerationOptions) -> None:
    texts = [*options.stop, *options.markers, options.scope, *(adapter.name for adapter in options.adapters)]
    if options.grammar is not None:
        texts.append(options.grammar.text)
    try:
        "".join(texts).encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(f"a text among the options is not valid Unicode: {error.reason}") from error


def _next_context(tokens: int) -> int:
    """The next multiple of 1024: contexts are named so."""
    return -(-tokens // 1024) * 1024
