"""Is there room for a hub's model and for what is made of it? Each disk is asked once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgellm.cli.output import is_archive
from edgellm.files import existing_parent, require_free_space

if TYPE_CHECKING:
    from edgellm.cli.hub_order import HubOrder
    from edgellm.sources.hub.reference import HubReference
    from edgellm.store.store import Store

__all__ = ["require_space"]


def require_space(reference: HubReference, wanted: Sequence[HubOrder], store: Store, output: Path | None) -> None:
    """Refuse before the first byte what the disks cannot hold: the downloads and what is made of them.

    The bundles go into ``store`` or to ``output``, a folder or an archive. Raises NoSpaceError, and UnsupportedError
    where a checkpoint cannot be fetched at all.
    """
    disks: dict[int, tuple[Path, str, int]] = {}
    for order in wanted:
        download_at, download_bytes = _download(order, store)
        result_at = output or store.root
        one_disk = _disk(download_at) == _disk(result_at)
        result_bytes = order.result_bytes
        if not order.made and (not one_disk or (output is not None and is_archive(output))):
            result_bytes += order.size_bytes  # else the download becomes part of the bundle without a copy
        if one_disk:
            needs = [(download_at, f"{reference} with the bundle made of it", download_bytes + result_bytes)]
        else:
            needs = [(download_at, f"the download of {reference}", download_bytes)]
            needs.append((result_at, f"the bundle of {reference}", result_bytes))
        for place, what, needed_bytes in needs:
            before = disks.get(_disk(place), (place, what, 0))[2]
            disks[_disk(place)] = place, what, before + needed_bytes
    for place, what, needed_bytes in disks.values():
        require_free_space(place, needed_bytes, what)


def _download(order: HubOrder, store: Store) -> tuple[Path, int]:
    """Where the files of ``order`` arrive, and how many bytes of them are not there yet."""
    if order.gguf is not None:
        from edgellm.sources.download import missing_bytes

        return store.downloads, missing_bytes(order.files, store.downloads)
    from edgellm.sources.snapshot import hub_cache, missing_snapshot_bytes, require_pack_extra

    require_pack_extra(order.files)
    return hub_cache(), missing_snapshot_bytes(order.model.repository, order.files)


def _disk(path: Path) -> int:
    return existing_parent(path.absolute()).stat().st_dev
