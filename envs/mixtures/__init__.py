"""Several environments as one to train on."""
