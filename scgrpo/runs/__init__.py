"""Run folders: where they are, atomic writes, metrics."""
