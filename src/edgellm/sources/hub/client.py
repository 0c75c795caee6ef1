"""The hub as the rest of the program sees it: describe a repository, read a file or a part of one."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from edgellm.errors import AccessError, IntegrityError, NetworkError, NotFoundError
from edgellm.progress import CancelToken, Progress, SilentProgress
from edgellm.sources.hub.digest import check_digest
from edgellm.sources.hub.failures import TransientError
from edgellm.sources.hub.reference import DEFAULT_REVISION, HubReference
from edgellm.sources.hub.repository import HubFile, HubRepository, parse_repository
from edgellm.sources.hub.retry import Backoff, Patience, pause_until
from edgellm.sources.hub.settings import HubSettings
from edgellm.sources.hub.stream import RangeStream, range_header
from edgellm.sources.hub.transport import Answer, Transport
from edgellm.units import format_bytes

__all__ = ["HubClient"]

_DESCRIPTION_LIMIT_BYTES = 16 << 20
_NAMES_LIMIT_BYTES = 1 << 20
_MOST_SKIPPED_BYTES = 64 << 20

_T = TypeVar("_T")


class HubClient:
    """A hub, over one pool of connections. A context manager; threads may share it.

    Failures that may pass (429, 5xx, cut or silent connections) are tried again as ``patience`` says, each with a line
    on ``progress``. With ``settings.offline`` every method raises NetworkError and no socket is opened.
    """

    def __init__(
        self,
        settings: HubSettings,
        *,
        patience: Patience | None = None,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> None:
        self.settings = settings
        self.patience = patience or Patience()
        self._progress = progress or SilentProgress()
        self._cancel = cancel
        self._transport = Transport(settings, self.patience)
        self._locations: dict[str, str] = {}

    def __enter__(self) -> HubClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def repository(self, reference: HubReference) -> HubRepository:
        """What ``reference`` holds at the commit that its revision means now.

        Raises NotFoundError with near names, AccessError naming the page of a gated repository and HF_TOKEN,
        NetworkError, IntegrityError for an answer that is not a description.
        """
        address = f"{self.settings.endpoint}/api/models/{reference.repo_id}"
        if reference.revision != DEFAULT_REVISION:
            address += f"/revision/{quote(reference.revision, safe='')}"
        try:
            data = self._read_json(f"{address}?blobs=true", reference.repo_id)
        except NotFoundError as error:
            if reference.revision == DEFAULT_REVISION:
                near = self._near_names(reference.repo_id)
                if near:
                    raise NotFoundError(error.message, hint=f"did you mean {' or '.join(near)}?") from error
            raise
        return parse_repository(data, self.settings.endpoint)

    def read_file(self, file: HubFile, limit_bytes: int) -> bytes:
        """A whole small file, its hash checked. Raises IntegrityError when it is larger than ``limit_bytes`` too."""
        if file.size_bytes > limit_bytes:
            size, limit = format_bytes(file.size_bytes), format_bytes(limit_bytes)
            raise IntegrityError(f"{file.path} has {size}, more than the {limit} that are read")
        data = self.read_range(file, 0, file.size_bytes)
        check_digest(file, data)
        return data

    def read_range(self, file: HubFile, start: int, stop: int) -> bytes:
        """The bytes ``[start, stop)``, cut at the end of the file; kept in memory. No hash can be checked here.

        A server that ignores ranges is read up to ``stop``. Raises NetworkError, AccessError, NotFoundError.
        """
        stop = min(stop, file.size_bytes)
        parts: list[bytes] = []

        def once() -> None:
            position = start + sum(map(len, parts))
            stream = self.open_range(file, position, stop)
            try:
                self._copy(stream, position, stop, parts)
            finally:
                stream.close()

        while file.size_bytes == 0 or start + sum(map(len, parts)) < stop:
            self._retried(once)
            if file.size_bytes == 0:
                break
        return b"".join(parts)

    def open_range(self, file: HubFile, start: int, stop: int) -> RangeStream:
        """One attempt at the bytes ``[start, stop)``, as a stream. Raises TransientError besides the errors above.

        The address that the hub redirects to is used again for the same file, which spares the hub a request for each
        part, until that server refuses it: such links expire.
        """
        headers = range_header(start, stop) if file.size_bytes else {}
        known = self._locations.get(file.url)
        answer = None
        if known is not None:
            try:
                answer = self._transport.open(known, headers)
            except TransientError as error:
                if self._locations.get(file.url) == known:
                    del self._locations[file.url]
                if not error.link_refused:
                    raise
        if answer is None:
            repo_id = file.url.removeprefix(f"{self.settings.endpoint}/").partition("/resolve/")[0]
            answer = self._transport.open(file.url, headers, repo_id=repo_id)
        stream = RangeStream(answer, file, start, stop)
        if urlsplit(answer.url).netloc != urlsplit(self.settings.endpoint).netloc:
            self._locations[file.url] = answer.url
        return stream

    def _copy(self, stream: RangeStream, start: int, stop: int, parts: list[bytes]) -> None:
        if stream.whole and start > _MOST_SKIPPED_BYTES:
            raise NetworkError(
                "the server of this hub cannot send parts of a file", hint="download the file, then give its path"
            )
        position = stream.start
        for piece in stream:
            wanted = piece[max(0, start - position) : max(0, stop - position)]
            position += len(piece)
            if wanted:
                parts.append(wanted)
            if position >= stop:
                break

    def _read_json(self, url: str, repo_id: str) -> bytes:
        def once() -> bytes:
            answer = self._transport.open(url, repo_id=repo_id)
            try:
                data = answer.read(_DESCRIPTION_LIMIT_BYTES)
            finally:
                answer.close()
            if data is None:
                limit = format_bytes(_DESCRIPTION_LIMIT_BYTES)
                raise IntegrityError(f"the description of {repo_id} is larger than {limit}", hint="check HF_ENDPOINT")
            return data

        return self._retried(once)

    def _near_names(self, repo_id: str) -> list[str]:
        """Repositories of the same owner with a name like this one; one request, and no answer is fine."""
        owner, _, name = repo_id.partition("/")
        try:
            answer = self._transport.open(f"{self.settings.endpoint}/api/models?author={quote(owner)}&limit=200")
            data = self._body(answer)
            names = {
                entry.id.partition("/")[2].lower(): entry.id for entry in msgspec.json.decode(data, type=list[_Id])
            }
        except (AccessError, NotFoundError, NetworkError, TransientError, msgspec.MsgspecError, UnicodeDecodeError):
            return []
        return [names[near] for near in difflib.get_close_matches(name.lower(), names, n=2, cutoff=0.6)]

    def _body(self, answer: Answer) -> bytes:
        try:
            return answer.read(_NAMES_LIMIT_BYTES) or b"[]"
        finally:
            answer.close()

    def _retried(self, once: Callable[[], _T]) -> _T:
        backoff = Backoff(self.patience, self._progress.message, lambda wait_s: pause_until(wait_s, self._cancel))
        while True:
            pause_until(0, self._cancel)
            try:
                return once()
            except TransientError as error:
                backoff.failed(error)


class _Id(msgspec.Struct):
    id: str
