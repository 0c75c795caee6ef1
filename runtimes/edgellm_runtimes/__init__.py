"""Model files to tokens: the device side."""
