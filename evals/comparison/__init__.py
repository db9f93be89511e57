"""Paired comparison of two evaluations."""
