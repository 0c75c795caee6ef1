"""A checkpoint of a hub in the cache that all Hugging Face tools share, fetched with huggingface_hub."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgellm.errors import AccessError, IntegrityError, Interrupted, NetworkError, NoSpaceError, UnsupportedError
from edgellm.files import translate_os_error
from edgellm.progress import CancelToken, Progress
from edgellm.sources.hub.repository import HubFile, HubRepository
from edgellm.sources.hub.settings import HubSettings

__all__ = ["hub_cache", "missing_snapshot_bytes", "require_hub_library", "snapshot"]


def require_hub_library() -> None:
    """Raise UnsupportedError, naming the command that installs it, when a package is missing that a checkpoint needs.

    Before the download: without tokenizers the pack would end right after it.
    """
    import importlib.util

    missing = [name for name in ("huggingface_hub", "tokenizers") if importlib.util.find_spec(name) is None]
    if missing:
        raise UnsupportedError(
            f"a checkpoint of a hub is packed with the package {missing[0]}, which is not installed",
            hint="pip install 'edgellm[pack]'; or take a repository of GGUF files, which needs no extra",
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
    blobs = hub_cache() / f"models--{repository.repo_id.replace('/', '--')}" / "blobs"
    missing = 0
    for file in files:
        whole, part = blobs / file.key, blobs / f"{file.key}.incomplete"
        if not whole.exists():
            missing += max(0, file.size_bytes - (part.stat().st_blocks * 512 if part.exists() else 0))
    return missing


def snapshot(
    repository: HubRepository,
    files: Sequence[HubFile],
    settings: HubSettings,
    progress: Progress,
    cancel: CancelToken,
) -> Path:
    """The folder with ``files`` of ``repository`` at its commit; what is in the cache is not fetched again.

    A stopped run is gone on with by the next one. Raises UnsupportedError without huggingface_hub, NetworkError,
    AccessError, NoSpaceError, IntegrityError, Interrupted.
    """
    require_hub_library()
    progress.phase(f"downloading {repository.repo_id}", sum(file.size_bytes for file in files))
    with _translated(repository):
        from huggingface_hub import snapshot_download

        folder = snapshot_download(
            repository.repo_id,
            revision=repository.revision,
            allow_patterns=[_literal(file.path) for file in files],
            cache_dir=hub_cache(),
            endpoint=settings.endpoint,
            token=settings.token or False,
            tqdm_class=_bars(progress, cancel),
        )
    path = Path(folder)
    for file in files:
        if not (path / file.path).is_file() or (path / file.path).stat().st_size != file.size_bytes:
            raise IntegrityError(
                f"{file.path} of {repository.repo_id} did not arrive whole", hint="run the command again"
            )
    return path


def _literal(path: str) -> str:
    """A pattern that matches ``path`` alone."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in path)


def _bars(progress: Progress, cancel: CancelToken) -> type:
    """The progress bars of huggingface_hub, counted on ours: those that count bytes."""
    from tqdm.auto import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            self._counts_bytes = options.get("unit") == "B"
            options["disable"] = True
            options.pop("name", None)
            super().__init__(*arguments, **options)

        def update(self, n: float | None = 1) -> bool | None:
            cancel.check()
            if self._counts_bytes and n:
                progress.advance(int(n))
            return None

    return Bar


@contextmanager
def _translated(repository: HubRepository) -> Iterator[None]:
    """The errors of huggingface_hub and its HTTP library as ours."""
    try:
        yield
    except (Interrupted, KeyboardInterrupt):
        raise
    except OSError as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403):
            raise AccessError(
                f"the hub refuses access to {repository.repo_id}",
                hint=f"accept its conditions at {repository.url}, and set HF_TOKEN to a token of that account",
            ) from error
        known = translate_os_error(error, f"download {repository.repo_id}")
        if isinstance(known, NoSpaceError):
            raise known from error
        raise NetworkError(
            f"{repository.repo_id} was not downloaded: {_first_line(error)}",
            hint="what arrived is kept; run the command again to go on",
        ) from error
    except Exception as error:
        if isinstance(error.__cause__, Interrupted):
            raise error.__cause__ from None
        if not type(error).__module__.startswith(("huggingface_hub", "httpx", "httpcore", "requests")):
            raise
        raise NetworkError(
            f"{repository.repo_id} was not downloaded: {_first_line(error)}",
            hint="what arrived is kept; run the command again to go on",
        ) from error


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return (text[0] if text else type(error).__name__)[:200]
