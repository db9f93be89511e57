"""A run on several machines, placed by Ray."""
