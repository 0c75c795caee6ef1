"""Widgets of the mode Chat."""
