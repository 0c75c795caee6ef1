"""What can be seen of a server and its device while it runs: gauges, counters, the end of the log."""
