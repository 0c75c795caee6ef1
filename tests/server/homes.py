"""Homes that share the packed store, each with a runtime folder of its own."""

from __future__ import annotations

from pathlib import Path

__all__ = ["home_over"]


def home_over(packed_home: Path, folder: Path) -> Path:
    """A new home in ``folder`` with the bundles of ``packed_home``."""
    home = folder / "home"
    home.mkdir()
    (home / "store").symlink_to(packed_home / "store")
    return home
