"""Damage is found: any byte of any part, wherever it is flipped."""

from __future__ import annotations

import contextlib
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundle_parts import gguf_bytes, write_bundle
from edgellm.bundle.contained import read_single_bundle
from edgellm.bundle.folder_writer import layout_writer
from edgellm.bundle.layout import open_layout
from edgellm.bundle.tar_writer import tar_writer
from edgellm.bundle.verify import verify_layout
from edgellm.errors import BundleError, EdgeLLMError, Interrupted, UnsupportedError
from edgellm.progress import CancelToken


def flips(path: Path, every: int) -> Iterator[int]:
    """Flip one bit of every ``every``-th byte in turn; the byte is put back afterwards."""
    path.chmod(0o644)
    whole = path.read_bytes()
    generator = random.Random(path.name)
    for position in range(0, len(whole), every):
        with path.open("r+b") as file:
            file.seek(position)
            file.write(bytes([whole[position] ^ (1 << generator.randrange(8))]))
        yield position
        with path.open("r+b") as file:
            file.seek(position)
            file.write(whole[position : position + 1])


def damage_found(path: Path) -> bool:
    try:
        return bool(verify_layout(open_layout(path)).findings)
    except EdgeLLMError:
        return True


def test_a_flipped_byte_is_found_in_every_file_of_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    with layout_writer(folder) as writer:
        write_bundle(writer, weights=gguf_bytes(0, 1024))
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) == 7
    for path in files:
        for position in flips(path, 1):
            assert damage_found(folder), f"{path.name} at {position}"
    assert not damage_found(folder)


def test_a_flipped_byte_of_an_archive_is_found_or_means_nothing(tmp_path: Path) -> None:
    archive = tmp_path / "b.tar"
    with tar_writer(archive) as writer:
        write_bundle(writer, weights=gguf_bytes(0, 1024))
    good = read_single_bundle(open_layout(archive))
    for position in flips(archive, 3):
        try:
            same = read_single_bundle(open_layout(archive)) == good
        except EdgeLLMError:
            continue
        assert same or damage_found(archive), position


def test_the_report_counts_what_was_read_and_names_the_bundle(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    with layout_writer(folder) as writer:
        write_bundle(writer)
    report = verify_layout(open_layout(folder))
    assert (report.bundles, report.blobs, report.error()) == (1, 5, None)
    largest = max((folder / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    next(flips(largest, 1))
    error = verify_layout(open_layout(folder)).error()
    assert isinstance(error, BundleError)
    assert error.exit_code == 5
    assert "tiny:raspberrypi5-q4_k_m" in error.message
    assert largest.name[:12] in error.message


def test_verify_stops_when_asked(tmp_path: Path) -> None:
    with layout_writer(tmp_path / "bundle") as writer:
        write_bundle(writer)
    token = CancelToken()
    token.cancel()
    with pytest.raises(Interrupted):
        verify_layout(open_layout(tmp_path / "bundle"), cancel=token)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of one small bundle."""
    folder = tmp_path_factory.mktemp("parts") / "bundle"
    with layout_writer(folder) as writer:
        write_bundle(writer, weights=gguf_bytes(0, 64))
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def archive_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """One small archive."""
    path = tmp_path_factory.mktemp("parts") / "b.tar"
    with tar_writer(path) as writer:
        write_bundle(writer, weights=gguf_bytes(0, 64))
    return path.read_bytes()


def read_or_refuse(path: Path) -> None:
    with contextlib.suppress(BundleError, UnsupportedError):
        verify_layout(open_layout(path))
    with contextlib.suppress(BundleError, UnsupportedError):
        read_single_bundle(open_layout(path))


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_a_mutated_layout_is_read_or_refused_cleanly(parts: dict[str, bytes], data: st.DataObject) -> None:
    mutated = dict(parts)
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(sorted(mutated)))
        content = mutated[name]
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, min(len(content), start + 40)))
        mutated[name] = content[:start] + data.draw(st.binary(max_size=20)) + content[end:]
        if data.draw(st.integers(0, 9)) == 0:
            del mutated[name]
    with tempfile.TemporaryDirectory() as folder:
        for name, content in mutated.items():
            (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / name).write_bytes(content)
        read_or_refuse(Path(folder))


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_a_mutated_archive_is_read_or_refused_cleanly(archive_bytes: bytes, data: st.DataObject) -> None:
    content = bytearray(archive_bytes)
    for _ in range(data.draw(st.integers(1, 4))):
        header = data.draw(st.integers(0, len(content) // 512 - 1)) * 512
        start = header + data.draw(st.integers(0, 511))
        piece = data.draw(st.binary(min_size=1, max_size=16))
        content[start : start + len(piece)] = piece
        if data.draw(st.booleans()) and len(content) >= header + 512:
            checksum = sum(content[header : header + 148]) + 256 + sum(content[header + 156 : header + 512])
            content[header + 148 : header + 156] = b"%06o\0 " % checksum
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "b.tar").write_bytes(content)
        read_or_refuse(Path(folder) / "b.tar")
