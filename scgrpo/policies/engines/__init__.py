"""Engines that sample tokens outside the training process."""
