"""Trees that lie, overflow or hold nothing: a profile or a clear error, never a crash and never another device."""

from __future__ import annotations

from pathlib import Path

import pytest

from board_trees import board_tree
from edgellm.devices.detect import detect_device
from edgellm.devices.health import read_health
from edgellm.errors import UnsupportedError

GARBAGE = bytes(range(256)) * 40


def files_of(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())


@pytest.mark.parametrize("board", ["raspberrypi5", "jetson-orin-nano-super", "intel-n100", "container-v1"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 4096,
        GARBAGE,
        b"9" * 5000,
        b"-1\n",
        b"a" * 20000,
        b": - : -\n" * 500,
        b"0::/" + b"a" * 9000,
        "²³".encode(),
    ],
)
def test_any_file_may_hold_anything(board: str, content: bytes, tmp_path: Path) -> None:
    root = board_tree(board, tmp_path)
    named = detect_device(root).profile.id
    for path in files_of(root):
        before = path.read_bytes()
        path.write_bytes(content)
        try:
            found = detect_device(root)
        except UnsupportedError:
            assert path.name in ("meminfo", "cpuinfo")
        else:
            allowed = {named, "local", "jetson-orin-nano", "jetson-orin-nano-super"}
            assert found.profile.id in (allowed if "jetson" in board else {named, "local"})
            assert 1 <= found.profile.threads <= 1024
            assert found.profile.memory.size_bytes >= 16 << 20
            read_health(root)
        path.write_bytes(before)


def test_any_file_may_be_missing_or_a_folder(tmp_path: Path) -> None:
    root = board_tree("raspberrypi5", tmp_path)
    for path in files_of(root):
        before = path.read_bytes()
        path.unlink()
        for made in (False, True):
            if made:
                path.mkdir()
            if path.name == "meminfo":
                with pytest.raises(UnsupportedError, match="meminfo"):
                    detect_device(root, machine="aarch64")
            else:
                assert detect_device(root, machine="aarch64").profile.id in ("raspberrypi5", "local")
        path.rmdir()
        path.write_bytes(before)


def test_a_huge_file_is_read_to_a_limit(tmp_path: Path) -> None:
    root = board_tree("raspberrypi5", tmp_path)
    for name in ("proc/device-tree/compatible", "proc/self/mountinfo", "sys/block/mmcblk0/device/name"):
        with (root / name).open("r+b") as file:
            file.truncate(1 << 40)
    found = detect_device(root)
    assert found.profile.id == "raspberrypi5"
    assert len(found.board.compatible) <= 32


def test_names_cannot_steer_a_terminal(tmp_path: Path) -> None:
    root = board_tree("raspberrypi5", tmp_path)
    (root / "proc/device-tree/model").write_bytes(b"\x1b]0;owned\x07Board\n\0")
    assert detect_device(root).board.model.isprintable()


def test_an_empty_tree_is_refused_clearly(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="meminfo") as caught:
        detect_device(tmp_path, machine="x86_64")
    assert "devices list" in (caught.value.hint or "")
