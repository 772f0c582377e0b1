"""MNIST-C: the fifteen corruptions of Mu and Gilmer (2019, arXiv 1906.02337), one severity each, as seeded generators.

Written anew from what the published generator does; it was run once, and ours are held against its digits
(benchmarks/mnist_c_agreement.py). A corruption takes digits as float32 levels from 0 to 255 and gives such levels; what
leaves 0 to 255 is clipped, and levels are rounded, when `corrupt` makes bytes of them.
"""
