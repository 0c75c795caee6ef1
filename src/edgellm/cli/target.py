"""What a word on the command line means: a bundle of the store, a bundle in a folder, or a path."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgellm.cli.context import open_store, this_device_id
from edgellm.errors import NotFoundError, UsageError
from edgellm.paths import user_path
from edgellm.sources.local import hub_hint, is_hub_id, is_path_text

if TYPE_CHECKING:
    from edgellm.bundle.opened import OpenBundle
    from edgellm.settings import SettingsWithOrigin

__all__ = ["find_bundle", "means_path"]


def means_path(text: str, settings: SettingsWithOrigin) -> bool:
    """True for what is written like a path, and for a bare word that names a file here and no bundle of the store."""
    if is_path_text(text):
        return True
    try:
        open_store(settings).find(text, this_device_id(settings))
    except NotFoundError:
        return _exists(text)
    except UsageError:  # several tags, or not a name at all
        from edgellm.bundle.names import parse_reference

        try:
            parse_reference(text)
        except UsageError:
            return _exists(text)
    return False


def find_bundle(text: str, settings: SettingsWithOrigin) -> OpenBundle | None:
    """The bundle that ``text`` means, in the store or as a folder that `pack --output` wrote; None for another path.

    Raises NotFoundError, UsageError, BundleError.
    """
    from edgellm.bundle.opened import is_layout, open_bundle

    if not means_path(text, settings):
        try:
            return open_store(settings).resolve(text, device_id=this_device_id(settings))
        except NotFoundError as error:
            if not is_hub_id(text):
                raise
            raise NotFoundError(error.message, hint=hub_hint(text)) from error
    path = user_path(text)
    if is_layout(path):
        return open_bundle(path)
    if path.suffix == ".tar" and path.is_file():
        raise UsageError(
            f"{text} is an archive: its model cannot be mapped into memory where it lies",
            hint=f"unpack it first: mkdir {path.stem} && tar -C {path.stem} -xf {text}",
        )
    return None


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):
        return False
