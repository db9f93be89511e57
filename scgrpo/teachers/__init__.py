"""What the teacher reads in front of an episode."""
