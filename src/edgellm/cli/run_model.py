"""The model that `edgellm run` and `embed` ask: in the server that serves its store, else in this process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from edgellm.cli.console import print_message
from edgellm.cli.model_request import FoundModel, ModelOptions, find_model, open_engine
from edgellm.errors import BusyError

if TYPE_CHECKING:
    from edgellm.bundle.opened import OpenBundle
    from edgellm.bundle.plan import Plan
    from edgellm.client.connection import Client
    from edgellm.running import RunningServer
    from edgellm_runtimes.embedding import Pooling
    from edgellm_runtimes.engine import Engine
    from edgellm_runtimes.engine_info import EngineInfo
    from edgellm_runtimes.generation import AdapterUse, Chunk, GenerationOptions

__all__ = ["EmbedSettings", "Embedded", "RunModel", "open_model"]

_MOST_TEXTS, _MOST_CHARACTERS = 256, 2 << 20  # of one request

Said = str | Sequence[Mapping[str, Any]]


class RunOptions(ModelOptions, Protocol):
    """What a command line says about the model and where it may run."""

    @property
    def local(self) -> bool: ...


class RunModel(Protocol):
    """A model, wherever it is loaded."""

    @property
    def info(self) -> EngineInfo: ...

    @property
    def plan(self) -> Plan | None:
        """Of its bundle; None for a model file alone."""
        ...

    def answer(
        self, said: Said, sampling: Mapping[str, Any], options: GenerationOptions
    ) -> AsyncGenerator[Chunk, None]:
        """Answer messages, or continue a text as it is. ``sampling``: the parameters that were chosen; those of
        ``options`` do not count."""
        ...

    def token_text(self, token: int) -> str:
        """The text of a token that the logprobs of an answer named."""
        ...

    async def embed(self, texts: Sequence[str], how: EmbedSettings) -> Embedded:
        """The vectors of ``texts``."""
        ...


class EmbedSettings(NamedTuple):
    """How texts are embedded; see ``Engine.embed``."""

    pooling: Pooling | None
    normalise: bool
    truncate: bool
    adapters: tuple[AdapterUse, ...]


class Embedded(NamedTuple):
    """Vectors and numbers of tokens, in the order of the texts, and the pooling that was used."""

    vectors: list[list[float]]
    n_tokens: list[int]
    pooling: str


@contextlib.contextmanager
def open_model(options: RunOptions, *, generates: bool) -> Iterator[tuple[asyncio.Runner, RunModel]]:
    """The model and the event loop that it belongs to, until the block ends.

    Raises the errors of loading, MissingAbilityError for an encoder that is to generate (``generates``), and BusyError
    for a model that a server has loaded already and that would be loaded once more.
    """
    from edgellm_runtimes.encoder import no_generation

    found = find_model(options)
    if generates and found.bundle is not None and found.bundle.plan.encoder is not None:
        raise no_generation(found.bundle.name)
    server = _server_of(found)
    if server is not None and found.bundle is not None:
        reason = _own_process(options)
        if reason is None:
            with asyncio.Runner() as runner, _served(runner, server, found.bundle, options) as served:
                yield runner, served
            return
        if not options.force:
            _refuse_second_copy(server, found.bundle, reason)
    with open_engine(options, found) as (runner, engine):
        if generates:
            engine.check_generates()
        yield runner, _LocalModel(engine, None if found.bundle is None else found.bundle.plan)


def _server_of(found: FoundModel) -> RunningServer | None:
    if found.bundle is None:
        return None
    from edgellm.client.find import serving

    return serving(found.settings, found.path)


def _own_process(options: RunOptions) -> str | None:
    """The option that a server cannot follow."""
    wanted = {
        "--local": options.local,
        "--force": options.force,
        "--threads": options.threads is not None,
        "--cache-chats": options.cache_chats,
    }
    return next((name for name, given in wanted.items() if given), None)


def _refuse_second_copy(server: RunningServer, bundle: OpenBundle, reason: str) -> None:
    from edgellm.client.connection import Client
    from edgellm.client.models import loaded_models

    async def ask() -> set[str]:
        async with Client(server) as client:
            return {model.digest for model in await loaded_models(client)}

    if bundle.digest in asyncio.run(ask()):
        raise BusyError(
            f"{server.address} (process {server.pid}) has {bundle.name} loaded; {reason} would load it twice",
            hint=f"leave {reason} out, or unload it there (edgellm stop {bundle.name}), or add --force",
        )


class _LocalModel:
    """An engine in this process."""

    def __init__(self, engine: Engine, plan: Plan | None) -> None:
        self._engine = engine
        self.plan = plan
        self.token_text = engine.token_text

    @property
    def info(self) -> EngineInfo:
        return self._engine.info

    def answer(
        self, said: Said, sampling: Mapping[str, Any], options: GenerationOptions
    ) -> AsyncGenerator[Chunk, None]:
        options = msgspec.structs.replace(options, sampling=self._engine.params(**sampling))
        if isinstance(said, str):
            return self._engine.generate(said, options=options)
        return self._engine.chat(said, options=options)

    async def embed(self, texts: Sequence[str], how: EmbedSettings) -> Embedded:
        found = await self._engine.embed(texts, **how._asdict())
        vectors = [vector.tolist() for vector in found.vectors]
        return Embedded(vectors, list(found.n_tokens), how.pooling or self._engine.facts.pooling)


@contextlib.contextmanager
def _served(
    runner: asyncio.Runner, server: RunningServer, bundle: OpenBundle, options: RunOptions
) -> Iterator[_ServedModel]:
    from edgellm.client.connection import Client

    async def connect() -> Client:
        return Client(server)

    client = runner.run(connect())
    try:
        served = _ServedModel(client, bundle, options.context)
        runner.run(served.load())
        if served.note and not options.quiet:
            print_message(served.note)
        yield served
    finally:
        runner.run(client.__aexit__(None, None, None))


class _ServedModel:
    """A model in a server."""

    def __init__(self, client: Client, bundle: OpenBundle, context: int | None) -> None:
        self._client = client
        self._name = bundle.name
        self.plan: Plan | None = bundle.plan
        self._context = context
        self._texts: dict[int, str] = {}
        self.info: EngineInfo
        self.note = ""

    async def load(self) -> None:
        """Have it loaded there, and learn how."""
        from edgellm.api.run import RunRequest

        async with contextlib.aclosing(self._chunks(RunRequest(model=self._name, context=self._context))) as chunks:
            async for _ in chunks:
                pass

    def answer(
        self, said: Said, sampling: Mapping[str, Any], options: GenerationOptions
    ) -> AsyncGenerator[Chunk, None]:
        from edgellm.api.run import RunRequest
        from edgellm_runtimes.sampling import SamplingParams

        return self._chunks(
            RunRequest(
                model=self._name,
                prompt=said if isinstance(said, str) else None,
                messages=None if isinstance(said, str) else tuple(map(dict, said)),
                sampling=dict(sampling),
                options=msgspec.structs.replace(options, sampling=SamplingParams()),
                context=self._context,
            )
        )

    async def _chunks(self, request: Any) -> AsyncGenerator[Chunk, None]:
        from edgellm.api.run import RunFailure, RunLine, RunStart

        decoder: msgspec.json.Decoder[RunLine] = msgspec.json.Decoder(RunLine)
        async with contextlib.aclosing(self._client.lines("/api/edgellm/run", request, decoder)) as lines:
            async for line in lines:
                if isinstance(line, RunStart):
                    self.info, self.note = line.info, line.note
                elif isinstance(line, RunFailure):
                    raise line.error.as_error()
                else:
                    self._texts |= line.texts
                    yield line.chunk

    def token_text(self, token: int) -> str:
        return self._texts[token]

    async def embed(self, texts: Sequence[str], how: EmbedSettings) -> Embedded:
        from edgellm.api.embed import EmbedAnswer, EmbedOrder

        found = Embedded([], [], "")
        for part in _parts(texts):
            order = EmbedOrder(model=self._name, texts=part, context=self._context, **how._asdict())
            answer = await self._client.post("/api/edgellm/embed", order, EmbedAnswer)
            found = Embedded(found.vectors + answer.vectors, found.n_tokens + answer.n_tokens, answer.pooling)
        return found


def _parts(texts: Sequence[str]) -> Iterator[list[str]]:
    """``texts`` in requests that a server takes."""
    part: list[str] = []
    size = 0
    for text in texts:
        if part and (len(part) == _MOST_TEXTS or size + len(text) > _MOST_CHARACTERS):
            yield part
            part, size = [], 0
        part.append(text)
        size += len(text)
    if part:
        yield part
