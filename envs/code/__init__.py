"""Environments whose tasks are programs and whose verifier is a test suite in a sandbox."""
