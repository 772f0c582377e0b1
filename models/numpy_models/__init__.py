"""The networks of model strings from scratch: NumPy alone, one small class a layer."""
