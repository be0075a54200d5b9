// Python in colours: pieces of code with what they are. One pass, no backtracking, for half-written code too.

export type Token = { kind: "" | "keyword" | "builtin" | "string" | "number" | "comment" | "name" | "decorator"; text: string };

/** Longer code is shown in one colour. */
const CHARS_MAX = 60_000;

const words = (text: string): Set<string> => new Set(text.split(" "));

const KEYWORDS = words(
    "False None True and as assert async await break case class continue def del elif else except finally for from global " +
        "if import in is lambda match nonlocal not or pass raise return try while with yield",
);
const BUILTINS = words(
    "abs all any bool bytes callable chr dict dir display divmod enumerate eval exec filter float format frozenset getattr " +
        "globals hasattr hash help hex id input int isinstance issubclass iter len list locals map max min next object oct " +
        "open ord pow print range repr reversed round self set setattr slice sorted str sum super tuple type vars zip " +
        "Exception KeyError IndexError NameError RuntimeError TypeError ValueError ZeroDivisionError",
);

const TOKEN =
    /(#[^\n]*)|((?:[rRbBuUfF]{1,2})?(?:"""|'''|"|'))|(0[xXoObB][\da-fA-F_]+|(?:\d[\d_]*)?\.?\d[\d_]*(?:[eE][+-]?\d+)?j?)|(@[A-Za-z_][\w.]*)|([A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)|(\s+|.)/gy;

export function highlight(code: string): Token[] {
    if (code.length > CHARS_MAX) return [{ kind: "", text: code }];
    const tokens: Token[] = [];
    const add = (kind: Token["kind"], text: string): void => {
        const last = tokens.at(-1);
        if (last && last.kind === kind) last.text += text;
        else tokens.push({ kind, text });
    };
    let before = "";
    let isLineStart = true;
    let at = 0;
    while (at < code.length) {
        TOKEN.lastIndex = at;
        const found = TOKEN.exec(code);
        if (!found) {
            add("", code.slice(at));
            break;
        }
        const [text, comment, quote, number, decorator, word] = found;
        let end = at + text.length;
        if (comment) add("comment", text);
        else if (quote) {
            end = stringEnd(code, end, quote);
            add("string", code.slice(at, end));
        } else if (number) add("number", text);
        else if (decorator) add(isLineStart ? "decorator" : "", text);
        else if (word) {
            add(kindOf(word, before, code[at - 1]), text);
            before = word;
        } else add("", text);
        if (text.includes("\n")) isLineStart = true;
        else if (text.trim() !== "") isLineStart = false;
        at = end;
    }
    return tokens;
}

function kindOf(word: string, before: string, character: string | undefined): Token["kind"] {
    if (character === ".") return "";
    if (before === "def" || before === "class") return "name";
    if (KEYWORDS.has(word)) return "keyword";
    return BUILTINS.has(word) ? "builtin" : "";
}

/** Where a string ends that was opened with `opened`; a short one ends with its line at the latest. */
function stringEnd(code: string, from: number, opened: string): number {
    const quote = opened.replace(/^[A-Za-z]+/, "");
    for (let at = from; at < code.length; at += 1) {
        if (code[at] === "\\") at += 1;
        else if (code.startsWith(quote, at)) return at + quote.length;
        else if (quote.length === 1 && code[at] === "\n") return at;
    }
    return code.length;
}
