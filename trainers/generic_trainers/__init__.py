"""The loop that trains any network, and what it is made of."""
