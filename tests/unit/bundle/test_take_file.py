"""A finished file becomes a blob without a copy where that can be, and stays until the caller removes it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from edgellm.bundle.folder_writer import layout_writer
from edgellm.bundle.tar_writer import tar_writer
from edgellm.bundle.writer import BundleWriter
from edgellm.errors import IntegrityError
from edgellm.store.store import Store

DATA = b"GGUF" + bytes(5000)
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"


def open_writer(target: str, root: Path) -> BundleWriter:
    if target == "store":
        return Store(root / "store", root / "state").writer()
    return layout_writer(root / "bundle") if target == "folder" else tar_writer(root / "bundle.tar")


@pytest.mark.parametrize("target", ["store", "folder", "tar"])
def test_the_blob_has_the_bytes_and_the_file_stays(tmp_path: Path, target: str) -> None:
    file = tmp_path / "download"
    file.write_bytes(DATA)
    with open_writer(target, tmp_path) as writer:
        blob = writer.take_file(file, DIGEST)
        assert (blob.digest, blob.size) == (DIGEST, len(DATA))
        with writer.readable(blob) as path:
            assert path.read_bytes() == DATA
            if target != "tar":
                assert path.samefile(file)
    assert file.read_bytes() == DATA


def test_without_links_the_bytes_are_copied_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_link(*_: object) -> None:
        raise PermissionError(1, "no links on this file system")

    monkeypatch.setattr(os, "link", no_link)
    file = tmp_path / "download"
    file.write_bytes(DATA)
    with open_writer("store", tmp_path) as writer:
        blob = writer.take_file(file, DIGEST)
        with writer.readable(blob) as path:
            assert not path.samefile(file)
        file.write_bytes(DATA[:-1] + b"x")
        with pytest.raises(IntegrityError):
            writer.take_file(file, DIGEST)
