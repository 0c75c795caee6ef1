"""From a hub's model to bundles: choose by headers, ask, download, pack. What `pull`, `run` and `pack` share."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgellm.cli.event_lines import emit, events_wanted
from edgellm.cli.hub_question import ask_once, say_order
from edgellm.cli.hub_space import require_space
from edgellm.cli.progress import cancel_on_interrupt, make_progress
from edgellm.cli.smoke import smoke
from edgellm.cli.stored import is_as_asked
from edgellm.errors import NotFoundError
from edgellm.files import os_errors
from edgellm.sources.stored import find_stored

if TYPE_CHECKING:
    from edgellm.bundle.writer import BundleWriter
    from edgellm.cli.hub_order import HubOrder
    from edgellm.progress import CancelToken, Progress
    from edgellm.sources.hub.client import HubClient
    from edgellm.sources.hub.reference import HubReference
    from edgellm.sources.local import LocalSource
    from edgellm.sources.mirror import HeaderMirror
    from edgellm.store.listing import StoredBundle
    from edgellm.store.store import Store
    from edgellm_converters.pack import PackedBundle, PackRequest

__all__ = ["HubJob", "hub_pack"]


@dataclass(frozen=True)
class HubJob:
    """What to make of a hub's model, and how to go about it."""

    reference: HubReference
    request: PackRequest  # its source is a placeholder
    store: Store  # downloads lie beside its blobs
    cache: Path  # for headers
    open_writer: Callable[[], BundleWriter]
    committed: Callable[[PackedBundle], None]
    output: Path | None = None  # a folder or an archive instead of the store
    reuse: bool = False  # a bundle of the same commit for the same device is taken as it is
    ask: bool = False
    yes: bool = False
    quiet: bool = False


def hub_pack(job: HubJob) -> tuple[list[PackedBundle], list[StoredBundle]]:
    """Run the job; returns what was packed, and what was there already.

    Raises UsageError when a question is due and nobody can answer, Interrupted when the answer is no, DoesNotFitError,
    NetworkError, AccessError, NotFoundError, NoSpaceError, IntegrityError.
    """
    from edgellm.cli.hub_order import orders
    from edgellm.sources.hub.client import HubClient
    from edgellm.sources.hub.settings import hub_settings
    from edgellm.sources.hub_model import find_model
    from edgellm.sources.mirror import HeaderMirror

    settings = hub_settings()
    packed: list[PackedBundle] = []
    there: list[StoredBundle] = []
    with contextlib.ExitStack() as stack:
        with make_progress(job.quiet) as progress, cancel_on_interrupt() as cancel:
            progress.phase(f"looking at {job.reference}")
            client = stack.enter_context(HubClient(settings, progress=progress, cancel=cancel))
            model = find_model(client, job.reference)
            mirror = stack.enter_context(HeaderMirror(client, job.cache))
            found = orders(client, model, job.request, mirror)
        wanted = []
        for order in found:
            known = _known(job, order)
            there += [known] if known is not None else []
            wanted += [order] if known is None else []
            if known is not None:
                _remove_downloads(job, order)  # a kill after the commit leaves them
        require_space(job.reference, wanted, job.store, job.output)
        if wanted and not job.quiet:
            for order in wanted:
                say_order(order, settings.endpoint)
        if wanted and job.ask and not job.yes:
            ask_once(job.reference)
        for order in wanted:
            with (
                make_progress(job.quiet) as progress,
                cancel_on_interrupt() as cancel,
                _alone(job, order, progress, cancel),
            ):
                known = _known(job, order)  # another process may have brought it while this one waited
                if known is not None:
                    there.append(known)
                    continue
                _tell(order)
                packed += _fetch_and_pack(job, order, mirror, progress, cancel)
    return packed, there


def _tell(order: HubOrder) -> None:
    """Programs that run this command learn which file comes."""
    if events_wanted():
        file = order.files[0]
        emit("file", digest=f"sha256:{file.sha256}" if file.sha256 else None, size_bytes=order.size_bytes)


def _known(job: HubJob, order: HubOrder) -> StoredBundle | None:
    if not job.reuse or job.request.name is not None:
        return None
    target = order.targets[0]
    return find_stored(
        job.store,
        job.reference,
        target.device.profile.id,
        revision=order.origin.revision,
        recipe=target.choice.recipe,
        accept=lambda plan: is_as_asked(plan, job.request, target),
    )


def _alone(
    job: HubJob, order: HubOrder, progress: Progress, cancel: CancelToken
) -> contextlib.AbstractContextManager[None]:
    """One process at a time for one download and what becomes of it."""
    from edgellm.sources.download import exclusive

    files = ",".join(file.key for file in order.files)
    name = hashlib.sha256(f"{order.origin.name}@{order.origin.revision}:{files}".encode()).hexdigest()
    return exclusive(job.store.downloads, name, f"pulling {job.reference}", progress, cancel)


def _fetch_and_pack(
    job: HubJob, order: HubOrder, mirror: HeaderMirror, progress: Progress, cancel: CancelToken
) -> list[PackedBundle]:
    from edgellm.sources.hub.client import HubClient
    from edgellm.sources.hub.settings import hub_settings
    from edgellm.sources.local import LocalSource
    from edgellm.sources.snapshot import snapshot

    with contextlib.ExitStack() as stack:
        here = _in_store(job, order, stack, progress, cancel) if order.gguf is not None else None
        if here is not None:
            source = _named(order, [here], mirror)
        else:
            client = stack.enter_context(HubClient(hub_settings(), progress=progress, cancel=cancel))
            if order.gguf is not None:
                source = _named(order, _downloaded(job, order, client, stack, progress, cancel), mirror)
            else:
                folder = snapshot(client, order.model.repository, order.files, progress, cancel)
                source = LocalSource("checkpoint", folder, order.origin.bundle_name)
        packed = _pack(job, order, source, progress, cancel)
    _remove_downloads(job, order)
    return packed


def _downloaded(
    job: HubJob,
    order: HubOrder,
    client: HubClient,
    stack: contextlib.ExitStack,
    progress: Progress,
    cancel: CancelToken,
) -> list[Path]:
    """The files on the disk, held by ``stack``: `gc --cache` takes what nobody holds."""
    from edgellm.sources.download import download_files, held

    while True:
        paths = download_files(client, order.files, job.store.downloads, progress=progress, cancel=cancel)
        try:
            stack.enter_context(held(paths))
        except NotFoundError:
            continue
        return paths


def _in_store(
    job: HubJob, order: HubOrder, stack: contextlib.ExitStack, progress: Progress, cancel: CancelToken
) -> Path | None:
    """The same model file, whole, where another bundle brought it; ``stack`` keeps gc away from it."""
    file = order.files[0]
    if len(order.files) != 1 or file.sha256 is None:
        return None
    digest = f"sha256:{file.sha256}"
    writer = stack.enter_context(job.store.writer())
    if not writer.has_file(digest):
        return None
    progress.phase("read the model file that is in the store", file.size_bytes)
    if not writer.find_healthy(digest, file.size_bytes, progress=progress, cancel=cancel):
        return None
    return writer.blob_file(digest)


def _remove_downloads(job: HubJob, order: HubOrder) -> None:
    """Remove what is in a bundle now, or was copied into one; a checkpoint's files stay in the shared cache."""
    for file in order.files if order.gguf is not None else ():
        with contextlib.suppress(OSError):
            (job.store.downloads / file.key).unlink()


def _pack(
    job: HubJob, order: HubOrder, source: LocalSource, progress: Progress, cancel: CancelToken
) -> list[PackedBundle]:
    from edgellm_converters.pack import pack
    from edgellm_runtimes.onnx.kv_range import measure_kv_ranges
    from edgellm_runtimes.system_prompt import read_system_prompt

    request = replace(
        job.request,
        source=source,
        origin=order.origin,
        targets=order.targets,
        format=order.format,
        notes=order.notes,
        devices=tuple(target.device for target in order.targets),
        revision=order.origin.revision,
    )
    return pack(request, job.open_writer, smoke, job.committed, progress, cancel, read_system_prompt, measure_kv_ranges)


def _named(order: HubOrder, paths: list[Path], mirror: HeaderMirror) -> LocalSource:
    """The downloads under their names, with the repository's papers beside them."""
    from edgellm.sources.local import LocalSource

    assert order.gguf is not None
    folder = mirror.path / "files"
    with os_errors(f"write {folder}"):
        folder.mkdir(exist_ok=True)
        mirror.papers(order.model.repository, folder)
        parts = []
        for file, path in zip(order.files, paths, strict=True):
            name = folder / file.name
            name.unlink(missing_ok=True)
            name.symlink_to(path.absolute())
            parts.append(name)
    return LocalSource("gguf", parts[0], order.gguf.stem, tuple(parts))
