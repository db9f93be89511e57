"""Settings from key=value words and YAML to frozen dataclasses, and their help."""
