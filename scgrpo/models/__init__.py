"""Models: loading, packed attention, and what a batch needs from a forward pass."""
