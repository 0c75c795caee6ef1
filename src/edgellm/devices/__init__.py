"""Device profiles, what fits on them, and how fast it will be. Pure: no model is loaded here."""
