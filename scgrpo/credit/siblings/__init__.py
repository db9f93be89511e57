"""Rules that ask what a token owes to verified and failed episodes of its group."""
