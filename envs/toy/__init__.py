"""Environments that are small enough to check a training loop in seconds."""
