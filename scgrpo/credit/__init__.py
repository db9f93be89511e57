"""Per-token credit: how much of the update each token gets; `rule` says what a credit rule is."""
