"""One large file: from its connections into its part file, hashed on the way."""

from __future__ import annotations

from edgellm.errors import EdgeLLMError
from edgellm.progress import CancelToken, Progress
from edgellm.sources.download.hashing import PrefixHasher
from edgellm.sources.download.part_file import PartFile
from edgellm.sources.download.ranges import split
from edgellm.sources.download.workers import Block, Fetcher, RangesIgnoredError
from edgellm.sources.hub.client import HubClient
from edgellm.sources.hub.retry import pause_until
from edgellm.units import format_bytes

__all__ = ["receive"]

_SMALLEST_SEGMENT_BYTES = 8 << 20
_LARGEST_SEGMENT_BYTES = 32 << 20
_SEGMENTS_PER_CONNECTION = 4
_POLL_S = 0.1


def receive(client: HubClient, part: PartFile, connections: int, progress: Progress, cancel: CancelToken | None) -> str:
    """Fetch what is missing of ``part`` and return the hash of the whole file in hex.

    On any error what arrived is flushed first, so that the next run goes on from there.
    """
    file = part.file
    there = part.written.size_bytes
    resumed = f", going on at {format_bytes(there)}" if there else ""
    progress.phase(f"downloading {file.name}{resumed}", file.size_bytes - there)
    hasher = PrefixHasher(file, part.descriptor)
    try:
        hasher.reach(part.written.prefix)
        _receive_all(client, part, hasher, connections, progress, cancel)
        part.flush()
        return _finish_hash(hasher, part, progress, cancel)
    finally:
        hasher.stop()


def _receive_all(
    client: HubClient,
    part: PartFile,
    hasher: PrefixHasher,
    connections: int,
    progress: Progress,
    cancel: CancelToken | None,
) -> None:
    single = False
    while missing := part.written.missing(0, part.file.size_bytes):
        try:
            if single:
                segments, count = [(missing[0][0], part.file.size_bytes)], 1
            else:
                segments, count = split(missing, _segment_bytes(part.file.size_bytes, connections)), connections
            with Fetcher(client, part.file, segments, count, single=single) as fetcher:
                for item in fetcher.arrivals():
                    pause_until(0, cancel)
                    if isinstance(item, Block):
                        progress.advance(part.write(item.start, item.data))
                        hasher.reach(part.written.prefix)
                    elif item is not None:
                        progress.message(item)
        except RangesIgnoredError:
            single = True
            progress.message("the server cannot send parts of a file: one connection, and a restart begins anew")
        except BaseException as error:
            _keep(part, error)
            raise


def _keep(part: PartFile, error: BaseException) -> None:
    """Flush on the way out; the error that is under way is the one to tell."""
    try:
        part.flush()
    except EdgeLLMError as second:
        error.add_note(f"and then: {second.message}")


def _segment_bytes(size_bytes: int, connections: int) -> int:
    """Small enough that the file fills from its beginning, for the hash; large enough that requests are few."""
    wanted = size_bytes // (_SEGMENTS_PER_CONNECTION * max(1, connections))
    return max(_SMALLEST_SEGMENT_BYTES, min(_LARGEST_SEGMENT_BYTES, wanted))


def _finish_hash(hasher: PrefixHasher, part: PartFile, progress: Progress, cancel: CancelToken | None) -> str:
    told = hasher.hashed_bytes
    left = part.file.size_bytes - told
    if left > _LARGEST_SEGMENT_BYTES:
        progress.phase(f"checking {part.file.name}", left)

    def poll(hashed_bytes: int) -> None:
        nonlocal told
        if left > _LARGEST_SEGMENT_BYTES:
            progress.advance(hashed_bytes - told)
            told = hashed_bytes
        pause_until(0, cancel)

    return hasher.finish(_POLL_S, poll)
