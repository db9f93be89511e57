"""What an agent may import of this project: a folder for its PYTHONPATH."""
