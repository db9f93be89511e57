"""Whether a model reads references: what `scgrpo gap` shows it, plays and reports."""
