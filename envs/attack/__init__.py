"""A book of attacks on the graders of code environments, and what plays it."""
