"""What `edgellm bench` does: measure bundles in turn, and show them side by side."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgellm.cli.console import print_json, print_message
from edgellm.cli.context import open_store, user_settings
from edgellm.cli.progress import cancel_on_interrupt, make_progress
from edgellm.errors import NotFoundError, UsageError
from edgellm.machine import this_device_id

if TYPE_CHECKING:
    from edgellm.bundle.opened import OpenBundle
    from edgellm.settings import SettingsWithOrigin
    from edgellm.store.store import Store
    from edgellm_runtimes.bench import BenchResult, BenchWork, EncoderWork
    from edgellm_runtimes.load import LoadRequest

__all__ = ["BenchOptions", "bench"]

_PROMPT_TOKENS = 512
_BUSY_SHARE = 0.25
_BUSY_S = 0.5


@dataclass(frozen=True)
class BenchOptions:
    """The command line of `edgellm bench`."""

    names: tuple[str, ...]
    prompt_tokens: int | None
    decode_tokens: int
    streams: int
    rounds: int
    threads: int | None
    force: bool
    as_json: bool
    quiet: bool


def bench(options: BenchOptions) -> None:
    """Measure and print. Raises NotFoundError, UsageError for encoders beside models that answer, and the errors of
    loading."""
    from edgellm.cli.bench_table import Measured, print_measured, record_of
    from edgellm_runtimes.bench import BenchWork, EncoderWork, bench_model

    settings = user_settings()
    run = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    bundles = _bundles(options.names, open_store(settings), settings)
    work = _work(options, bundles)
    quick = EncoderWork(min(8, work.text_tokens), 1) if isinstance(work, EncoderWork) else BenchWork(8, 8, 1)
    runs: list[list[Any]] = [[] for _ in bundles]
    kept = False
    with contextlib.ExitStack() as stack:
        cancel = stack.enter_context(cancel_on_interrupt())
        progress = stack.enter_context(make_progress(options.quiet))
        for bundle in bundles:
            stack.enter_context(bundle.hold())
        _warn_of_others(progress.message, cancel.wait)
        requests = [_request(bundle, options, work, settings) for bundle in bundles]
        first = [bench_model(request, quick, cancel=cancel).load_s for request in requests]
        for number in range(options.rounds):
            for request, found in zip(requests, runs, strict=True):
                progress.phase(f"{request.name}, {number + 1} of {options.rounds}")
                found.append(bench_model(request, work, cancel=cancel))
        measured = [Measured(*each) for each in zip(bundles, first, runs, strict=True)]
        if isinstance(work, BenchWork):
            from edgellm.cli.bench_record import keep_results

            medians = [(bundle, _medians(found)) for bundle, found in zip(bundles, runs, strict=True)]
            kept = keep_results(settings.paths.state, run, work, medians, progress, cancel)
    if options.as_json:
        print_json(record_of(measured, work))
        return
    print_measured(measured, work)
    if kept and not options.quiet:
        from edgellm.devices.benched import benched_path

        print_message(
            f"kept in {benched_path(settings.paths.state)}: `edgellm fit` shows it, and where it compares the "
            "formats of a model, `edgellm pack` chooses by it"
        )


def _work(options: BenchOptions, bundles: Sequence[OpenBundle]) -> BenchWork | EncoderWork:
    """What is timed. Raises UsageError for encoders beside models that answer: they share no figure."""
    from edgellm_runtimes.bench import BenchWork, EncoderWork

    encoders = [bundle for bundle in bundles if bundle.plan.encoder is not None]
    if not encoders:
        return BenchWork(options.prompt_tokens or _PROMPT_TOKENS, options.decode_tokens, options.streams)
    other = next((bundle.name for bundle in bundles if bundle.plan.encoder is None), None)
    if other is not None:
        raise UsageError(
            f"{encoders[0].name} is an encoder and {other} is not: they are measured in other ways",
            hint="name them in two runs",
        )
    longest = min(bundle.plan.context for bundle in encoders)
    return EncoderWork(options.prompt_tokens or min(_PROMPT_TOKENS, longest), options.streams)


def _medians(runs: Sequence[BenchResult]) -> BenchResult:
    """Each field by itself; None where the system does not tell."""
    import msgspec

    first = runs[0]
    changes = {
        field: type(value)(statistics.median(getattr(run, field) or 0 for run in runs))
        for field, value in msgspec.structs.asdict(first).items()
        if value is not None
    }
    return msgspec.structs.replace(first, **changes)


def _bundles(names: Sequence[str], store: Store, settings: SettingsWithOrigin) -> list[OpenBundle]:
    """What ``names`` mean; one without a tag all bundles of that name."""

    found: dict[str, OpenBundle] = {}
    rows = [row for row in store.list() if row.bundle is not None]
    for name in names:
        alike = [row.full_name for row in rows if row.full_name.rpartition(":")[0] == name]
        for full_name in alike or [name]:
            bundle = store.resolve(full_name, device_id=this_device_id(settings))
            found.setdefault(bundle.digest, bundle)
    if not found:
        raise NotFoundError("there is nothing to measure", hint="`edgellm list` shows what there is")
    return list(found.values())


def _request(
    bundle: OpenBundle, options: BenchOptions, work: BenchWork | EncoderWork, settings: SettingsWithOrigin
) -> LoadRequest:
    from edgellm_runtimes.bench import BenchWork
    from edgellm_runtimes.load import bundle_request

    needed = work.prompt_tokens + work.decode_tokens + 1 if isinstance(work, BenchWork) else work.text_tokens
    return bundle_request(
        bundle,
        context=needed if bundle.plan.context < needed else None,
        sequences=options.streams,
        threads=options.threads or settings.values.threads or None,
        force=options.force,
        prepared_folder=settings.paths.prepared,
    )


def _warn_of_others(say: Any, wait: Any) -> None:
    from edgellm.devices.busy import busy_cores
    from edgellm.devices.local import decode_threads

    busy = busy_cores(lambda: wait(_BUSY_S))
    if busy > _BUSY_SHARE * decode_threads():
        say(f"warning: other programs keep {busy:.1f} cores busy; the figures will be those of a busy machine")
