"""What a hub says of a repository: its files with their sizes and hashes, the commit, the licence of the model card."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import msgspec

from edgellm.errors import IntegrityError

__all__ = ["HubFile", "HubRepository", "parse_repository"]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHA1 = re.compile(r"[0-9a-f]{40}")
_REPO_ID = re.compile(r"[\w.-]{1,96}(?:/[\w.-]{1,96})?")
_MOST_FILES = 100_000
_LONGEST_PATH = 1024
_LARGEST_FILE_BYTES = 2**46
_TEXT_LIMIT = 200


@dataclass(frozen=True)
class HubFile:
    """One file at one commit.

    ``path`` is relative with ``/``; ``sha256`` is None for a file that git keeps itself (small texts), whose
    ``git_sha1`` is the hash of ``b"blob <size>\\0"`` and its bytes; ``url`` is pinned to the commit.
    """

    path: str
    size_bytes: int
    sha256: str | None
    git_sha1: str | None
    url: str

    @property
    def key(self) -> str:
        """The hash that the bytes must have, in hex: sha256 where the hub knows it, else git's sha1."""
        return self.sha256 or self.git_sha1 or ""

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class HubRepository:
    """A repository at one commit. The texts come from its model card and are not checked by anybody."""

    repo_id: str
    revision: str  # the commit
    files: tuple[HubFile, ...]
    url: str  # of its page
    gated: bool = False
    private: bool = False
    license: str | None = None
    license_name: str | None = None
    license_link: str | None = None
    base_models: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def file(self, path: str) -> HubFile | None:
        """The file at ``path``."""
        return next((file for file in self.files if file.path == path), None)


class _Lfs(msgspec.Struct):
    size: int
    sha256: str


class _Sibling(msgspec.Struct):
    rfilename: str
    size: int | None = None
    blob_id: str | None = msgspec.field(default=None, name="blobId")
    lfs: _Lfs | None = None


class _Info(msgspec.Struct):
    id: str
    sha: str
    siblings: list[_Sibling] = []
    gated: bool | str = False
    private: bool = False
    card: Any = msgspec.field(default=None, name="cardData")
    tags: list[Any] = []


@dataclass
class _Card:
    data: dict[str, Any] = field(default_factory=dict)

    def text(self, name: str) -> str | None:
        found = self.texts(name)
        return ", ".join(found)[:_TEXT_LIMIT] or None

    def texts(self, name: str) -> tuple[str, ...]:
        value = self.data.get(name)
        values = value if isinstance(value, list) else [value]
        return tuple(_clean(item) for item in values[:20] if isinstance(item, str) and item)


def parse_repository(data: bytes, endpoint: str) -> HubRepository:
    """Read the hub's answer to ``/api/models/ID?blobs=true``. Raises IntegrityError for what cannot be one."""
    try:
        info = msgspec.json.decode(data, type=_Info)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _nonsense(endpoint, "is not the description of a repository") from error
    if not _REPO_ID.fullmatch(info.id) or ".." in info.id or not _SHA1.fullmatch(info.sha):
        raise _nonsense(endpoint, "has no valid name and commit")
    if len(info.siblings) > _MOST_FILES:
        raise _nonsense(endpoint, f"lists more than {_MOST_FILES} files")
    card = _Card(info.card if isinstance(info.card, dict) else {})
    files = tuple(_file(entry, info, endpoint) for entry in info.siblings)
    if len({file.path for file in files}) != len(files):
        raise _nonsense(endpoint, "lists a file twice")
    return HubRepository(
        repo_id=info.id,
        revision=info.sha,
        files=files,
        url=f"{endpoint}/{info.id}",
        gated=bool(info.gated),
        private=info.private,
        license=card.text("license"),
        license_name=card.text("license_name"),
        license_link=card.text("license_link"),
        base_models=card.texts("base_model"),
        tags=tuple(_clean(tag) for tag in info.tags[:200] if isinstance(tag, str)),
    )


def _file(entry: _Sibling, info: _Info, endpoint: str) -> HubFile:
    path = entry.rfilename
    parts = path.split("/")
    if not path.isprintable() or len(path) > _LONGEST_PATH or "\\" in path or any(p in ("", ".", "..") for p in parts):
        raise _nonsense(endpoint, f"lists a file with the path {path[:80]!r}")
    size = entry.lfs.size if entry.lfs else entry.size
    if size is None or not 0 <= size <= _LARGEST_FILE_BYTES:
        raise _nonsense(endpoint, f"gives no valid size for {path[:80]}")
    sha256 = entry.lfs.sha256 if entry.lfs else None
    sha1 = entry.blob_id
    if not (_SHA256.fullmatch(sha256) if sha256 is not None else sha1 is not None and _SHA1.fullmatch(sha1)):
        raise _nonsense(endpoint, f"gives no valid hash for {path[:80]}")
    url = f"{endpoint}/{info.id}/resolve/{info.sha}/{quote(path)}"
    git_sha1 = sha1 if sha1 is not None and _SHA1.fullmatch(sha1) else None
    return HubFile(path=path, size_bytes=size, sha256=sha256, git_sha1=git_sha1, url=url)


def _clean(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text[:_TEXT_LIMIT])


def _nonsense(endpoint: str, what: str) -> IntegrityError:
    return IntegrityError(
        f"the answer of {endpoint} {what}",
        hint="check that HF_ENDPOINT names a hub, and that no proxy or login page answers in its place",
    )
