"""Published benchmarks beside mathematics: their data, their verifiers, their names."""
