"""One-line bugs: where a module can be mutated, and how."""
