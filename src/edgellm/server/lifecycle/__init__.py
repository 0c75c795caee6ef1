"""A server from its start to its end: where it listens, what it tells others about itself, how it stops."""
