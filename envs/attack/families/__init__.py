"""The attacks of the book, one module per family."""
