"""Hiking trails."""
