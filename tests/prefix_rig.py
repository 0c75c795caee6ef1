"""What the tests of saved states share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from edgellm_runtimes.backend import BackendSettings

__all__ = ["SETTINGS", "TEXT", "VARIANTS", "save_in_another_process"]

CHILD = Path(__file__).resolve().parent / "prefix_child.py"
SETTINGS = BackendSettings(context=256, sequences=3, batch=256, ubatch=256)
TEXT = "Once upon a time there was a small board that had to answer the same question every day."
VARIANTS = [
    SETTINGS,
    msgspec.structs.replace(SETTINGS, kv_type_k="q8_0", kv_type_v="q8_0"),
    msgspec.structs.replace(SETTINGS, flash_attention=False),
    msgspec.structs.replace(SETTINGS, kv_type_k="f32", kv_type_v="bf16"),
]


def save_in_another_process(gguf: Path, folder: Path, settings: BackendSettings) -> list[int]:
    command = [
        sys.executable,
        str(CHILD),
        "model",
        str(gguf),
        str(folder),
        TEXT,
        msgspec.json.encode(settings).decode(),
    ]
    done = subprocess.run(command, capture_output=True, check=True)
    return msgspec.json.decode(done.stdout, type=list[int])
