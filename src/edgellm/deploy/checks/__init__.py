"""Is this machine ready? One small check per question, each with one fix when the answer is no."""
