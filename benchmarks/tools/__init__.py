"""What benchmarks share: a training step, facts of the machine, the table, the curves."""
