"""The six modes, a file each with its style sheet beside it."""
