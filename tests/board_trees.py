"""Expands the recorded boards of tests/data/boards into folders; the format is in its README."""

from __future__ import annotations

import re
from pathlib import Path

BOARDS = Path(__file__).parent / "data" / "boards"


def board_tree(name: str, folder: Path) -> Path:
    """Write the files of the board ``name`` below ``folder`` and return it."""
    lines = (BOARDS / name).read_text(encoding="utf-8").splitlines()
    index = 0
    while index < len(lines):
        line = lines[index]
        index += 1
        if line.startswith("@include "):
            board_tree(line.split()[1], folder)
        elif " -> " in line:
            path, _arrow, target = line.partition(" -> ")
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).symlink_to(target)
        elif line and not line.startswith("#"):
            path, _colon, text = re.fullmatch(r"(\S+?)(:(?= |$)) ?(.*)", line).groups()  # type: ignore[union-attr]
            block = re.fullmatch(r"\|(?: x(\d+))?", text)
            if block:
                start = index
                while index < len(lines) and lines[index].startswith("  "):
                    index += 1
                body = "".join(inner[2:] + "\n" for inner in lines[start:index])
                text = "".join(body.replace("{n}", str(n)) for n in range(int(block.group(1) or 1)))
            else:
                text = text.replace("\\0", "\0") if "\\0" in text else text + "\n"
            _write(folder, path, text)
    return folder


def _write(folder: Path, path: str, text: str) -> None:
    found = re.search(r"\[(\d+)-(\d+)\]", path)
    if found is None:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        return
    for n in range(int(found.group(1)), int(found.group(2)) + 1):
        _write(folder, path.replace(found.group(0), str(n), 1), text.replace("{n}", str(n)))


def write_tree(root: Path, files: dict[str, str]) -> Path:
    """Write ``files`` (path -> text) below ``root`` and return it."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root
