"""What `edgellm import` does: read from where the bundles are, then say what came and whether it suits this machine."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgellm.cli.console import print_json, print_message, print_warning
from edgellm.cli.context import open_store, user_settings
from edgellm.cli.progress import cancel_on_interrupt, make_progress
from edgellm.cli.smoke import keep_smoke, smoke
from edgellm.cli.terms import say_terms
from edgellm.errors import NotFoundError, UsageError
from edgellm.files import os_errors
from edgellm.machine import this_device_id
from edgellm.paths import user_path
from edgellm.units import format_bytes

if TYPE_CHECKING:
    from edgellm.bundle.plan import Plan
    from edgellm.progress import CancelToken, Progress
    from edgellm.settings import SettingsWithOrigin
    from edgellm.store.intake import ImportedBundle, ImportReport
    from edgellm.store.store import Store

__all__ = ["ImportOptions", "import_bundles", "other_device_note"]


@dataclass(frozen=True)
class ImportOptions:
    """The command line of `edgellm import`."""

    source: str
    name: str | None
    smoke: bool
    as_json: bool
    quiet: bool


def import_bundles(options: ImportOptions) -> None:
    """Run the import. Raises errors of our tree."""
    if options.name is not None:
        from edgellm.bundle.names import parse_name

        parse_name(options.name, default_tag="latest")  # what is wrong with it is said before anything is read
    settings = user_settings()
    store = open_store(settings)
    results: dict[str, dict[str, Any]] = {}
    with make_progress(options.quiet) as progress, cancel_on_interrupt() as cancel:
        report = _reader(options)(store, progress, cancel)
        if not options.quiet and not options.as_json:
            _say(report)
        if not options.quiet:
            _warn(report, settings)
        for imported in report.bundles if options.smoke else ():
            results[imported.bundle.digest] = _smoke(imported, store, progress, cancel)
    if options.as_json:
        print_json(_record(report, results))


def _reader(options: ImportOptions) -> Callable[[Store, Progress, CancelToken], ImportReport]:
    """How to read the source: as it lies, or, when it is a pipe, in one pass. Raises UsageError, NotFoundError."""
    if options.source == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError(
                "an archive is not read from a terminal",
                hint="give it a sender: edgellm export NAME - | edgellm import -",
            )
        return lambda store, progress, cancel: _from_pipe(
            store, sys.stdin.fileno(), "standard input", options, progress, cancel
        )
    path = user_path(options.source)
    with os_errors(f"read {path}"):
        if not path.exists():
            raise NotFoundError(
                f"there is nothing at {path}",
                hint="give the archive or the folder that `edgellm export` wrote, or - for standard input",
            )
        mode = path.stat().st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        return lambda store, progress, cancel: _from_named_pipe(store, path, options, progress, cancel)
    return lambda store, progress, cancel: _from_layout(store, path, options, progress, cancel)


def _from_pipe(
    store: Store, file_descriptor: int, where: str, options: ImportOptions, progress: Progress, cancel: CancelToken
) -> ImportReport:
    from edgellm.store.stream_intake import import_stream

    with store.writer() as writer:
        return import_stream(writer, file_descriptor, where, name=options.name, progress=progress, cancel=cancel)


def _from_named_pipe(
    store: Store, path: Path, options: ImportOptions, progress: Progress, cancel: CancelToken
) -> ImportReport:
    with os_errors(f"read {path}"):
        file_descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _from_pipe(store, file_descriptor, str(path), options, progress, cancel)
    finally:
        os.close(file_descriptor)


def _from_layout(
    store: Store, path: Path, options: ImportOptions, progress: Progress, cancel: CancelToken
) -> ImportReport:
    from edgellm.bundle.layout import open_layout
    from edgellm.store.intake import chosen_names, import_layout

    layout = open_layout(path)
    chosen = chosen_names(layout, options.name)
    with store.writer() as writer:
        return import_layout(writer, layout, chosen, progress=progress, cancel=cancel)


def _smoke(imported: ImportedBundle, store: Store, progress: Progress, cancel: CancelToken) -> dict[str, Any]:
    """The bundle stays, whatever comes out: it is what its sender meant to send."""
    progress.phase("smoke test")
    opened = store.resolve(str(imported.name))
    with opened.hold():
        result = smoke(opened.weights_path, opened.plan, cancel, opened.adapter_paths, opened.files)
    keep_smoke(store, opened.digest, result)
    progress.message(f"smoke test of {imported.name}: {result['tokens_per_s']:.0f} tokens/s here")
    return result


def _say(report: ImportReport) -> None:
    for imported in report.bundles:
        if imported.system:
            print_message(f"{imported.name} is in the machine's store already\n  {imported.bundle.digest}")
            continue
        size = format_bytes(imported.bundle.size_bytes)
        print_message(f"imported {imported.name}: {size}, {imported.bundle.plan.recipe}\n  {imported.bundle.digest}")
        if imported.former:
            print_message(f"  what the name pointed at before is now {imported.name}@previous")
    if report.skipped_bytes:
        print_message(
            f"  {format_bytes(report.written_bytes)} written; {format_bytes(report.skipped_bytes)} were here already"
        )


def _warn(report: ImportReport, settings: SettingsWithOrigin) -> None:
    from edgellm.devices.local import available_memory_bytes

    say_terms(imported.bundle for imported in report.bundles)
    here = this_device_id(settings)
    for imported in report.bundles:
        if imported.bundle.plan.target.id != here:
            print_warning(other_device_note(str(imported.name), imported.bundle.plan, available_memory_bytes()))


def other_device_note(name: str, plan: Plan, available_bytes: int | None) -> str:
    """One line about a bundle that was made for another device: does it fit here all the same?"""
    memory = plan.predicted_memory
    made_for = f"{name} was made for {plan.target.name} with {format_bytes(plan.target.memory_bytes)}"
    if available_bytes is None:
        return f"{made_for}, not for this machine"
    if memory.total_bytes <= available_bytes:
        fits = "it fits"
    elif memory.total_bytes - memory.kv_bytes < available_bytes:
        fits = "it does not fit as planned; with a smaller --context it does"
    else:
        fits = "it does not fit; pack the model for this machine: edgellm pack MODEL --device local"
    return (
        f"{made_for}, not for this machine: it needs {format_bytes(memory.total_bytes)} of memory, "
        f"{format_bytes(available_bytes)} are free here: {fits}"
    )


def _record(report: ImportReport, smoke_results: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "bundles": [
            {
                "name": str(imported.name),
                "digest": imported.bundle.digest,
                "former_digest": imported.former,
                "device": imported.bundle.plan.target.id,
                "recipe": imported.bundle.plan.recipe,
                "size_bytes": imported.bundle.size_bytes,
                "licenses": list(imported.bundle.config.descriptor.licenses),
                "smoke": smoke_results.get(imported.bundle.digest),
            }
            for imported in report.bundles
        ],
        "written_bytes": report.written_bytes,
        "skipped_bytes": report.skipped_bytes,
    }
