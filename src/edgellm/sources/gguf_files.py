"""The GGUF models among the files of a repository: parts joined, quants read from the names, companions left out."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgellm.errors import NotFoundError, UsageError
from edgellm.sources.hub.repository import HubFile
from edgellm.units import format_bytes

__all__ = ["GGUFFile", "find_gguf_files", "main_model", "select_gguf"]

# What people call quants: llama.cpp's names, unsloth's UD- prefix, and the older spellings of floats.
_QUANT = re.compile(
    r"(?<![A-Za-z0-9])"
    r"((?:UD[-_])?(?:I?Q[1-8]_(?:K_(?:XXS|XS|S|M|L|XL|XXL)|K|[01](?:_[48]_[48])?|NL|XXS|XS|S|M|L|XL)|TQ[12]_0|MXFP4(?:_MOE)?|NVFP4"
    r"|BF16|F16|F32|FP16|FP32|Q[2-8]))"
    r"(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_PART = re.compile(r"-(\d{5})-of-(\d{5})$")
_COMPANION = re.compile(r"(?:^|[-._])(?:mmproj|imatrix|lora|adapter|vocab)(?:[-._]|$)", re.IGNORECASE)
_GONE = re.compile(r"Q4_0_[48]_[48]", re.IGNORECASE)  # rearranged for one processor; llama.cpp no longer loads them
_SPELLINGS = {"FP16": "F16", "FP32": "F32", "MXFP4_MOE": "MXFP4"}


@dataclass(frozen=True)
class GGUFFile:
    """One model as one GGUF file, or as the parts of one."""

    label: str  # "Q4_K_M", "UD-Q4_K_XL"; the file's name where that names no quant
    stem: str  # the model's name: the file's without quant, part and suffix
    parts: tuple[HubFile, ...]  # in order

    @property
    def size_bytes(self) -> int:
        """Bytes of all parts."""
        return sum(part.size_bytes for part in self.parts)

    @property
    def name(self) -> str:
        """The (first) file's name."""
        return self.parts[0].name

    @property
    def is_float(self) -> bool:
        """True for weights that were not quantized."""
        return self.label in ("F32", "F16", "BF16")


def find_gguf_files(files: Iterable[HubFile]) -> list[GGUFFile]:
    """The models among ``files``, the smallest first. An incomplete set of parts is left out."""
    sets: dict[tuple[str, int], dict[int, HubFile]] = defaultdict(dict)
    for file in files:
        if not file.path.lower().endswith(".gguf") or not file.size_bytes or _COMPANION.search(file.name[:-5]):
            continue
        base, number, count = file.path[:-5], 1, 1
        part = _PART.search(base)
        if part:
            base, number, count = base[: part.start()], int(part.group(1)), int(part.group(2))
        sets[base, count][number] = file
    found = []
    for (base, count), parts in sets.items():
        if sorted(parts) != list(range(1, count + 1)):
            continue
        label, stem = _read_name(base)
        if not _GONE.search(label):
            found.append(GGUFFile(label, stem, tuple(parts[number] for number in sorted(parts))))
    return sorted(found, key=lambda file: (file.size_bytes, file.parts[0].path))


def main_model(files: Sequence[GGUFFile], repo_id: str) -> list[GGUFFile]:
    """The quants of the one model that the repository is about, each label once.

    Raises UsageError when it holds several models and none of them has most of the files.
    """
    models: dict[str, list[GGUFFile]] = defaultdict(list)
    for file in files:
        models[file.stem.lower()].append(file)
    ranked = sorted(models.values(), key=len, reverse=True)
    if len(ranked) > 1 and len(ranked[0]) == len(ranked[1]):
        names = ", ".join(sorted(file.name for file in files)[:12])
        raise UsageError(
            f"{repo_id} holds several models: {names}", hint=f"say which one: {repo_id}:{ranked[0][0].name}"
        )
    by_label: dict[str, GGUFFile] = {}
    for file in ranked[0] if ranked else ():
        by_label.setdefault(file.label, file)
    return list(by_label.values())


def select_gguf(files: Sequence[GGUFFile], selector: str, repo_id: str) -> GGUFFile:
    """The model that ``OWNER/REPO:selector`` names: a quant or a file. Raises NotFoundError, UsageError."""
    if selector.lower().endswith(".gguf"):
        named = [file for file in files if any(selector in (part.path, part.name) for part in file.parts)]
    else:
        wanted = _label(selector)
        named = [file for file in files if file.label == wanted]
        named = named or [file for file in files if file.label == f"UD-{wanted}"]
    if not named:
        sizes = ", ".join(f"{file.label} ({format_bytes(file.size_bytes)})" for file in files[:30])
        raise NotFoundError(
            f"{repo_id} has no {selector[:80]!r}", hint=f"it has {sizes}" if files else "it has no GGUF files"
        )
    if len(named) > 1:
        names = [file.parts[0].path for file in named[:8]]
        raise UsageError(
            f"{repo_id} has {len(named)} files of {selector}: {', '.join(names)}",
            hint=f"say which one: {repo_id}:{names[0]}",
        )
    return named[0]


def _read_name(base: str) -> tuple[str, str]:
    """Label and stem of a path without its suffix; a folder may name the quant."""
    folder, _, name = base.rpartition("/")
    found = list(_QUANT.finditer(name))
    if found:
        last = found[-1]
        stem = (name[: last.start()] + name[last.end() :]).strip("-._") or folder.rpartition("/")[2] or name
        return _label(last.group(1)), stem
    in_folder = list(_QUANT.finditer(folder.rpartition("/")[2]))
    return (_label(in_folder[-1].group(1)) if in_folder else name), name


def _label(text: str) -> str:
    upper = text.upper().replace("UD_", "UD-")
    return _SPELLINGS.get(upper, upper)
