"""Characters that mean something in HTML."""


def escape(text):
    """Text as HTML shows it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
