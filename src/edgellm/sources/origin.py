"""Where the files of a local source came from, when somebody fetched them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

__all__ = ["Origin"]


@dataclass(frozen=True)
class Origin:
    """What a bundle says of its source instead of the local folder's or file's name.

    ``digests`` are of files that were checked on arrival; a whole file among them may become part of a bundle without
    a copy. ``expected`` are what files must have that nobody has checked yet: reading them for the pack does.
    """

    name: str  # OWNER/REPO
    bundle_name: str  # what a bundle of it is called, without a tag
    revision: str  # the commit
    url: str  # of the repository's page
    recipe: str | None = None  # what the publisher calls a quantized file: "UD-Q4_K_XL"
    digests: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))  # file name -> sha256:...
    expected: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
