"""The themes in the command palette."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

from textual.theme import ThemeProvider

from edgellm.tui.app import EdgeApp

__all__ = ["ThemeChoices"]


class ThemeChoices(ThemeProvider):
    """All that there are; the one that is chosen is kept if the setting `theme` has its name."""

    @property
    def commands(self) -> list[tuple[str, Callable[[], None]]]:
        """The name of each, and what shows it."""
        app = cast(EdgeApp, self.app)
        return [(name, partial(app.choose_theme, name)) for name in sorted(app.available_themes)]
