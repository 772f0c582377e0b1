"""The networks of model strings from scratch: each layer, the loss and the optimizers in plain NumPy."""
