"""Questions over a screen, each with a result of its own type."""
