"""tau-bench's retail domain without a simulated user (arXiv:2406.12045)."""
