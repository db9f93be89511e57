"""TextCraft: craft an item by recipes, in text (arXiv:2311.05772)."""
