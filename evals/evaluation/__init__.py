"""An evaluation: its plan, models, tasks, episodes and provenance."""
