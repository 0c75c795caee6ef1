"""A model hub that speaks the Hugging Face HTTP interface: what a reference means, what a repository holds, its bytes.

Whoever only reads references imports nothing else; httpx is imported when the first connection is opened.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgellm.sources.hub.client import HubClient
    from edgellm.sources.hub.reference import HubReference, is_hub_reference, parse_hub_reference
    from edgellm.sources.hub.repository import HubFile, HubRepository
    from edgellm.sources.hub.retry import Patience
    from edgellm.sources.hub.settings import HubSettings, hub_settings

__all__ = [
    "HubClient",
    "HubFile",
    "HubReference",
    "HubRepository",
    "HubSettings",
    "Patience",
    "hub_settings",
    "is_hub_reference",
    "parse_hub_reference",
]

_MODULES = {
    "client": ("HubClient",),
    "reference": ("HubReference", "is_hub_reference", "parse_hub_reference"),
    "repository": ("HubFile", "HubRepository"),
    "retry": ("Patience",),
    "settings": ("HubSettings", "hub_settings"),
}


def __getattr__(name: str) -> Any:
    """One of ``__all__``, from the module that has it."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
