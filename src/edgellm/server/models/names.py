"""From what a client calls a model to a bundle of the store."""

from __future__ import annotations

import asyncio
from functools import cached_property

from edgellm.bundle.opened import OpenBundle
from edgellm.errors import NotFoundError, UsageError
from edgellm.settings import SettingsWithOrigin
from edgellm.store.store import Store

__all__ = ["LATEST", "ModelNames"]

LATEST = "latest"
_HUB_PREFIXES = ("hf.co/", "huggingface.co/")
_MOST_KNOWN = 1024


class ModelNames:
    """The names of one store. What was read is kept until the store's index changes."""

    def __init__(self, store: Store, settings: SettingsWithOrigin) -> None:
        self._store = store
        self._settings = settings
        self._known: dict[str, OpenBundle] = {}
        self._version = store.version()

    @cached_property
    def device_id(self) -> str:
        """The device whose tag is meant by a name without one. Blocks when asked for the first time."""
        from edgellm.machine import this_device_id

        return this_device_id(self._settings)

    async def resolve(self, name: str) -> OpenBundle:
        """The bundle that a client calls ``name``: ``NAME``, ``NAME:TAG`` or ``NAME:latest``, or a hub's OWNER/MODEL.

        A name without a tag, or with a tag ``latest`` that does not exist, means the only bundle of that name, else
        the one for this device. Raises NotFoundError, UsageError (several are meant), BundleError.
        """
        version = self._store.version()
        if version != self._version or len(self._known) > _MOST_KNOWN:
            self._known = {}
            self._version = version
        known = self._known
        bundle = known.get(name)
        if bundle is None:
            bundle = await asyncio.to_thread(self.find, name)
            known[name] = bundle  # of the version that was there before it was read, or of no use any more
        return bundle

    def find(self, name: str) -> OpenBundle:
        """``resolve``, read now. Blocks."""
        try:
            return self._store.resolve(name, self.device_id)
        except NotFoundError as error:
            return self._latest(name) or self._of_hub(name) or _refuse(name, error)
        except UsageError:
            found = self._of_hub(name)
            if found is None:
                raise
            return found

    def _latest(self, name: str) -> OpenBundle | None:
        """Clients of Ollama say NAME:latest where we say NAME."""
        plain, colon, tag = name.strip().rpartition(":")
        if not colon or tag.lower() != LATEST:
            return None
        try:
            return self._store.resolve(plain, self.device_id)
        except NotFoundError:
            return None

    def _of_hub(self, name: str) -> OpenBundle | None:
        """What was packed from the hub's model of that name."""
        from edgellm.sources.hub.reference import parse_hub_reference
        from edgellm.sources.stored import find_stored

        for prefix in _HUB_PREFIXES:
            name = name.removeprefix(prefix)
        try:
            reference = parse_hub_reference(name.removesuffix(f":{LATEST}"))
        except UsageError:
            return None
        row = find_stored(self._store, reference, self.device_id)
        return None if row is None else self._store.resolve(row.full_name)


def _refuse(name: str, error: NotFoundError) -> OpenBundle:
    raise NotFoundError(
        f"there is no model {name[:200]!r} here", hint=error.hint or "GET /v1/models lists those that are"
    ) from error
