"""One walk over the members of an archive, whether it lies in a file or comes through a pipe."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from edgellm.bundle.index import LAYOUT_FILE
from edgellm.bundle.tar_header import BLOCK_BYTES, TarHeader, padding_bytes, parse_header
from edgellm.errors import BundleError, UnsupportedError

__all__ = ["BLOB_MEMBER", "TarMember", "TarSource", "walk_tar"]

BLOB_MEMBER = re.compile(r"blobs/sha256/([0-9a-f]{64})")
_FOLDERS = {"", ".", "blobs", "blobs/sha256"}
_FILES = {LAYOUT_FILE, "index.json"}
_MEMBER_LIMIT = 10_000
_PAX_LIMIT_BYTES = 64 << 10
_TAIL_LIMIT_BYTES = 1 << 20  # zeros behind the end, to fill a tape block
_COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}


class TarSource(Protocol):
    """Where the bytes of an archive come from, in their order."""

    @property
    def where(self) -> str:
        """The path, for messages."""

    @property
    def position(self) -> int:
        """Bytes that were read or skipped."""

    def read(self, size_bytes: int) -> bytes:
        """The next bytes; fewer only where the archive ends."""

    def skip(self, size_bytes: int) -> None:
        """Pass over the next bytes. Raises BundleError when they are not there."""


@dataclass(frozen=True)
class TarMember:
    """One plain file: its name (without ``./``), its size, and where its content begins."""

    name: str
    size_bytes: int
    offset: int

    @property
    def digest(self) -> str | None:
        """The digest that its name claims, None for what is no blob."""
        match = BLOB_MEMBER.fullmatch(self.name)
        return f"sha256:{match.group(1)}" if match else None


def walk_tar(source: TarSource) -> Iterator[TarMember]:
    """Every plain file; the caller may read its content from ``source`` or leave that to the walk.

    Whatever belongs to no bundle is refused: links, devices, sparse or unknown or duplicate members, a wrong end.
    Raises BundleError, UnsupportedError for a compressed archive.
    """
    seen: set[str] = set()
    pax: dict[str, str] = {}
    for number in range(_MEMBER_LIMIT):
        header = _next_header(source, is_first=number == 0)
        if header is None:
            _refuse_trailing_bytes(source)
            return
        if header.kind in ("pax", "global-pax"):
            records = _pax_records(source, header)
            pax = records if header.kind == "pax" else pax
            continue
        member = _member(source, header, pax)
        pax = {}
        end = source.position + member.size_bytes + padding_bytes(member.size_bytes)
        if header.kind == "file":
            if member.name in seen:
                raise BundleError(f"{source.where} has the member {member.name} twice")
            seen.add(member.name)
            yield member
        source.skip(end - source.position)
    raise BundleError(f"{source.where} has more than {_MEMBER_LIMIT} members")


def _next_header(source: TarSource, *, is_first: bool) -> TarHeader | None:
    block = source.read(BLOCK_BYTES)
    if is_first:
        _refuse_other_files(block, source.where)
    if len(block) < BLOCK_BYTES:
        raise BundleError(f"{source.where} ends in the middle: it is torn or not a tar archive")
    return parse_header(block, source.where)


def _refuse_other_files(start: bytes, where: str) -> None:
    if not start:
        raise BundleError(f"{where} is empty", hint="whatever should have written it says why it did not")
    for magic, method in _COMPRESSED.items():
        if start.startswith(magic):
            raise UnsupportedError(
                f"{where} is compressed with {method}; a bundle's tar file is not compressed",
                hint="decompress it first: weights hardly shrink, and are read where they lie",
            )


def _member(source: TarSource, header: TarHeader, pax: dict[str, str]) -> TarMember:
    name = pax.get("path", header.name)
    size_text = pax.get("size", str(header.size_bytes))
    if not size_text.isascii() or not size_text.isdecimal() or len(size_text) > 18:
        raise BundleError(f"{source.where} has a member with an impossible size")
    size_bytes = int(size_text) if header.kind == "file" else 0
    plain = name.removeprefix("./").rstrip("/") if header.kind == "folder" else name.removeprefix("./")
    known = plain in _FOLDERS if header.kind == "folder" else plain in _FILES or bool(BLOB_MEMBER.fullmatch(plain))
    if not known:
        raise BundleError(
            f"{source.where} has the member {name[:120]!r}, which is no part of a bundle",
            hint="make the archive from inside the folder: tar -C FOLDER -cf FILE.tar .",
        )
    return TarMember(plain, size_bytes, source.position)


def _pax_records(source: TarSource, header: TarHeader) -> dict[str, str]:
    """The records of an extended header (POSIX pax): ``<length> <key>=<value>\\n``."""
    if header.size_bytes > _PAX_LIMIT_BYTES:
        raise BundleError(f"{source.where} has an extended header of {header.size_bytes} bytes")
    data = source.read(header.size_bytes)
    source.skip(padding_bytes(header.size_bytes))
    records: dict[str, str] = {}
    while data:
        length_text, _, _ = data.partition(b" ")
        length = int(length_text) if length_text.isdigit() and len(length_text) < 6 else 0
        record = data[len(length_text) + 1 : length]
        key, equals, value = record.removesuffix(b"\n").partition(b"=")
        if not equals or length > len(data) or not record.endswith(b"\n"):
            raise BundleError(f"{source.where} has an extended header that is not valid")
        if key.startswith(b"GNU.sparse") or key == b"linkpath" or (header.kind == "global-pax" and key == b"size"):
            raise BundleError(f"{source.where} has a sparse or linked member; a bundle has plain files only")
        records[key.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
        data = data[length:]
    return records


def _refuse_trailing_bytes(source: TarSource) -> None:
    """Behind the end there are zeros only."""
    tail = source.read(_TAIL_LIMIT_BYTES + 1)
    if not BLOCK_BYTES <= len(tail) <= _TAIL_LIMIT_BYTES or any(tail):
        raise BundleError(f"{source.where} does not end as a tar archive does: it is torn or hides something")
