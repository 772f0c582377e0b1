"""The trainers that every recipe uses, and their parts."""
