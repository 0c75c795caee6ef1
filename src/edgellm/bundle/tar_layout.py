"""A layout in an uncompressed tar file, read where it lies: nothing is unpacked."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

from edgellm.bundle.digest import digest_hex
from edgellm.bundle.folder_layout import open_plain
from edgellm.bundle.index import LAYOUT_FILE
from edgellm.bundle.tar_header import BLOCK_BYTES, TarHeader, padding_bytes, parse_header
from edgellm.errors import BundleError, UnsupportedError
from edgellm.files import os_errors

__all__ = ["TarLayout"]

_BLOB = re.compile(r"blobs/sha256/([0-9a-f]{64})")
_FOLDERS = {"", ".", "blobs", "blobs/sha256"}
_FILES = {LAYOUT_FILE, "index.json"}
_MEMBER_LIMIT = 10_000
_PAX_LIMIT_BYTES = 64 << 10
_COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}


class TarLayout:
    """Knows offset and size of every member. The whole archive is checked on opening; contents are not read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with open_plain(path) as file, os_errors(f"read {path}"):
            self._members = _Scan(file, str(path)).members()

    @property
    def where(self) -> str:
        """See Layout."""
        return str(self._path)

    def read_file(self, name: str, limit_bytes: int) -> bytes:
        """See Layout."""
        if name not in self._members:
            raise BundleError(f"{self._path} is not a bundle: it has no {name}")
        offset, size_bytes = self._members[name]
        if size_bytes > limit_bytes:
            raise BundleError(f"{self._path}: {name} has {size_bytes} bytes; more than {limit_bytes} are not accepted")
        with open_plain(self._path) as file, os_errors(f"read {self._path}"):
            return os.pread(file.fileno(), size_bytes, offset)

    def blob_size(self, digest: str) -> int | None:
        """See Layout."""
        member = self._members.get(f"blobs/sha256/{digest_hex(digest)}")
        return None if member is None else member[1]

    def open_blob(self, digest: str) -> io.FileIO:
        """See Layout."""
        file = open_plain(self._path)
        file.seek(self._members[f"blobs/sha256/{digest_hex(digest)}"][0])
        return file

    def blob_digests(self) -> set[str]:
        """See Layout."""
        return {f"sha256:{match.group(1)}" for match in map(_BLOB.fullmatch, self._members) if match}


class _Scan:
    """One walk over the headers of an archive."""

    def __init__(self, file: io.FileIO, where: str) -> None:
        self._fd = file.fileno()
        self._where = where
        self._file_bytes = os.fstat(self._fd).st_size
        self._offset = 0
        self._found: dict[str, tuple[int, int]] = {}

    def members(self) -> dict[str, tuple[int, int]]:
        """Name -> (offset, size) of every plain file. Raises BundleError, UnsupportedError."""
        self._refuse_compressed()
        pax: dict[str, str] = {}
        for _ in range(_MEMBER_LIMIT):
            header = self._next_header()
            if header is None:
                self._refuse_trailing_bytes()
                return self._found
            if header.kind in ("pax", "global-pax"):
                records = self._pax_records(header)
                pax = records if header.kind == "pax" else pax
            else:
                self._add(header, pax)
                pax = {}
        raise BundleError(f"{self._where} has more than {_MEMBER_LIMIT} members")

    def _next_header(self) -> TarHeader | None:
        block = os.pread(self._fd, BLOCK_BYTES, self._offset)
        if len(block) < BLOCK_BYTES:
            raise BundleError(f"{self._where} ends in the middle: it is torn or not a tar archive")
        self._offset += BLOCK_BYTES
        return parse_header(block, self._where)

    def _add(self, header: TarHeader, pax: dict[str, str]) -> None:
        name = pax.get("path", header.name)
        size_text = pax.get("size", str(header.size_bytes))
        if not size_text.isascii() or not size_text.isdecimal() or len(size_text) > 18:
            raise BundleError(f"{self._where} has a member with an impossible size")
        size_bytes = int(size_text) if header.kind == "file" else 0
        plain = name.removeprefix("./").rstrip("/") if header.kind == "folder" else name.removeprefix("./")
        known = plain in _FOLDERS if header.kind == "folder" else plain in _FILES or bool(_BLOB.fullmatch(plain))
        if not known:
            raise BundleError(
                f"{self._where} has the member {name[:120]!a}, which is no part of a bundle",
                hint="make the archive from inside the folder: tar -C FOLDER -cf FILE.tar .",
            )
        if header.kind == "file":
            if plain in self._found:
                raise BundleError(f"{self._where} has the member {plain} twice")
            self._found[plain] = (self._offset, size_bytes)
        self._skip(size_bytes, plain)

    def _skip(self, size_bytes: int, name: str) -> None:
        if size_bytes > self._file_bytes - self._offset:
            raise BundleError(f"{self._where}: {name} claims {size_bytes} bytes, more than the archive has")
        self._offset += size_bytes + padding_bytes(size_bytes)

    def _pax_records(self, header: TarHeader) -> dict[str, str]:
        """The records of an extended header (POSIX pax): ``<length> <key>=<value>\\n``."""
        if header.size_bytes > _PAX_LIMIT_BYTES:
            raise BundleError(f"{self._where} has an extended header of {header.size_bytes} bytes")
        data = os.pread(self._fd, header.size_bytes, self._offset)
        self._skip(header.size_bytes, "an extended header")
        records: dict[str, str] = {}
        while data:
            length_text, _, _ = data.partition(b" ")
            length = int(length_text) if length_text.isdigit() and len(length_text) < 6 else 0
            record = data[len(length_text) + 1 : length]
            key, equals, value = record.removesuffix(b"\n").partition(b"=")
            if not equals or length > len(data) or not record.endswith(b"\n"):
                raise BundleError(f"{self._where} has an extended header that is not valid")
            if key.startswith(b"GNU.sparse") or key == b"linkpath" or (header.kind == "global-pax" and key == b"size"):
                raise BundleError(f"{self._where} has a sparse or linked member; a bundle has plain files only")
            records[key.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
            data = data[length:]
        return records

    def _refuse_compressed(self) -> None:
        start = os.pread(self._fd, 6, 0)
        for magic, method in _COMPRESSED.items():
            if start.startswith(magic):
                raise UnsupportedError(
                    f"{self._where} is compressed with {method}; a bundle's tar file is not compressed",
                    hint="decompress it first: weights hardly shrink, and are read where they lie",
                )

    def _refuse_trailing_bytes(self) -> None:
        """Behind the end there are zeros only, to fill a tape block."""
        left = self._file_bytes - self._offset
        if left < BLOCK_BYTES or left > 1 << 20 or any(os.pread(self._fd, left, self._offset)):
            raise BundleError(f"{self._where} does not end as a tar archive does: it is torn or hides something")
