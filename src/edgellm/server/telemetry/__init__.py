"""What a server knows about its own work: one record per request, counters for Prometheus, the machine's health."""
