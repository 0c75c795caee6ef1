"""The models of a server: found in the store, loaded when asked for, shared by all requests, unloaded when idle."""
