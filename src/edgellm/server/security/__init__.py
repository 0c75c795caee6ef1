"""Who may ask: API keys, networks, and what browsers are kept from."""
