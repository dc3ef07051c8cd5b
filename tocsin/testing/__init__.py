"""Twins of the real parts, shipped and examined like them (``tests/contracts``)."""
