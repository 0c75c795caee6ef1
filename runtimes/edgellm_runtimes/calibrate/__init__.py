"""How fast this machine reads memory and llama.cpp computes on it; replaces a device profile's estimates."""

from edgellm_runtimes.calibrate.measure import WEIGHT_TYPES, measure

__all__ = ["WEIGHT_TYPES", "measure"]
