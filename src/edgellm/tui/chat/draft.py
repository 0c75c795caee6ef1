"""What is typed and not sent yet, on the disk with every key: a crash costs nothing of it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from edgellm.errors import EdgeLLMError
from edgellm.files import os_errors, read_small_file, translate_os_error

__all__ = ["Draft"]

_LARGEST_BYTES = 16 << 20


class Draft:
    """The draft of one conversation in ``path``; None keeps it in memory alone.

    Each text replaces the one before by a rename, without waiting for the disk: a power cut may cost the last seconds.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.text = ""
        self.problem: EdgeLLMError | None = None
        if path is not None:
            with contextlib.suppress(EdgeLLMError):  # there is none
                self.text = read_small_file(path, _LARGEST_BYTES, "a draft").decode("utf-8", "replace")

    def write(self, text: str) -> bool:
        """Keep ``text``; False where the disk does not take it, which ``problem`` explains."""
        if text == self.text and self.problem is None:
            return True
        self.text = text
        if self.path is None:
            return True
        try:
            self._replace(self.path, text)
        except OSError as error:
            self.problem = translate_os_error(error, "save what is typed")
            return False
        self.problem = None
        return True

    def _replace(self, path: Path, text: str) -> None:
        if not text:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(text.encode("utf-8", "replace"))
            temporary.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise

    def move(self, path: Path) -> None:
        """Keep it under another name from now on."""
        if self.path is not None and self.text:
            with os_errors("rename the draft"):
                self.path.rename(path)
        self.path = path
