"""A model hub that speaks the Hugging Face HTTP interface: what a reference means, what a repository holds, its bytes.

httpx is imported when the first connection is opened, not before.
"""

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
