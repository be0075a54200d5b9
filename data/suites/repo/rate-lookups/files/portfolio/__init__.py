"""Portfolios in several currencies."""
