"""The command line. `edgellm --help` imports no command; each command imports what it needs when it runs."""
