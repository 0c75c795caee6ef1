"""Where models come from: local folders and files."""
