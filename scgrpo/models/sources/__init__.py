"""Where weights come from: folders, hubs, the default model. Torch is imported to unpack alone."""
