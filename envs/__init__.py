"""Verified multi-turn environments. Importing this package registers nothing and needs no torch."""
