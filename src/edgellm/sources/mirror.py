"""Headers of a hub's files as local files, so that everything that reads a model's headers reads these too.

A mirrored weights file has its true size and holds its header; the rest was never fetched and takes no space.
"""

from __future__ import annotations

import struct
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from edgellm.bundle.staging import StagingFolder, remove_dead_staging
from edgellm.errors import AccessError, ModelFileError
from edgellm.files import os_errors
from edgellm.formats import safetensors
from edgellm.formats.gguf import parse_header
from edgellm.formats.sentence_files import is_sentence_file
from edgellm.sources.gguf_files import GGUFFile
from edgellm.sources.hub.client import HubClient
from edgellm.sources.hub.repository import HubFile, HubRepository
from edgellm.sources.hub_model import documents
from edgellm.sources.local import LocalSource, open_source
from edgellm.sources.repository_files import DOCUMENT_LIMIT_BYTES, INDEX_NAME

__all__ = ["HeaderMirror"]

_PREFIX = "headers-"
_SHARED_PREFIX = "edgellm-headers-"  # in the folder for temporary files, which is everybody's
_JSON_LIMIT_BYTES = 64 << 20
_WHOLE = ("config.json", "generation_config.json", INDEX_NAME)
_CONNECTIONS = 4


class HeaderMirror:
    """A private folder of headers in the cache folder, removed at the end of the block.

    What a killed process left there is removed by the next mirror. Where the cache cannot be written, the folder for
    temporary files serves.
    """

    def __init__(self, client: HubClient, cache: Path) -> None:
        self._client = client
        self._folder = _private_folder(cache)
        self.path = self._folder.path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.close()

    def checkpoint(self, repository: HubRepository, files: list[HubFile]) -> LocalSource:
        """The configuration and the weights' headers of a checkpoint. Tokenizer files are not fetched."""
        folder = self.path / "checkpoint"
        folder.mkdir(exist_ok=True)
        whole = [file for file in files if file.path in _WHOLE or is_sentence_file(file.path)]
        for file in whole:
            (folder / file.path).parent.mkdir(exist_ok=True)
        weights = [file for file in files if file.path.endswith(".safetensors")]
        with ThreadPoolExecutor(_CONNECTIONS, "headers") as pool:
            done = [pool.submit(self._fetch_whole, file, folder / file.path, _JSON_LIMIT_BYTES) for file in whole]
            done += [pool.submit(self._fetch_safetensors, file, folder / file.name) for file in weights]
            try:
                for future in done:
                    future.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        self.papers(repository, folder)
        return open_source(str(folder))

    def gguf(self, repository: HubRepository, file: GGUFFile) -> LocalSource:
        """The header of a GGUF, of each of its parts where it has several."""
        folder = self.path / "gguf"
        folder.mkdir(exist_ok=True)
        for part in file.parts:
            if not (folder / part.name).exists():
                self._fetch_gguf(part, folder / part.name)
        self.papers(repository, folder)
        return open_source(str(folder / file.name))

    def papers(self, repository: HubRepository, folder: Path) -> None:
        """Put the licence, the notices and the model card of the repository into ``folder``."""
        for file in documents(repository):
            if not (folder / file.path).exists():
                self._fetch_whole(file, folder / file.path, DOCUMENT_LIMIT_BYTES)

    def _fetch_whole(self, file: HubFile, path: Path, limit_bytes: int) -> None:
        data = self._client.read_file(file, limit_bytes)
        with os_errors(f"write {path}"):
            path.write_bytes(data)

    def _fetch_safetensors(self, file: HubFile, path: Path) -> None:
        prefix = self._client.read_range(file, 0, 8)
        if len(prefix) == 8:
            size = struct.unpack("<Q", prefix)[0]
            if size <= min(safetensors.HEADER_LIMIT_BYTES, file.size_bytes - 8):
                prefix += self._client.read_range(file, 8, 8 + size)
        _write_sparse(path, prefix, file.size_bytes)

    def _fetch_gguf(self, file: HubFile, path: Path) -> None:
        remote = _RemoteStart(self._client, file)
        try:
            parse_header(remote, file.size_bytes, file.path, skip_arrays=True)
        except ModelFileError as error:
            raise ModelFileError(error.message, hint="take another file or revision of this repository") from error
        _write_sparse(path, bytes(remote.data), file.size_bytes)


def _private_folder(cache: Path) -> StagingFolder:
    temporary = Path(tempfile.gettempdir())
    remove_dead_staging(cache, _PREFIX)
    remove_dead_staging(temporary, _SHARED_PREFIX)
    try:
        return StagingFolder(cache, _PREFIX)
    except AccessError:
        return StagingFolder(temporary, _SHARED_PREFIX)


class _RemoteStart:
    """The beginning of a file on the hub, fetched as it is read, and kept."""

    def __init__(self, client: HubClient, file: HubFile) -> None:
        self._client, self._file = client, file
        self.data = bytearray()

    def read(self, size_bytes: int, /) -> bytes:
        """See ByteStream."""
        part = self._client.read_range(self._file, len(self.data), len(self.data) + size_bytes)
        self.data += part
        return part


def _write_sparse(path: Path, start: bytes, size_bytes: int) -> None:
    with os_errors(f"write {path}"), path.open("wb") as file:
        file.write(start)
        file.truncate(size_bytes)
