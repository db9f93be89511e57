"""Published benchmarks that ask for a program: MBPP+ and LiveCodeBench."""
