"""The drawing page of `mnist draw`: a server for this machine only, its predictions, and the page itself."""
