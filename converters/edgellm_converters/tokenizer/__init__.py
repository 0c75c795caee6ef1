"""Tokenizer files of a checkpoint -> the vocabulary of a GGUF, and the proof that llama.cpp reads it the same way."""

from __future__ import annotations

from edgellm_converters.tokenizer.load import load_vocabulary
from edgellm_converters.tokenizer.proof import ProofResult, prove
from edgellm_converters.tokenizer.vocab_gguf import write_vocab_gguf
from edgellm_converters.tokenizer.vocabulary import MetadataEntry, TokenType, Vocabulary

__all__ = [
    "MetadataEntry",
    "ProofResult",
    "TokenType",
    "Vocabulary",
    "load_vocabulary",
    "prove",
    "write_vocab_gguf",
]
