"""Summaries of logs."""
