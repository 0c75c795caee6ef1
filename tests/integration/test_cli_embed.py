"""`edgellm embed`: texts in, vectors out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cli_process import Cli


def test_texts_become_lines_and_json(tiny_gguf: Path, tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    shown = cli.json("embed", tiny_gguf, "The cat sat.", "Grüße")
    assert (shown["pooling"], shown["normalised"], len(shown["embeddings"])) == ("mean", True, 2)
    vectors = np.array([each["vector"] for each in shown["embeddings"]])
    assert vectors.shape == (2, shown["dimensions"])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(2), abs=1e-5)
    assert shown["tokens"] == sum(each["tokens"] for each in shown["embeddings"])
    lines = cli.run("embed", tiny_gguf, stdin="The cat sat.\nGrüße\n".encode()).stdout.splitlines()
    assert np.array([json.loads(line) for line in lines]) == pytest.approx(vectors, abs=1e-5)
    other = cli.json("embed", tiny_gguf, "The cat sat.", "--pooling", "last", "--no-normalise")
    assert (other["pooling"], other["normalised"]) == ("last", False)
    assert abs(np.linalg.norm(other["embeddings"][0]["vector"]) - 1) > 0.1


def test_what_makes_no_sense_is_said(tiny_gguf: Path, tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    assert "no text" in cli.run("embed", tiny_gguf, status=2).stderr
    assert "text 1 is empty" in cli.run("embed", tiny_gguf, stdin=b"a\n\nb\n", status=2).stderr
    assert "not UTF-8" in cli.run("embed", tiny_gguf, stdin=b"\xff", status=2).stderr
    assert "the context holds 16" in cli.run("embed", tiny_gguf, "a word " * 30, "--context", "16", status=2).stderr
    assert "no adapter" in cli.run("embed", tiny_gguf, "a", "--adapter", "missing", status=3).stderr
