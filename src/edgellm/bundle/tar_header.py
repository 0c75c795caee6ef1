"""The part of the tar format that a bundle needs: plain files and folders, POSIX ustar headers with large sizes.

Written by hand rather than with `tarfile`: a header must be patched once the digest of its blob is known, and a hostile
archive must neither allocate nor resolve anything.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgellm.errors import BundleError, UnsupportedError

__all__ = ["BLOCK_BYTES", "TarHeader", "padding_bytes", "parse_header", "tar_header"]

BLOCK_BYTES = 512
_OCTAL_LIMIT = 8**11
_NAME_BYTES = 100
_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a named pipe",
    b"7": "a contiguous file",
    b"K": "a long link name",
    b"L": "a long file name",
    b"S": "a sparse file",
}


@dataclass(frozen=True)
class TarHeader:
    """One parsed header. ``kind`` is ``file``, ``folder``, ``pax`` or ``global-pax``."""

    name: str
    kind: str
    size_bytes: int


def padding_bytes(size_bytes: int) -> int:
    """Zero bytes after the content of a member."""
    return -size_bytes % BLOCK_BYTES


def tar_header(name: str, size_bytes: int) -> bytes:
    """The header block of a regular file with constant owner, mode and time."""
    encoded = name.encode("ascii")
    if len(encoded) > _NAME_BYTES:
        raise UnsupportedError(f"{name!r} is too long for a tar header")
    # From 8 GiB on GNU's binary form, which every tar of today reads.
    binary = b"\x80" + size_bytes.to_bytes(11, "big")
    size = b"%011o\0" % size_bytes if size_bytes < _OCTAL_LIMIT else binary
    fields = (
        encoded.ljust(_NAME_BYTES, b"\0"),
        b"0000644\0",  # mode
        b"0000000\0",  # uid
        b"0000000\0",  # gid
        size,
        b"00000000000\0",  # mtime
        b" " * 8,  # checksum, patched below
        b"0",  # a regular file
        b"\0" * 100,  # link target
        b"ustar\x0000",
        b"\0" * 247,  # owner names, device numbers, name prefix, unused
    )
    block = bytearray(b"".join(fields))
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def parse_header(block: bytes, where: str) -> TarHeader | None:
    """Read one header block; None when it is all zeros, the mark of the archive's end. Raises BundleError."""
    if not any(block):
        return None
    if sum(block) - sum(block[148:156]) + 8 * 32 != _number(block[148:156], where):
        raise BundleError(f"{where} has a member header with a wrong checksum: it is torn or not a tar archive")
    name = block[:100].split(b"\0", 1)[0]
    if block[257:263] == b"ustar\0" and block[345] != 0:
        name = block[345:500].split(b"\0", 1)[0] + b"/" + name
    shown = repr(name.decode("utf-8", "replace"))
    flag = block[156:157]
    size_bytes = _number(block[124:136], where)
    if flag in (b"0", b"\0"):
        kind = "file"
    elif flag == b"5":
        kind, size_bytes = "folder", 0
    elif flag in (b"x", b"g"):
        kind = "pax" if flag == b"x" else "global-pax"
    else:
        raise BundleError(
            f"{where} has the member {shown}, which is {_KINDS.get(flag, 'of an unknown kind')}",
            hint="a bundle has plain files only; make the archive with: tar -C FOLDER -cf FILE.tar .",
        )
    try:
        return TarHeader(name.decode("ascii"), kind, size_bytes)
    except UnicodeDecodeError as error:
        raise BundleError(f"{where} has the member {shown}, which is no part of a bundle") from error


def _number(field: bytes, where: str) -> int:
    """An octal number, or a binary one when the first bit is set. Raises BundleError."""
    if field[0] & 0x80:
        value = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
        if field[0] & 0x40 or value >= 2**62:
            raise BundleError(f"{where} has a member with an impossible size")
        return value
    digits = field.strip(b" \0")
    if not digits:
        return 0
    if any(digit not in b"01234567" for digit in digits):
        raise BundleError(f"{where} has a member header that is not valid: it is torn or not a tar archive")
    return int(digits, 8)
