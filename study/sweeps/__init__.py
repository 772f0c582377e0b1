"""Many recipes as one: which points, on which engine, with what result."""
