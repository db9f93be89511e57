"""Tool-use environments: applications whose final state is what is judged."""
