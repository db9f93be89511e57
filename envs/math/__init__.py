"""Arithmetic and word problems, with answers compared exactly."""
