"""Where sandboxes come from: Docker, bubblewrap, plain processes, a script."""
