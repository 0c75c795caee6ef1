"""What our own clients and the server say to each other over /api/edgellm: typed messages, known to both."""
