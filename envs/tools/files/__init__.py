"""tool_files: a simulated file system and jobs on it."""
