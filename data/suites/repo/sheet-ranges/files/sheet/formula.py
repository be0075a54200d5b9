"""Formulas: read and worked out in one go, from left to right."""
from sheet.tokens import Problem, tokens

ERRORS = ("#SYNTAX", "#TYPE", "#DIV")


def evaluate(text, value_of):
    """The value of a formula; `value_of` gives those of cells. Problem: its error."""
    parts = tokens(text)
    tree, rest = sum_of(parts)
    if rest:
        raise Problem("#SYNTAX")
    return worked_out(tree, value_of)


def sum_of(parts):
    """Products, added or subtracted: (tree, the tokens behind it)."""
    tree, parts = product_of(parts)
    while parts and parts[0] in ("+", "-"):
        sign, (other, parts) = parts[0], product_of(parts[1:])
        tree = (sign, tree, other)
    return tree, parts


def product_of(parts):
    """Factors, multiplied or divided."""
    tree, parts = factor_of(parts)
    while parts and parts[0] in ("*", "/"):
        sign, (other, parts) = parts[0], factor_of(parts[1:])
        tree = (sign, tree, other)
    return tree, parts


def factor_of(parts):
    """A number, a cell, something in parentheses, or one of these with a sign."""
    if not parts:
        raise Problem("#SYNTAX")
    first, rest = parts[0], parts[1:]
    if first in ("+", "-"):
        tree, rest = factor_of(rest)
        return (first, 0.0, tree), rest
    if first == "(":
        tree, rest = sum_of(rest)
        if not rest or rest[0] != ")":
            raise Problem("#SYNTAX")
        return tree, rest[1:]
    if isinstance(first, float) or first[0].isalpha():
        return first, rest
    raise Problem("#SYNTAX")


def worked_out(tree, value_of):
    """The value of a tree."""
    if isinstance(tree, float):
        return tree
    if isinstance(tree, str):
        value = value_of(tree)
        if value in ERRORS:
            raise Problem(value)
        return value
    sign, left, right = tree
    left, right = (number(worked_out(part, value_of)) for part in (left, right))
    if sign == "/" and right == 0:
        raise Problem("#DIV")
    return {"+": left.__add__, "-": left.__sub__, "*": left.__mul__, "/": left.__truediv__}[sign](right)


def number(value):
    """A value for arithmetic."""
    if isinstance(value, str):
        raise Problem("#TYPE")
    return value or 0.0
