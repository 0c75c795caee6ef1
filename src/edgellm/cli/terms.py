"""What travels with a bundle has terms: they are said when it leaves and when it arrives."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from edgellm.bundle.terms import license_note
from edgellm.cli.console import print_warning

if TYPE_CHECKING:
    from edgellm.bundle.reading import Bundle

__all__ = ["say_terms"]


def say_terms(bundles: Iterable[Bundle]) -> None:
    """Warn, once for each text, about licences that are unknown, not stated, or more than the common ones ask."""
    notes = [license_note(bundle.config.descriptor.licenses) for bundle in bundles]
    for note in dict.fromkeys(note for note in notes if note is not None):
        print_warning(note)
