"""A small Markdown."""
from page.blocks import to_html

__all__ = ["to_html"]
