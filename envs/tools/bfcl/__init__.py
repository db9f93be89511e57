"""Tasks of the Berkeley Function-Calling Leaderboard, for tool_files."""
