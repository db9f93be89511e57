"""Evaluation of policies on verified environments."""
