"""The smoke test as commands run it: in a child process, its result kept for this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgellm.cli.console import print_warning
from edgellm.errors import EdgeLLMError

if TYPE_CHECKING:
    from edgellm.bundle.plan import Plan
    from edgellm.devices.fit import RunSettings
    from edgellm.progress import CancelToken
    from edgellm.store.store import Store

__all__ = ["keep_smoke", "smoke"]

_LONGEST_CONTEXT = 256


def smoke(
    path: Path,
    settings: RunSettings | Plan,
    cancel: CancelToken,
    adapters: Mapping[str, Path],
    files: Mapping[str, Path] | None = None,
) -> dict[str, Any]:
    """Load the model file and let it speak, also with each adapter; returns what was measured.

    ``files``: every file of a model of several, by name. Raises BackendError and its like.
    """
    import msgspec

    from edgellm_runtimes.smoke import run_smoke

    measured = run_smoke(
        path,
        context=min(settings.context, _LONGEST_CONTEXT),
        kv_type_k=settings.kv_type_k,
        kv_type_v=settings.kv_type_v,
        flash_attention=settings.flash_attention,
        adapters=adapters,
        files=files,
        cancel=cancel,
    )
    result = msgspec.to_builtins(measured)
    assert isinstance(result, dict)
    return result


def keep_smoke(store: Store, digest: str, result: Mapping[str, Any]) -> None:
    """The bundle stands by itself: what this machine measured is worth a warning, no more."""
    try:
        store.save_smoke(digest, result)
    except EdgeLLMError as error:
        print_warning(f"the smoke test's result was not kept: {error.message}")
