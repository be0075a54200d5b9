"""Cuts programs into tokens."""
from tokens.scan import ScanError, scan

__all__ = ["ScanError", "scan"]
