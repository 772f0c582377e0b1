"""Small modules, one concept each: data, devices, run folders, figures. They know nothing of the floors above."""
