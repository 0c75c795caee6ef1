"""Checkpoints to quantized model files: the workstation side."""
