"""What `edgellm bench` does: measure bundles in turn, and show them side by side."""

from __future__ import annotations

import contextlib
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgellm.cli.console import print_json, print_message, print_table, printable
from edgellm.cli.context import open_store, user_settings
from edgellm.cli.progress import cancel_on_interrupt, make_progress
from edgellm.errors import NotFoundError
from edgellm.machine import this_device_id
from edgellm.units import format_bytes

if TYPE_CHECKING:
    from edgellm.bundle.opened import OpenBundle
    from edgellm.settings import SettingsWithOrigin
    from edgellm.store.store import Store
    from edgellm_runtimes.bench import BenchResult, BenchWork
    from edgellm_runtimes.load import LoadRequest

__all__ = ["BenchOptions", "bench"]

_SPEEDS = ("prefill_tokens_per_s", "decode_tokens_per_s", "streams_tokens_per_s")
_BUSY_SHARE = 0.25
_BUSY_S = 0.5


@dataclass(frozen=True)
class BenchOptions:
    """The command line of `edgellm bench`."""

    names: tuple[str, ...]
    prompt_tokens: int
    decode_tokens: int
    streams: int
    rounds: int
    threads: int | None
    force: bool
    as_json: bool
    quiet: bool


@dataclass(frozen=True)
class _Measured:
    bundle: OpenBundle
    first_load_s: float  # with what is prepared once
    runs: Sequence[BenchResult]

    def median(self, field: str) -> float:
        return statistics.median(getattr(run, field) or 0 for run in self.runs)

    def medians(self) -> BenchResult:
        """Each field by itself; None where the system does not tell."""
        import msgspec

        first = self.runs[0]
        changes = {
            field: type(value)(self.median(field))
            for field, value in msgspec.structs.asdict(first).items()
            if value is not None
        }
        return msgspec.structs.replace(first, **changes)

    def request_s(self) -> float:
        """Seconds for the request by which a format is chosen."""
        from edgellm.devices.format_choice import ANSWER_TOKENS, PROMPT_TOKENS

        return PROMPT_TOKENS / self.median(_SPEEDS[0]) + ANSWER_TOKENS / self.median(_SPEEDS[1])


def bench(options: BenchOptions) -> None:
    """Measure and print. Raises NotFoundError, MissingAbilityError for an encoder, and the errors of loading."""
    from edgellm.cli.bench_record import keep_results
    from edgellm_runtimes.bench import BenchWork, bench_model
    from edgellm_runtimes.encoder import no_generation

    settings = user_settings()
    run = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    bundles = _bundles(options.names, open_store(settings), settings)
    encoder = next((bundle for bundle in bundles if bundle.plan.encoder is not None), None)
    if encoder is not None:
        raise no_generation(encoder.name)
    work = BenchWork(options.prompt_tokens, options.decode_tokens, options.streams)
    runs: list[list[BenchResult]] = [[] for _ in bundles]
    with contextlib.ExitStack() as stack:
        cancel = stack.enter_context(cancel_on_interrupt())
        progress = stack.enter_context(make_progress(options.quiet))
        for bundle in bundles:
            stack.enter_context(bundle.hold())
        _warn_of_others(progress.message, cancel.wait)
        requests = [_request(bundle, options, settings) for bundle in bundles]
        quick = BenchWork(min(8, work.prompt_tokens), 8, 1)
        first = [bench_model(request, quick, cancel=cancel).load_s for request in requests]
        for number in range(options.rounds):
            for request, found in zip(requests, runs, strict=True):
                progress.phase(f"{request.name}, {number + 1} of {options.rounds}")
                found.append(bench_model(request, work, cancel=cancel))
        measured = [_Measured(*each) for each in zip(bundles, first, runs, strict=True)]
        medians = [(one.bundle, one.medians()) for one in measured]
        kept = keep_results(settings.paths.state, run, work, medians, progress, cancel)
    if options.as_json:
        print_json(_record(measured, work))
        return
    _print(measured, work)
    if kept and not options.quiet:
        from edgellm.devices.benched import benched_path

        print_message(
            f"kept in {benched_path(settings.paths.state)}: `edgellm fit` shows it, and where it compares the "
            "formats of a model, `edgellm pack` chooses by it"
        )


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


def _request(bundle: OpenBundle, options: BenchOptions, settings: SettingsWithOrigin) -> LoadRequest:
    from edgellm_runtimes.load import bundle_request

    needed = options.prompt_tokens + options.decode_tokens + 1
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


def _print(measured: Sequence[_Measured], work: BenchWork) -> None:
    headers = ["BUNDLE", "FORMAT", "RECIPE", "SIZE", "FIRST LOAD", "LOAD", "PROMPT tok/s", "ANSWER tok/s"]
    headers += [f"{work.streams} AT ONCE tok/s", "OWN MEMORY", "MAPPED"]
    cells = []
    for one in measured:
        plan = one.bundle.plan
        cells.append(
            [
                printable(one.bundle.name),
                _format(one.bundle),
                plan.recipe,
                format_bytes(one.bundle.size_bytes),
                f"{one.first_load_s:.2f} s",
                f"{one.median('load_s'):.2f} s",
                *(f"{one.median(field):.1f}" for field in _SPEEDS),
                _memory(one, "anonymous_bytes"),
                _memory(one, "mapped_bytes"),
            ]
        )
    print_table(headers, cells, right=tuple(range(3, len(headers))))
    if len(measured) > 1:
        for what, field in (("prompts", _SPEEDS[0]), ("answers", _SPEEDS[1]), ("answers at once", _SPEEDS[2])):
            first, second = sorted(measured, key=lambda one: -one.median(field))[:2]
            ratio = first.median(field) / second.median(field)
            sys.stdout.write(f"{what}: {printable(first.bundle.name)} is {ratio:.2f} times as fast as the next\n")
        _print_request(measured)


def _print_request(measured: Sequence[_Measured]) -> None:
    from edgellm.devices.format_choice import ANSWER_TOKENS, PROMPT_TOKENS

    first, second = sorted(measured, key=_Measured.request_s)[:2]
    ratio = second.request_s() / first.request_s()
    sys.stdout.write(
        f"{PROMPT_TOKENS} tokens of prompt and {ANSWER_TOKENS} of answer: {printable(first.bundle.name)} is "
        f"{ratio:.2f} times as fast as the next\n"
    )


def _memory(one: _Measured, field: str) -> str:
    return "unknown" if getattr(one.runs[0], field) is None else format_bytes(round(one.median(field)))


def _format(bundle: OpenBundle) -> str:
    return "ONNX" if bundle.files else "GGUF"


def _record(measured: Sequence[_Measured], work: BenchWork) -> dict[str, Any]:
    import msgspec

    return {
        "work": work,
        "bundles": [
            {
                "name": one.bundle.name,
                "digest": one.bundle.digest,
                "format": _format(one.bundle).lower(),
                "recipe": one.bundle.plan.recipe,
                "size_bytes": one.bundle.size_bytes,
                "first_load_s": one.first_load_s,
                "median": {field: one.median(field) for field in ("load_s", *_SPEEDS)},
                "runs": [msgspec.to_builtins(run) for run in one.runs],
            }
            for one in measured
        ],
    }
