"""Networks whose architecture is an argument."""
