"""Paragraphs and headings."""
from page.inline import render


def to_html(text):
    """HTML of a text."""
    blocks = [block.strip() for block in text.split("\n\n") if block.strip()]
    return "\n".join(block_html(block) for block in blocks)


def block_html(block):
    """HTML of one block."""
    if block.startswith("# "):
        return f"<h1>{render(block[2:].strip())}</h1>"
    return f"<p>{render(block)}</p>"
