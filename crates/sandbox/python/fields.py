"""Structured payloads: a sequence of u32 LE length | key | u32 LE length | value, without a count."""

FRAME_BYTES_MAX = 16 << 20
TEXT_CHARS_MAX = 1 << 20        # of one text that goes to the host; it keeps even less


def encode(pairs):
    """Bytes of (key, value) pairs. Text is written as UTF-8; what UTF-8 cannot hold, as backslash escapes."""
    parts = []
    for pair in pairs:
        for item in pair:
            data = item.encode("utf-8", "backslashreplace") if type(item) is str else item
            parts.append(len(data).to_bytes(4, "little"))
            parts.append(data)
    return b"".join(parts)


def decode(data):
    """Pairs of (key, value bytes); ValueError for anything malformed."""
    pairs, position, size = [], 0, len(data)
    while position < size:
        items = []
        for _ in range(2):
            start = position + 4
            end = start + int.from_bytes(data[position:start], "little")
            if start > size or end > size:
                raise ValueError("fields end inside a length or a value")
            items.append(data[start:end])
            position = end
        pairs.append((items[0].decode("utf-8"), items[1]))
    return pairs


def shorten(text, limit=TEXT_CHARS_MAX):
    """The text, or its first and last part with a line that says how much is left out."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters omitted ...]\n{text[-half:]}"
