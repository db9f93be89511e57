"""What runs inside a sandbox: the security boundary. Standard library only."""
