"""Saved prefixes and the bundles that they belong to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgellm.errors import EdgeLLMError, NotFoundError, UsageError

if TYPE_CHECKING:
    from edgellm.settings import SettingsWithOrigin
    from edgellm.store.store import Store
    from edgellm_runtimes.kv_store import Removed

__all__ = ["PrefixRow", "named_model", "prefix_rows", "removed_with"]

_DIGEST_START = re.compile(r"(?:sha256:)?([0-9a-f]{12,64})")


class PrefixRow(msgspec.Struct, frozen=True):
    """One saved prefix as `cache list` prints it."""

    bundles: tuple[str, ...]  # that use it
    model: str  # sha256:... of the model file
    kind: str
    scope: str  # a digest of who may reuse it; empty for everybody
    tokens: int
    size_bytes: int
    last_used: str  # a day coarse
    adapters: tuple[str, ...]  # sha256:...
    traits: dict[str, str]  # the runtime and its settings

    @property
    def label(self) -> str:
        """A bundle, or the start of the digest where none is left."""
        more = f" (+{len(self.bundles) - 1})" if len(self.bundles) > 1 else ""
        return f"{self.bundles[0]}{more}" if self.bundles else self.model.removeprefix("sha256:")[:12]


def prefix_rows(store: Store, folder: Path) -> tuple[list[PrefixRow], int]:
    """The rows, and the number of damaged files. Raises AccessError."""
    from edgellm_runtimes.kv_store import PrefixFolder

    whole, damaged = PrefixFolder(folder).list()
    users: dict[str, list[str]] = {}
    for row in store.list() if whole else ():
        if row.bundle is not None:
            users.setdefault(row.bundle.model_file.digest, []).append(row.full_name)
    rows = [
        PrefixRow(
            bundles=tuple(users.get(prefix.key.model, ())),
            model=prefix.key.model,
            kind=prefix.kind,
            scope=prefix.scope,
            tokens=prefix.n_tokens,
            size_bytes=prefix.size_bytes,
            last_used=datetime.fromtimestamp(prefix.last_used, UTC).isoformat(timespec="seconds"),
            adapters=tuple(adapter.digest for adapter in prefix.key.adapters),
            traits=dict(prefix.key.traits),
        )
        for prefix in whole
    ]
    return rows, len(damaged)


def named_model(name: str, settings: SettingsWithOrigin) -> str:
    """The digest of the model file that ``name`` means. Raises NotFoundError, UsageError."""
    from edgellm.cli.target import find_bundle
    from edgellm_runtimes.kv_store import PrefixFolder

    found = _DIGEST_START.fullmatch(name)
    if found is not None:
        whole, _damaged = PrefixFolder(settings.paths.prefixes).list()
        models = {prefix.key.model for prefix in whole if prefix.key.model.startswith(f"sha256:{found[1]}")}
        if len(models) == 1:
            return models.pop()
        if models:
            raise UsageError(f"{name} is the start of several digests", hint="write more of it")
    bundle = find_bundle(name, settings)
    if bundle is None:
        raise NotFoundError(f"{name} is no bundle", hint="`edgellm cache list` shows what is saved, and for what")
    return bundle.bundle.model_file.digest


def removed_with(models: Iterable[str], folder: Path) -> Removed:
    """Remove what was saved for model files that no bundle needs any more; what cannot be removed is a warning."""
    from edgellm.cli.console import print_warning
    from edgellm_runtimes.kv_store import PrefixFolder, Removed

    try:
        return PrefixFolder(folder).remove_models(models)
    except EdgeLLMError as error:
        print_warning(f"saved prefixes stay: {error.message}")
    return Removed(0, 0)
