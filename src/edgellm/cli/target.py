"""What a word on the command line means: a bundle of the store, a bundle in a folder, or a path."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgellm.cli.context import open_store
from edgellm.errors import EdgeLLMError, NotFoundError, UsageError
from edgellm.machine import this_device_id
from edgellm.paths import user_path
from edgellm.sources.local import is_path_text

if TYPE_CHECKING:
    from edgellm.bundle.opened import OpenBundle
    from edgellm.settings import SettingsWithOrigin
    from edgellm.sources.hub.reference import HubReference

__all__ = ["A_MODEL", "find_bundle", "hub_reference", "means_path"]


A_MODEL = "a checkpoint folder, a GGUF file, or OWNER/MODEL of a hub"


def means_path(text: str, settings: SettingsWithOrigin) -> bool:
    """True for what is written like a path, and for a bare word that names a file here and no bundle of the store."""
    if is_path_text(text) and not _names_hub_file(text):
        return True
    try:
        open_store(settings).find(text, this_device_id(settings))
    except NotFoundError:
        return _exists(text)
    except UsageError:  # several tags, or not a name at all
        return not _is_name(text) and _exists(text)
    return False


def find_bundle(
    text: str, settings: SettingsWithOrigin, *, or_else: str = "the folder of a bundle"
) -> OpenBundle | None:
    """The bundle that ``text`` means, in the store or as a folder that `pack --output` wrote; None for another path.

    ``or_else``: what may be given besides the name of a bundle. Raises NotFoundError, UsageError, BundleError.
    """
    from edgellm.bundle.opened import is_layout, open_bundle

    if not means_path(text, settings):
        try:
            return open_store(settings).resolve(text, device_id=this_device_id(settings))
        except (NotFoundError, UsageError) as error:
            reference = hub_reference(text, settings)
            if reference is None:
                if "@" in text or (isinstance(error, UsageError) and _is_name(text)):  # of versions, or of tags
                    raise
                hint = f"{error.hint} Or" if str(error.hint).endswith("?") else f"{error.hint}; or"
                raise type(error)(error.message, hint=f"{hint} give {or_else}") from error
            return _stored(reference, settings, error)
    path = user_path(text)
    if is_layout(path):
        return open_bundle(path)
    if path.suffix == ".tar" and path.is_file():
        raise UsageError(
            f"{text} is an archive: its model cannot be mapped into memory where it lies",
            hint=f"bring it into the store first: edgellm import {text}",
        )
    return None


def hub_reference(text: str, settings: SettingsWithOrigin, *, among_bundles: bool = True) -> HubReference | None:
    """The model of a hub that ``text`` means; None for what is written like a path, or names a file or a bundle here.

    ``among_bundles=False``: bundles of the store are not meant.
    """
    from edgellm.sources.hub.reference import parse_hub_reference

    is_address = text.lower().startswith(("https://", "http://", "hf://"))
    if not is_address and (_exists(text) or (is_path_text(text) and not _names_hub_file(text))):
        return None
    try:
        reference = parse_hub_reference(text)
    except UsageError:
        if is_address:
            raise
        return None
    if among_bundles and not is_address:
        try:
            open_store(settings).find(text, this_device_id(settings))
        except NotFoundError:
            return reference
        except UsageError:  # several tags, or not the name of a bundle at all
            return None if _is_name(text) else reference
        return None
    return reference


def _stored(reference: HubReference, settings: SettingsWithOrigin, error: EdgeLLMError) -> OpenBundle:
    """The bundle that was made of a hub's model for this device. Raises NotFoundError that says how to get it."""
    from edgellm.sources.stored import find_stored

    store = open_store(settings)
    row = find_stored(store, reference, this_device_id(settings))
    if row is None:
        raise NotFoundError(error.message, hint=f"to fetch it from the hub: edgellm pull {reference}") from error
    return store.resolve(row.full_name)


def _names_hub_file(text: str) -> bool:
    """OWNER/REPO:FILE.gguf, or an address."""
    if text.lower().startswith(("https://", "http://", "hf://")):
        return True
    return ":" in text and not text.startswith(("/", ".", "~")) and not _exists(text)


def _is_name(text: str) -> bool:
    """True when a bundle may be called so."""
    from edgellm.bundle.names import parse_reference

    try:
        parse_reference(text)
    except UsageError:
        return False
    return True


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):
        return False
