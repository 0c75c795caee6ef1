"""The model that a command loads: what the command line names, found, fetched if need be, with what belongs to it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edgellm.cli.progress import MessagesOnly, make_progress
from edgellm.errors import UsageError

if TYPE_CHECKING:
    from edgellm.bundle.opened import OpenBundle
    from edgellm.progress import Progress
    from edgellm.settings import SettingsWithOrigin
    from edgellm_runtimes.engine import Engine
    from edgellm_runtimes.generation import AdapterUse
    from edgellm_runtimes.load import LoadRequest

__all__ = ["FoundModel", "ModelOptions", "adapter_uses", "find_model", "open_engine"]


class ModelOptions(Protocol):
    """What a command line says about the model."""

    @property
    def model(self) -> str: ...
    @property
    def context(self) -> int | None: ...
    @property
    def threads(self) -> int | None: ...
    @property
    def force(self) -> bool: ...
    @property
    def quiet(self) -> bool: ...
    @property
    def yes(self) -> bool: ...
    @property
    def cache_chats(self) -> bool: ...


@dataclass(frozen=True)
class FoundModel:
    """A model file on this machine, and the bundle that it is of, if it is of one."""

    path: Path
    bundle: OpenBundle | None
    settings: SettingsWithOrigin


def find_model(options: ModelOptions) -> FoundModel:
    """What the command line names, fetched if need be. Raises NotFoundError, UsageError, and what pulling raises."""
    from edgellm.cli.context import user_settings
    from edgellm.cli.target import A_MODEL, find_bundle
    from edgellm.sources.local import open_source

    settings = user_settings()
    bundle = _pulled(options, settings) or find_bundle(options.model, settings, or_else=A_MODEL)
    if bundle is not None:
        return FoundModel(bundle.weights_path, bundle, settings)
    source = open_source(options.model)
    if source.kind != "gguf":
        raise UsageError(
            f"{options.model} is a checkpoint", hint=f"pack it first: edgellm pack {options.model} --device local"
        )
    return FoundModel(source.path, None, settings)


@contextlib.contextmanager
def open_engine(options: ModelOptions, found: FoundModel | None = None) -> Iterator[tuple[asyncio.Runner, Engine]]:
    """The loaded model and the event loop that it belongs to, until the block ends. Raises the errors of loading."""
    with contextlib.ExitStack() as stack, asyncio.Runner() as runner:
        request = _load_request(options, found or find_model(options), stack)
        with _loading(options) as progress:
            from edgellm_runtimes.engine import Engine

            if not request.files:
                from edgellm_runtimes.llama_cpp.library import explain_aborts

                explain_aborts()
            engine = runner.run(Engine.load(request, progress=progress))
        try:
            yield runner, engine
        finally:
            runner.run(engine.close())


@contextlib.contextmanager
def _loading(options: ModelOptions) -> Iterator[Progress]:
    """A moving line on a terminal; elsewhere what the user has to know and nothing else."""
    if options.quiet or sys.stderr.isatty():
        with make_progress(options.quiet) as progress:
            yield progress
    else:
        yield MessagesOnly()


def _load_request(options: ModelOptions, found: FoundModel, stack: contextlib.ExitStack) -> LoadRequest:
    """What to load. ``stack`` keeps a lease on the bundle's files, so that gc spares them while the model runs."""
    from edgellm_runtimes.load import LoadRequest, bundle_request

    settings, bundle = found.settings, found.bundle
    asked: dict[str, Any] = {
        "context": options.context,
        "threads": options.threads or settings.values.threads or None,
        "force": options.force,
    }
    if bundle is None:
        return LoadRequest(model_path=found.path, name=found.path.name, **asked)
    stack.enter_context(bundle.hold())
    return bundle_request(
        bundle,
        **asked,
        prepared_folder=settings.paths.prepared,
        prefix_folder=settings.paths.prefixes,
        prefix_cap_bytes=settings.values.prefix_cache_mib << 20,
        prefix_daily_bytes=settings.values.prefix_daily_mib << 20,
        save_chats=options.cache_chats,
    )


def adapter_uses(texts: Sequence[str]) -> tuple[AdapterUse, ...]:
    """What ``--adapter NAME[=SCALE]`` asks for. Raises UsageError."""
    from edgellm_runtimes.generation import AdapterUse

    found = []
    for text in texts:
        name, equals, scale = text.partition("=")
        try:
            found.append(AdapterUse(name, float(scale) if equals else 1.0))
        except ValueError as error:
            raise UsageError(
                f"--adapter {text[:80]!r}: {scale[:40]!r} is no number", hint="--adapter NAME or --adapter NAME=0.5"
            ) from error
    return tuple(found)


def _pulled(options: ModelOptions, settings: SettingsWithOrigin) -> OpenBundle | None:
    """The bundle of a hub's model: from the store without a connection, else fetched. None for anything else."""
    from edgellm.cli.context import open_store
    from edgellm.cli.pull_command import PullOptions, pull_reference
    from edgellm.cli.target import hub_reference
    from edgellm.machine import this_device_id
    from edgellm.sources.stored import find_stored

    reference = hub_reference(options.model, settings)
    if reference is None:
        return None
    store = open_store(settings)
    row = find_stored(store, reference, this_device_id(settings))
    if row is not None:
        return store.resolve(row.full_name)
    pull = PullOptions(
        options.model, context=options.context, force=options.force, yes=options.yes, quiet=options.quiet
    )
    packed, there = pull_reference(reference, pull, settings)
    return store.resolve(str(packed[0].name) if packed else there[0].full_name)
