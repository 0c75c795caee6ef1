"""Every dialect that this server speaks, a folder each. The last one answers for paths that no dialect claims."""

from __future__ import annotations

from edgellm.server.dialects.anthropic import ANTHROPIC
from edgellm.server.dialects.llamacpp import LLAMACPP
from edgellm.server.dialects.native import NATIVE
from edgellm.server.dialects.ollama import OLLAMA
from edgellm.server.dialects.openai import OPENAI
from edgellm.server.dialects.operation import OPERATION
from edgellm.server.dialects.page import PAGE
from edgellm.server.http.dialect import Dialect

__all__ = ["DIALECTS"]

DIALECTS: tuple[Dialect, ...] = (ANTHROPIC, OPENAI, LLAMACPP, PAGE, OLLAMA, OPERATION, NATIVE)
