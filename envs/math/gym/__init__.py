"""math_gym: problems of reasoning-gym, the families they come from, and the wheel behind them."""
