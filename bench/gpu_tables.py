"""What the tables of the GPU benchmark are made with."""

import statistics


def table(head, rows):
    """Markdown; empty without rows."""
    rows = [[text(cell) for cell in row] for row in rows]
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)] if rows else []


def text(cell):
    return "-" if cell is None else str(cell).replace("|", "\\|")


def spread(values, digits=0):
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def done(result, *parts):
    return [item for item in result["items"] if item["part"] in parts and item["status"] == "done"]
