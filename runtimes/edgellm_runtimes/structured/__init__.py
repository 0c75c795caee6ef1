"""Structured output: a grammar compiled against a vocabulary says which tokens may come next (by llguidance, optional).

``GrammarCompiler`` belongs to one loaded model, ``CompiledGrammar`` to one grammar, ``Constraint`` to one sequence.
"""

from __future__ import annotations

from edgellm_runtimes.structured.compiler import GrammarCompiler
from edgellm_runtimes.structured.constraint import CompiledGrammar, Constraint

__all__ = ["CompiledGrammar", "Constraint", "GrammarCompiler"]
