"""Sandboxes for hostile code: leased boxes behind one protocol."""
