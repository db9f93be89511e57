"""swe_lite: repair a one-line bug in a real module; hidden tests and a witness decide."""
