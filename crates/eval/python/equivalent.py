"""Mutants that change nothing of what is promised, each with the reason."""

EQUIVALENT = {
    "rows.rows_of: 1 -> 2":
        "a row more is fetched than is needed to know that there are too many",
    "grader.taken_apart: 'raised' -> 'xraised' (2)":
        "what is neither a value nor refused is raised",
    "grader.examine.why: '' -> 'x' (4)":
        "the text of no line is not told",
    "grader.examine: compile(code, '<tests>', 'exec', 0, True) -> compile(code, '<tests>', 'exec', 0)":
        "the code that compiles has no features of the future that could be inherited",
    "grader.examine: True -> False (2)":
        "the same",
    "candidate.start_candidate.modules_of: reversed(parts) -> list(parts)":
        "the shorter expressions within an expression are looked at too, and each gives its own last name",
    "candidate.start_candidate.modules_of: 1 -> 2 (2)":
        "the longest name comes twice, and names are a set",
    "candidate.start_candidate.evaluate: '.' -> 'x.'":
        "a module within a package comes with the name of the package, which is what an expression can use",
    "candidate.start_candidate.evaluate: '<expression>' -> 'x<expression>'":
        "the name of a source is told in tracebacks only, and there is none",
    "candidate.start_candidate.evaluate: '<expression>' -> 'x<expression>' (2)":
        "the same",
    "values.unpack: type(data) is not dict or len(data) != 1 -> type(data) is not dict":
        "several items cannot be taken apart as one, which is a ValueError too",
    "values.unpack: kind == 'int' and type(inner) is str -> kind == 'int'":
        "`int` with a base refuses what is no text by a TypeError",
    "values.unpack: kind == 'float' and type(inner) is str -> kind == 'float'":
        "so does `float.fromhex`",
    "values.unpack: kind == 'bytes' and type(inner) is str -> kind == 'bytes'":
        "so does `bytes.fromhex`",
    "values.unpack: made is None -> False":
        "None cannot be called, which is a TypeError",
    "values.unpack: raise ValueError('no value') -> pass (3)":
        "the same",
    "asserts: BESIDE.test_asserts: the pattern without the ? after [^`\\n]*\\n(.*":
        "there is only one place from which a fence reaches to the end",
    "asserts.translated: isinstance(node, (ast.Import, ast.ImportFrom)) and node not in context "
    "-> isinstance(node, (ast.Import, ast.ImportFrom))":
        "what is imported in the context is known, so it is not needed again",
    "asserts: BESIDE.test_asserts: ['python', '-'] -> ['python']":
        "an interpreter without arguments reads its program from stdin, too",
    "asserts: BESIDE.test_asserts: 16 -> 17":
        "a sign of any such length is guessed by nobody",
    "asserts: BESIDE.test_asserts: 16 -> 15":
        "the same",
    "asserts.translated: compile(written, '<tests>', 'exec', 0, True) -> compile(written, '<tests>', 'exec', 0)":
        "the code that compiles has no features of the future that could be inherited",
    "asserts.translated: True -> False":
        "the same",
    "asserts.translated: '<tests>' -> 'x<tests>'":
        "the name of a source is told in tracebacks only",
    "asserts.compared: '\\n' -> 'x\\n' (2)":
        "a body of several lines is replaced by its text",
    "asserts.names_in: '<module>' -> 'x<module>'":
        "the name of a source is told in tracebacks only",
    "asserts.names_in: table is top or symbol.is_global() -> symbol.is_global()":
        "what is read at the top is global for `symtable` too",
    "asserts.bound: isinstance(node, ast.ExceptHandler) and node.name -> isinstance(node, ast.ExceptHandler)":
        "None is the name of nothing",
}
