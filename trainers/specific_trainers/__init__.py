"""Registered recipes, one per file NAME_trainer.py; each file is also a script."""
