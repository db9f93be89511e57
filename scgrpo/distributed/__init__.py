"""Several training processes: process groups and sharding."""
