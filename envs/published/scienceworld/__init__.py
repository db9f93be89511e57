"""ScienceWorld, by its own package (arXiv:2203.07540)."""
