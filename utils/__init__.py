"""Small modules, one concept each: data, devices, run folders, figures. They import nothing of the platform's upper floors."""
