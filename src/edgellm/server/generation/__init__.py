"""One chat or completion in no dialect: what every dialect translates its requests into, and its answers from."""
