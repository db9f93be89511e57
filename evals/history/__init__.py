"""All runs of a folder, side by side: what they were, what they reached, what they cost."""
