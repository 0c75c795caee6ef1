"""A model in a process of its own: what kills it, or bloats it, ends with that process.

``core`` is the engine's side, ``serve`` the child's; between them frames of ``messages`` over a socket.
"""
