"""Published benchmarks of mathematics: their data, their answers by math-verify, their names."""
