"""Fixed architectures, one per file."""
