"""Archives that are torn, lying or hostile."""

from __future__ import annotations

import gzip
import os
import tarfile
from pathlib import Path

import pytest

from bundle_parts import write_bundle
from edgellm.bundle.contained import read_single_bundle
from edgellm.bundle.layout import open_layout
from edgellm.bundle.opened import open_bundle
from edgellm.bundle.tar_header import parse_header, tar_header
from edgellm.bundle.tar_writer import tar_writer
from edgellm.errors import BundleError, NotFoundError, UnsupportedError, UsageError
from hostile_bundles import LYING_PAX, SPECIAL_KINDS, UNKNOWN_BLOB, UNKNOWN_MEMBERS, append_member


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    with tar_writer(tmp_path / "b.tar") as writer:
        write_bundle(writer)
    return tmp_path / "b.tar"


@pytest.mark.parametrize("kind", SPECIAL_KINDS)
def test_members_that_are_no_plain_files_are_refused(archive: Path, kind: bytes) -> None:
    member = tarfile.TarInfo(UNKNOWN_BLOB)
    member.type, member.linkname = kind, "/etc/passwd"
    append_member(archive, member)
    with pytest.raises(BundleError):
        open_layout(archive)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", UNKNOWN_MEMBERS)
def test_members_outside_the_layout_are_refused(archive: Path, name: str, form: int) -> None:
    append_member(archive, tarfile.TarInfo(name), b"x", form)
    with pytest.raises(BundleError):
        open_layout(archive)


def test_a_member_that_is_there_twice_is_refused(archive: Path) -> None:
    append_member(archive, tarfile.TarInfo("./index.json"), b"{}")
    with pytest.raises(BundleError, match="twice"):
        open_layout(archive)


def test_a_blob_that_no_manifest_lists_is_refused(archive: Path) -> None:
    append_member(archive, tarfile.TarInfo(UNKNOWN_BLOB), b"stowaway")
    with pytest.raises(BundleError, match="does not list"):
        read_single_bundle(open_layout(archive))


@pytest.mark.parametrize("pax", LYING_PAX)
def test_extended_headers_that_change_what_a_member_is_are_refused(archive: Path, pax: dict[str, str]) -> None:
    member = tarfile.TarInfo(UNKNOWN_BLOB)
    member.pax_headers = pax
    append_member(archive, member, b"x", tarfile.PAX_FORMAT)
    with pytest.raises(BundleError):
        open_layout(archive)


def test_a_member_larger_than_the_archive_is_refused(archive: Path) -> None:
    data = bytearray(archive.read_bytes())
    for size_bytes in (1 << 20, 1 << 45):
        data[:512] = tar_header(UNKNOWN_BLOB, size_bytes)
        archive.write_bytes(data)
        with pytest.raises(BundleError, match="more than the archive has"):
            open_layout(archive)


def test_an_archive_torn_anywhere_is_refused(archive: Path) -> None:
    whole = archive.read_bytes()
    for end in range(0, len(whole), 256):
        archive.write_bytes(whole[:end])
        with pytest.raises((BundleError, UnsupportedError)):
            read_single_bundle(open_layout(archive))


def test_bytes_behind_the_end_are_refused(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes() + b"x" * 512)
    with pytest.raises(BundleError, match="hides"):
        open_layout(archive)
    os.truncate(archive, 1 << 40)
    with pytest.raises(BundleError):
        open_layout(archive)


def test_a_compressed_archive_says_so(archive: Path) -> None:
    archive.write_bytes(gzip.compress(archive.read_bytes()))
    with pytest.raises(UnsupportedError, match="gzip"):
        open_layout(archive)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + bytes(range(256)) * 8)
    with pytest.raises(BundleError):
        open_layout(tmp_path / "model.gguf")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BundleError):
        open_layout(tmp_path / "pipe")
    with pytest.raises(NotFoundError):
        open_layout(tmp_path / "missing")


def test_a_model_is_not_loaded_from_an_archive(archive: Path) -> None:
    with pytest.raises(UsageError) as caught:
        open_bundle(archive)
    assert "tar -C" in str(caught.value.hint)


@pytest.mark.parametrize("size_bytes", [0, 1, 8**11 - 1, 8**11, 1 << 50])
def test_headers_hold_any_size(size_bytes: int) -> None:
    block = tar_header(UNKNOWN_BLOB, size_bytes)
    header = parse_header(block, "x")
    assert header is not None
    assert (header.name, header.size_bytes) == (UNKNOWN_BLOB, size_bytes)
    assert tarfile.TarInfo.frombuf(block, "ascii", "strict").size == size_bytes
