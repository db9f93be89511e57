"""The warm start: a short supervised stage before RL. See `starting_weights`."""
