"""The site: an article and a drawing page on which networks run in the visitor's browser."""
