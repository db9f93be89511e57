"""A declared trial of methods on cells: plan, shards, data, tables."""
