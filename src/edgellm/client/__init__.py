"""Our own client of a running server: found by its runtime file, else by its address."""
