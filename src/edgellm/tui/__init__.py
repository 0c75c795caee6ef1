"""The terminal interface: models, jobs, the device and chats, as a client of a server."""
