"""Reads runs, and shows what their networks do."""
