"""Sells seats of a theatre."""
