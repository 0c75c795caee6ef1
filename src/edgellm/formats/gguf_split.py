"""A model as one GGUF file or as the parts of a split one, read as a whole.

llama-gguf-split names the parts ``NAME-00001-of-00003.gguf``. The first one has the metadata, every one has
``split.no``, ``split.count``, ``split.tensors.count`` and its own tensors; a tensor is never cut.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgellm.errors import ModelFileError, NotFoundError, UnsupportedError, UsageError
from edgellm.files import os_errors
from edgellm.formats.gguf import N_TENSORS_LIMIT, GGUFHeader, TensorEntry, read_header

__all__ = ["GGUFModel", "find_parts", "model_name", "read_model"]

PARTS_LIMIT = 512
_NAME = re.compile(r"(.+)-([0-9]{5})-of-([0-9]{5})\.gguf", re.DOTALL)
_AGAIN = "download all parts again, from one place, into one folder"


@dataclass(frozen=True)
class GGUFModel:
    """A model's files in order, one or several, and their headers.

    ``header`` is that of the whole: the first part's without ``split.*``, the tensors of all parts in order (``part``
    says which file holds one), ``file_bytes`` of all files together. Of a single file it is its own.
    """

    paths: tuple[Path, ...]
    headers: tuple[GGUFHeader, ...]
    header: GGUFHeader

    @property
    def is_split(self) -> bool:
        """True when there are several files."""
        return len(self.paths) > 1


def model_name(name: str) -> str:
    """The name of the model in the file ``name``: without its suffix and the number of its part."""
    part = _part_of(name)
    return part[0] if part else name.removesuffix(".gguf")


def find_parts(path: Path) -> tuple[Path, ...]:
    """All parts, in order, of the split model that ``path`` is a part of by its name; else ``path`` alone.

    Raises NotFoundError for parts that are not in the same folder, UsageError for more parts than are read.
    """
    part = _part_of(path.name)
    if part is None:
        return (path,)
    stem, _, count = part
    if count > PARTS_LIMIT:
        raise UsageError(
            f"{path} is one of {count} parts by its name; at most {PARTS_LIMIT} are read",
            hint="split the model into larger parts, or rename the file if it is a whole model",
        )
    parts = tuple(path.with_name(f"{stem}-{number:05d}-of-{count:05d}.gguf") for number in range(1, count + 1))
    with os_errors(f"look for the parts of {path}"):
        missing = [file for file in parts if not file.is_file()]
    if missing:
        names = ", ".join(file.name for file in missing[:4]) + (", ..." if len(missing) > 4 else "")
        raise NotFoundError(
            f"{len(missing)} of the {count} parts of {stem} not found in {path.parent}: {names}",
            hint="download the missing ones into the same folder",
        )
    return parts


def read_model(paths: Sequence[Path], *, skip_arrays: bool = False) -> GGUFModel:
    """Read the headers of ``paths``: one GGUF file, or all parts of a split one in order, whatever they are called.

    ``skip_arrays`` as in ``read_header``. Raises ModelFileError for parts that do not belong together and for what
    ``read_header`` refuses, UnsupportedError for a single part.
    """
    first = read_header(paths[0], skip_arrays=skip_arrays)
    if len(paths) == 1:
        _refuse_single_part(paths[0], first)
        return GGUFModel((paths[0],), (first,), first)
    if len(paths) > PARTS_LIMIT:
        raise UsageError(f"a split model of {len(paths)} parts: at most {PARTS_LIMIT} are read")
    headers: list[GGUFHeader] = []
    tensors: dict[str, TensorEntry] = {}
    for index, path in enumerate(paths):
        header = read_header(path, skip_arrays=True) if index else first
        _check_part(path, header, index, len(paths), paths[0], first)
        if len(tensors) + len(header.tensors) > N_TENSORS_LIMIT:
            raise ModelFileError(f"the parts up to {path} hold more than {N_TENSORS_LIMIT} tensors", hint=_AGAIN)
        for tensor in header.tensors:
            if tensor.name in tensors:
                other = paths[tensors[tensor.name].part]
                raise ModelFileError(f"the tensor {tensor.name!r} is in {other} and again in {path}", hint=_AGAIN)
            tensors[tensor.name] = replace(tensor, part=index)
        headers.append(header)
    expected = first.metadata["split.tensors.count"]
    if len(tensors) != expected:
        raise ModelFileError(
            f"the {len(paths)} parts of {paths[0]} hold {len(tensors)} tensors, the model has {expected}", hint=_AGAIN
        )
    return GGUFModel(tuple(paths), tuple(headers), _whole(headers, tuple(tensors.values())))


def _part_of(name: str) -> tuple[str, int, int] | None:
    """Stem, number and count by the name of a file; None when it does not name a part."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    number, count = int(match[2]), int(match[3])
    return (match[1], number, count) if 1 <= number <= count else None


def _refuse_single_part(path: Path, header: GGUFHeader) -> None:
    count = header.metadata.get("split.count", 0)
    if isinstance(count, int) and count > 1:
        raise UnsupportedError(
            f"{path} is one of {count} parts of a model, and its name does not say which",
            hint=f"name the parts NAME-00001-of-{count:05d}.gguf and so on, all in one folder, and give the first one",
        )


def _check_part(path: Path, header: GGUFHeader, index: int, count: int, first_path: Path, first: GGUFHeader) -> None:
    said: list[Any] = [header.metadata.get(key) for key in ("split.no", "split.count", "split.tensors.count")]
    if not all(type(value) is int for value in said):
        raise ModelFileError(
            f"{path} does not say which part of a split model it is",
            hint="rename it if it is a whole model; else download all parts again",
        )
    if said[1] != count:
        raise ModelFileError(f"{path} says that its model has {said[1]} parts; {count} are there", hint=_AGAIN)
    if said[0] != index:
        raise ModelFileError(f"{path} says that it is part {said[0] + 1}; it should be part {index + 1}", hint=_AGAIN)
    architecture = header.architecture or first.architecture
    if said[2] != first.metadata["split.tensors.count"] or architecture != first.architecture:
        raise ModelFileError(f"{path} belongs to another model than {first_path}", hint=_AGAIN)


def _whole(headers: Sequence[GGUFHeader], tensors: tuple[TensorEntry, ...]) -> GGUFHeader:
    first = headers[0]
    kept = [key for key in first.metadata if not key.startswith("split.")]
    return replace(
        first,
        metadata={key: first.metadata[key] for key in kept},
        types={key: first.types[key] for key in kept},
        spans={key: first.spans[key] for key in kept},
        tensors=tensors,
        file_bytes=sum(header.file_bytes for header in headers),
    )
