"""One recipe a file; each is a script."""
