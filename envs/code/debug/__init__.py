"""code_debug: find why a script gives a wrong value."""
