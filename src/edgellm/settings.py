"""Layered settings: the flag typed, then the environment, then configuration files, then the default."""

from __future__ import annotations
