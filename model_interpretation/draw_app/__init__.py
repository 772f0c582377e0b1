"""The draw-and-predict page: a server on this machine alone, and the page that it serves."""
