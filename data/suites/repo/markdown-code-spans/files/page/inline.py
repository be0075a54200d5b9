"""Code spans and emphasis."""
import re

from page.escape import escape


def render(text):
    """HTML of the inside of a block."""
    html = escape(text)
    html = re.sub(r"`(.+?)`", r"<code>\1</code>", html)
    html = re.sub(r"\*(.+?)\*", r"<em>\1</em>", html)
    return html
