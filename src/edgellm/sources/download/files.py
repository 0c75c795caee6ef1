"""Download files of a hub into a folder, each under the name of its hash."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from edgellm.errors import IntegrityError, UsageError
from edgellm.files import os_errors, require_free_space
from edgellm.progress import CancelToken, Progress, SilentProgress
from edgellm.sources.download.leftovers import sweep_journals
from edgellm.sources.download.locks import locked_file
from edgellm.sources.download.part_file import PartFile, journal_path, part_path
from edgellm.sources.download.receive import receive
from edgellm.sources.hub.client import HubClient
from edgellm.sources.hub.digest import digest_mismatch
from edgellm.sources.hub.repository import HubFile
from edgellm.sources.hub.retry import pause_until

__all__ = ["download_files", "missing_bytes"]

_SMALL_BYTES = 1 << 20
_KEY = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def download_files(
    client: HubClient,
    files: Sequence[HubFile],
    folder: Path,
    *,
    connections: int = 4,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> list[Path]:
    """Fetch ``files`` into ``folder``; returns ``folder/<hash>`` for each, whole, verified and synced to the disk.

    A file that is there already is not fetched. A killed or cancelled run loses at most 16 MB (FLUSH_BYTES) of what was
    written to the disk and is gone on with by the next one; a file that changed on the hub has another hash, so two
    versions never mix. One process at a time fetches a file: the second waits and finds it done. Wrong bytes are
    fetched once more from nothing. Memory for buffers: about 5 MB.

    Raises NoSpaceError before the first byte when the disk is too small for what is missing, IntegrityError naming the
    file and both hashes (nothing of it is kept), NetworkError, AccessError, NotFoundError, Interrupted.
    """
    if not 1 <= connections <= 32:
        raise UsageError(f"{connections} connections cannot be opened", hint="take 1 to 32; 4 is the default")
    if not all(_KEY.fullmatch(file.key) for file in files):
        raise IntegrityError("a file of the hub has no hash to check it against")
    progress = progress or SilentProgress()
    with os_errors(f"create {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        sweep_journals(folder)
    require_free_space(folder, missing_bytes(files, folder), "the download")
    small = [file for file in files if file.size_bytes <= _SMALL_BYTES and not _is_finished(folder, file)]
    if small:
        what = small[0].name if len(small) == 1 else f"{len(small)} small files"
        progress.phase(f"downloading {what}", sum(file.size_bytes for file in small))
    for file in sorted(files, key=lambda file: file.size_bytes > _SMALL_BYTES):
        pause_until(0, cancel)
        if not _is_finished(folder, file):
            _download(client, file, folder, connections, progress, cancel)
    return [folder / file.key for file in files]


def missing_bytes(files: Sequence[HubFile], folder: Path) -> int:
    """What a download of ``files`` into ``folder`` still needs of the disk."""
    missing = {file.key: file for file in files if not _is_finished(folder, file)}
    return sum(max(0, file.size_bytes - _disk_bytes(part_path(folder, key))) for key, file in missing.items())


def _download(
    client: HubClient, file: HubFile, folder: Path, connections: int, progress: Progress, cancel: CancelToken | None
) -> None:
    final = folder / file.key
    with locked_file(part_path(folder, file.key), f"downloading {file.path}", progress, cancel) as descriptor:
        if _is_finished(folder, file):
            for path in (part_path(folder, file.key), journal_path(folder, file.key)):
                with suppress(FileNotFoundError):
                    path.unlink()
            return
        part = PartFile(folder, file, descriptor)
        try:
            if file.size_bytes <= _SMALL_BYTES:
                _fetch_small(client, part, progress)
            else:
                _fetch_large(client, part, connections, progress, cancel)
            part.finish(final)
        except IntegrityError:
            part.remove()
            raise
        finally:
            part.close()


def _fetch_small(client: HubClient, part: PartFile, progress: Progress) -> None:
    """A file that fits in memory needs no journal."""
    try:
        data = client.read_file(part.file, _SMALL_BYTES)
    except IntegrityError as error:
        progress.message(f"{error.message}; fetching it again")
        data = client.read_file(part.file, _SMALL_BYTES)
    part.write_whole(data)
    progress.advance(len(data))


def _fetch_large(
    client: HubClient, part: PartFile, connections: int, progress: Progress, cancel: CancelToken | None
) -> None:
    part.resume()
    for attempt in (1, 2):
        got = receive(client, part, connections, progress, cancel)
        if got == part.file.key:
            return
        error = digest_mismatch(part.file, got)
        if attempt == 2:
            raise error
        progress.message(f"{error.message}; fetching it again")
        part.restart()


def _is_finished(folder: Path, file: HubFile) -> bool:
    """A file gets its final name after it was verified and synced: its presence and size are proof enough."""
    try:
        return (folder / file.key).stat().st_size == file.size_bytes
    except (FileNotFoundError, NotADirectoryError):
        return False


def _disk_bytes(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512
    except (FileNotFoundError, NotADirectoryError):
        return 0
