"""Files that are copied into a Harbor task and run there. Standard library only."""
