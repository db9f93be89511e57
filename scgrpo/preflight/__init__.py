"""What is checked of a model and a run's settings before anything costs something."""
