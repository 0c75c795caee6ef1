"""The tokenizer that the model was trained with: the `tokenizers` library, or sentencepiece."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from edgellm.errors import CheckpointError, UnsupportedError
from edgellm.pip import PACK_EXTRA, pip_install

__all__ = ["Reference", "open_reference"]


class Reference(Protocol):
    """What the proof asks of a reference."""

    name: str  # library and version
    finds_special: bool  # whether special tokens inside a text become their ids
    adds_special: bool  # whether it knows which tokens go around a text

    def encode(self, text: str, *, add_special: bool = False) -> list[int]:
        """Token ids of ``text``."""


def open_reference(folder: Path) -> Reference:
    """The reference for the tokenizer files in ``folder``: tokenizer.json when it is there, else tokenizer.model.

    Raises UnsupportedError when the library is not installed, CheckpointError when it refuses the file.
    """
    if (folder / "tokenizer.json").is_file():
        return _Tokenizers(folder / "tokenizer.json")
    return _SentencePiece(folder / "tokenizer.model")


class _Tokenizers:
    finds_special = True

    def __init__(self, path: Path) -> None:
        try:
            import tokenizers
        except ImportError as error:
            raise UnsupportedError(
                "packing needs the `tokenizers` library, which is not installed", hint=pip_install(PACK_EXTRA)
            ) from error
        try:
            self._tokenizer: Any = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise CheckpointError(
                f"the tokenizers library refuses {path}: {str(error)[:300]}", hint="the file is damaged: fetch it again"
            ) from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.name = f"tokenizers {tokenizers.__version__}"
        self.adds_special = self._tokenizer.post_processor is not None

    def encode(self, text: str, *, add_special: bool = False) -> list[int]:
        # One by one: a batch would start threads, and those complain in every later fork.
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=add_special).ids
        return ids


class _SentencePiece:
    finds_special = False
    adds_special = False

    def __init__(self, path: Path) -> None:
        try:
            import sentencepiece
        except ImportError as error:
            raise UnsupportedError(
                "packing needs the `sentencepiece` library, which is not installed", hint=pip_install(PACK_EXTRA)
            ) from error
        self._processor: Any = sentencepiece.SentencePieceProcessor()
        try:
            self._processor.Load(str(path))
        except (RuntimeError, OSError, ValueError) as error:
            raise CheckpointError(
                f"sentencepiece refuses {path}: {str(error)[:300]}", hint="the file is damaged: fetch it again"
            ) from error
        self.name = f"sentencepiece {sentencepiece.__version__}"

    def encode(self, text: str, *, add_special: bool = False) -> list[int]:
        ids: list[int] = self._processor.EncodeAsIds(text)
        return ids
