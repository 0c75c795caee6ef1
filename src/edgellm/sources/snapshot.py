"""A checkpoint of a hub in the cache that all Hugging Face tools share.

The files arrive by our own downloads, which go on after a kill and are checked. Where they lie, what they are called
and which locks are held meanwhile is as huggingface_hub does it, so that its tools find them and wait for us, and we
for them::

    models--OWNER--MODEL/blobs/<hash>                       the bytes; <hash>.part while they arrive
    models--OWNER--MODEL/snapshots/<commit>/<path>          a link to the blob
    .locks/models--OWNER--MODEL/<hash>.lock                 an flock while a blob arrives
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path, PurePosixPath

from edgellm.errors import IntegrityError, UnsupportedError
from edgellm.files import os_errors
from edgellm.pip import PACK_EXTRA, pip_install
from edgellm.progress import CancelToken, Progress
from edgellm.sources.download import download_files, locked_file, missing_bytes
from edgellm.sources.hub.client import HubClient
from edgellm.sources.hub.repository import HubFile, HubRepository

__all__ = ["hub_cache", "missing_snapshot_bytes", "require_pack_extra", "snapshot"]


def require_pack_extra(files: Sequence[HubFile]) -> None:
    """Raise UnsupportedError, naming the command that installs it, when a package is missing that ``files`` need.

    Before the download: without the model's own tokenizer the pack would end right after it.
    """
    import importlib.util

    names = {file.path for file in files}
    package = "sentencepiece" if "tokenizer.model" in names and "tokenizer.json" not in names else "tokenizers"
    if importlib.util.find_spec(package) is None:
        raise UnsupportedError(
            f"this checkpoint of a hub is packed with the package {package}, which is not installed",
            hint=f"{pip_install(PACK_EXTRA)}; or take a repository of GGUF files, which needs no extra",
        )


def hub_cache(environ: Mapping[str, str] | None = None) -> Path:
    """The folder of the shared cache: HF_HUB_CACHE, else hub below HF_HOME, else below the user's cache folder."""
    environ = os.environ if environ is None else environ
    if environ.get("HF_HUB_CACHE"):
        return Path(environ["HF_HUB_CACHE"]).expanduser()
    if environ.get("HF_HOME"):
        return Path(environ["HF_HOME"]).expanduser() / "hub"
    base = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME") or Path.home()) / ".cache")
    return Path(base) / "huggingface" / "hub"


def missing_snapshot_bytes(repository: HubRepository, files: Sequence[HubFile]) -> int:
    """What a snapshot of ``files`` still needs of the cache's disk."""
    return missing_bytes(files, hub_cache() / _folder_name(repository) / "blobs")


def snapshot(
    client: HubClient,
    repository: HubRepository,
    files: Sequence[HubFile],
    progress: Progress,
    cancel: CancelToken,
) -> Path:
    """The folder with ``files`` of ``repository`` at its commit; what is in the cache is not fetched again.

    A stopped run is gone on with by the next one. Raises what ``download_files`` raises.
    """
    cache, name = hub_cache(), _folder_name(repository)
    blobs, folder = cache / name / "blobs", cache / name / "snapshots" / repository.revision
    locks = cache / ".locks" / name
    with os_errors(f"create {locks}"):
        locks.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        for key in sorted({file.key for file in files if not (blobs / file.key).exists()}):
            what = f"downloading {repository.repo_id}"
            stack.enter_context(locked_file(locks / f"{key}.lock", what, progress, cancel))
        download_files(client, files, blobs, progress=progress, cancel=cancel)
        with os_errors(f"write {folder}"):
            for file in files:
                _link(folder, file)
    return folder


def _folder_name(repository: HubRepository) -> str:
    return f"models--{repository.repo_id.replace('/', '--')}"


def _link(folder: Path, file: HubFile) -> None:
    """Give the blob its name in the snapshot, in one step."""
    parts = PurePosixPath(file.path).parts
    if not parts or any(part in ("/", "..") for part in parts):
        raise IntegrityError(f"the hub names the file {file.path[:80]!r}, which is no path inside a model")
    path = folder.joinpath(*parts)
    target = Path(*[".."] * (len(parts) + 1), "blobs", file.key)
    with suppress(OSError):
        if path.readlink() == target:
            return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{secrets.token_hex(8)}")
    temporary.symlink_to(target)
    temporary.replace(path)
