"""Credit of whole turns: an advantage for each, from verdicts, scores or states."""
