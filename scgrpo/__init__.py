"""Self-conditioned GRPO: credit goes to the tokens that decide."""
