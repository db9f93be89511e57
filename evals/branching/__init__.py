"""What a token was worth, by playing on from before and behind it: the truth that credit is of."""
