"""Published benchmarks that a server of the user's plays: AppWorld and WebShop."""
