"""Fixed networks, one a file."""
