"""code_fn: write a function to a specification."""
