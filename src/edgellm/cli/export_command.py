"""What `edgellm export` does: find the bundles, keep gc off them, write them out, say what they are."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgellm.cli.console import print_json, print_message
from edgellm.cli.context import user_settings
from edgellm.cli.output import check_output, is_archive
from edgellm.cli.progress import MessagesOnly, cancel_on_interrupt, make_progress
from edgellm.cli.terms import say_terms
from edgellm.errors import UsageError
from edgellm.paths import user_path
from edgellm.progress import CancelToken, Progress, SilentProgress
from edgellm.units import format_bytes

if TYPE_CHECKING:
    from edgellm.bundle.export import Outgoing
    from edgellm.settings import SettingsWithOrigin

__all__ = ["ExportOptions", "export_bundles", "require_both"]

_PIPE = "-"


@dataclass(frozen=True)
class ExportOptions:
    """The command line of `edgellm export`."""

    names: tuple[str, ...]
    target: str
    force: bool
    as_json: bool
    quiet: bool


def require_both(names: tuple[str, ...], target: str | None) -> tuple[tuple[str, ...], str]:
    """The bundles and the destination. Raises UsageError that says which of them is missing, with an example."""
    if names and target is not None:
        return names, target
    if target is None:
        raise UsageError("which bundle, and where to?", hint="edgellm export NAME FILE.tar; `edgellm list` has names")
    if target == _PIPE or is_archive(Path(target)):
        raise UsageError(
            "which bundle? its name is missing", hint=f"edgellm export NAME {target}; `edgellm list` has names"
        )
    file = Path(target).name.replace(":", "-")
    raise UsageError(
        f"where to? the destination of {target} is missing",
        hint=f"edgellm export {target} {file}.tar; or a folder, or - for a pipe",
    )


def export_bundles(options: ExportOptions) -> None:
    """Run the export. Raises errors of our tree."""
    _check_target(options)
    settings = user_settings()
    with contextlib.ExitStack() as stack:
        bundles = [_find(name, settings, stack) for name in options.names]
        if not options.quiet:
            say_terms(outgoing.bundle for outgoing in bundles)
        with _progress(options) as (progress, cancel):
            size_bytes = _write(bundles, options.target, progress, cancel)
    if options.as_json:
        print_json(
            {
                "bundles": [
                    {
                        "name": str(outgoing.name),
                        "digest": outgoing.bundle.digest,
                        "device": outgoing.bundle.plan.target.id,
                        "licenses": list(outgoing.bundle.config.descriptor.licenses),
                    }
                    for outgoing in bundles
                ],
                "output": options.target,
                "size_bytes": size_bytes,
            }
        )
    elif not options.quiet:
        names = ", ".join(str(outgoing.name) for outgoing in bundles)
        where = "standard output" if options.target == _PIPE else options.target
        print_message(f"exported {names} to {where}: {format_bytes(size_bytes)}")


def _check_target(options: ExportOptions) -> None:
    """Say before any work what would go wrong with the target."""
    if options.target != _PIPE:
        check_output(user_path(options.target), force=options.force, what="export")
    elif options.as_json:
        raise UsageError("- and --json both want standard output", hint="export to a file, or leave out --json")
    elif sys.stdout.isatty():
        raise UsageError(
            "an archive is not written to a terminal",
            hint=f"give it a reader: edgellm export {options.names[0]} - | ssh HOST edgellm import -",
        )


def _find(name: str, settings: SettingsWithOrigin, stack: contextlib.ExitStack) -> Outgoing:
    from edgellm.bundle.contained import labelled_name
    from edgellm.bundle.export import Outgoing
    from edgellm.cli.target import find_bundle

    opened = find_bundle(name, settings)
    if opened is None:
        raise UsageError(f"{name} is not a bundle", hint="give a name of `edgellm list`, or the folder of a bundle")
    stack.enter_context(opened.hold())
    return Outgoing(labelled_name(opened.name, opened.bundle), opened.bundle, opened.layout)


@contextlib.contextmanager
def _progress(options: ExportOptions) -> Iterator[tuple[Progress, CancelToken]]:
    """Into a pipe no line moves, since the reader shows its own, and Ctrl-C ends a write that waits for the reader."""
    if options.target == _PIPE:
        yield (SilentProgress() if options.quiet else MessagesOnly()), CancelToken()
        return
    with make_progress(options.quiet) as progress, cancel_on_interrupt() as cancel:
        yield progress, cancel


def _write(bundles: list[Outgoing], target: str, progress: Progress, cancel: CancelToken) -> int:
    from edgellm.bundle.export import export_file, export_folder, export_pipe

    if target == _PIPE:
        return export_pipe(bundles, sys.stdout.fileno(), "standard output", progress=progress, cancel=cancel)
    path: Path = user_path(target)
    write = export_file if is_archive(path) else export_folder
    return write(bundles, path, progress=progress, cancel=cancel)
