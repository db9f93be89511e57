"""What benchmarks compare with: programs in virtual environments of their own (`*_side.py`)."""
