"""Uploaded files under the names that an order gives them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from edgellm.server.jobs.commands import linked_model


@pytest.fixture
def blobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Uploaded files on another disk than the jobs."""

    def refuse(*_arguments: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    folder = tmp_path / "blobs"
    folder.mkdir()
    (folder / "model").write_bytes(b"GGUF and gigabytes")
    (folder / "text").write_bytes(b"{}")
    return folder


@pytest.mark.parametrize(
    ("files", "linked"),
    [
        ({"model": "model"}, {"model"}),
        ({"any": "text"}, {"any"}),
        ({"m-00001-of-00002.gguf": "model", "m-00002-of-00002.GGUF": "model"}, {"all"}),
        ({"weights.bin": "model", "config.json": "text"}, {"weights.bin"}),
        ({"model.safetensors": "text", "config.json": "text"}, set()),
    ],
)
def test_models_in_one_file_are_not_copied_from_another_disk(
    blobs: Path, tmp_path: Path, files: dict[str, str], linked: set[str]
) -> None:
    folder = tmp_path / "job"
    linked_model(files, "", folder, lambda digest: blobs / digest)
    for name, digest in files.items():
        path = folder / "model" / name
        assert path.read_bytes() == (blobs / digest).read_bytes()
        assert path.is_symlink() == (name in linked or linked == {"all"})
