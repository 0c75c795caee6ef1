"""The papers of a model: licence, notices, model card; and the identifier of its licence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgellm.files import os_errors
from edgellm.sources.repository_files import is_document

__all__ = ["SourceDocument", "find_documents", "license_ids"]

# The hub's lower-case licence names that are SPDX ids in another spelling; the full list is at spdx.org/licenses.
_SPDX = {
    identifier.lower(): identifier
    for identifier in (
        "Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "ISC", "Unlicense", "CC0-1.0", "WTFPL", "Zlib",
        "CC-BY-4.0", "CC-BY-SA-4.0", "CC-BY-NC-4.0", "CC-BY-NC-SA-4.0", "CC-BY-NC-ND-4.0", "CC-BY-ND-4.0",
        "CC-BY-3.0", "CC-BY-SA-3.0", "GPL-2.0", "GPL-3.0", "LGPL-2.1", "LGPL-3.0", "AGPL-3.0", "MPL-2.0", "EPL-2.0",
        "Artistic-2.0", "AFL-3.0", "ECL-2.0", "OSL-3.0", "MS-PL", "PostgreSQL", "EUPL-1.2",
    )
}  # fmt: skip


@dataclass(frozen=True)
class SourceDocument:
    """One document that travels in the bundle."""

    name: str
    path: Path
    size_bytes: int


def find_documents(folder: Path) -> list[SourceDocument]:
    """LICENSE, NOTICE, USE_POLICY and README files directly in ``folder``, by name; none over 4 MiB."""
    found = []
    with os_errors(f"read {folder}"):
        for path in sorted(folder.iterdir()):
            size_bytes = path.stat().st_size if path.is_file() else 0
            if is_document(path.name, size_bytes) and _belongs(path, folder):
                found.append(SourceDocument(path.name, path, size_bytes))
    return found


def _belongs(path: Path, folder: Path) -> bool:
    """True unless ``path`` is a link that leaves the model: a bundle is published, other files must not be.

    The hub's cache links from ``snapshots/<revision>/`` to ``blobs/``.
    """
    target, root = path.resolve(), folder.resolve()
    return target.is_relative_to(root) or (
        root.parent.name == "snapshots" and target.is_relative_to(root.parent.parent / "blobs")
    )


def license_ids(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """SPDX ids, or LicenseRef-<name> for what SPDX does not list; empty when nothing is said.

    ``fields``: ``license`` (a text or a list) and ``license_name`` of a model card, or of a GGUF's general.* metadata.
    """
    said = fields.get("license")
    names = said if isinstance(said, list) else [said]
    found = [_license_id(name, fields) for name in names if isinstance(name, str)]
    return tuple(dict.fromkeys(identifier for identifier in found if identifier))


def _license_id(name: str, fields: Mapping[str, Any]) -> str:
    name = name.strip()
    if not name or name.lower() in ("unknown", "none"):
        return ""
    if name.lower() == "other":
        name = str(fields.get("license_name") or "other")
    if name.lower() in _SPDX:
        return _SPDX[name.lower()]
    if name.startswith("LicenseRef-"):
        name = name.removeprefix("LicenseRef-")
    return "LicenseRef-" + (re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-") or "other")
