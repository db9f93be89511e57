"""Agents of others: an endpoint that records what they sample, and their runs as episodes."""
