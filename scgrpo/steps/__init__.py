"""What a step of training consists of: its groups, what is learned from them, its log."""
