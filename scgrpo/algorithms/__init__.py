"""Published algorithms as presets, advantages, distillation losses."""
