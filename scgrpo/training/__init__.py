"""Parts of the training loop: optimizer, checkpoints, curriculum, monitors."""
