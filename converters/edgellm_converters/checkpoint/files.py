"""The files of a checkpoint folder: which may be opened, and how their JSON is read."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from edgellm.errors import CheckpointError
from edgellm.files import os_errors
from edgellm.units import format_bytes

__all__ = ["inside", "read_json"]

_JSON_LIMIT_BYTES = 64 << 20  # the weight map of a 400-billion-parameter model takes about 10 MB


def inside(folder: Path, name: str) -> Path:
    """The path of the file ``name`` in ``folder``.

    Refused (CheckpointError): a name that is a path, something that is not a regular file, and a symbolic link that
    leaves the folder, except into the ``blobs`` folder of the Hugging Face cache, which is made of such links.
    """
    if not name or name in (".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise CheckpointError(
            f"{folder} refers to the file {name[:200]!r}, which is not a plain file name",
            hint="a checkpoint may only name files of its own folder; get it from a source that you trust",
        )
    path = folder / name
    with os_errors(f"read {path}"):
        if path.is_symlink():
            target = Path(os.path.realpath(path))  # unlike resolve() it raises nothing for a loop
            root = folder.resolve()
            above = next((parent for parent in root.parents[:2] if parent.name == "snapshots"), None)
            cache = root if above is None else above.parent / "blobs"
            if not (target.is_relative_to(root) or target.is_relative_to(cache)):
                raise CheckpointError(
                    f"{path} is a link that leaves the folder", hint="put the file itself into the folder"
                )
        if not stat.S_ISREG(path.stat().st_mode):
            raise CheckpointError(f"{path} is not a file", hint="put the file itself into the folder")
    return path


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """The JSON object in the file ``name`` of ``folder``. Raises CheckpointError, NotFoundError or AccessError."""
    path = inside(folder, name)
    with os_errors(f"read {path}"), path.open("rb") as file:
        raw = file.read(_JSON_LIMIT_BYTES + 1)
    if len(raw) > _JSON_LIMIT_BYTES:
        raise CheckpointError(f"{path} is larger than {format_bytes(_JSON_LIMIT_BYTES)}")
    try:
        value = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not JSON ({type(error).__name__})", hint="download it again") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} is not a JSON object", hint="download it again")
    return value
