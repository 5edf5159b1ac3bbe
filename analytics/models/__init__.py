"""Models: a frame in, a dataclass out; no I/O."""
