"""Commands that make swe_lite's data: bugs, decoys, bundled sources, witnesses."""
