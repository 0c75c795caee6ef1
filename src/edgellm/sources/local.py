"""Models that are already on this machine: a checkpoint folder or a GGUF file."""

from __future__ import annotations
