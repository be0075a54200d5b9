// Markdown, colours, tables and terminal text: what is hostile stays text, and what is long ends in time.

import assert from "node:assert/strict";
import { test } from "node:test";
import { highlight } from "../src/highlight";
import { type Block, type Inline, inline, parse } from "../src/markdown";
import { parseTable } from "../src/table";
import { runs, visible } from "../src/terminal";

const flat = (nodes: Inline[]): string => nodes.map((node) => (node.kind === "text" || node.kind === "code" ? node.text : node.kind === "break" ? "\n" : flat(node.children))).join("");
const kinds = (nodes: { kind: string }[]): string => nodes.map((node) => node.kind).join(" ");
const first = (text: string): Block => parse(text)[0] as Block;

test("emphasis, code and links are told from text", () => {
    assert.equal(kinds(inline("a **b** `c` *d* ~~e~~ [f](https://g.example/)")), "text strong text code text em text del text link");
    assert.equal(kinds(inline("2 * 3 * 4 and snake_case_name and __init__.py")), "text");
    assert.equal(flat(inline("\\*not\\* `a*b*`")), "*not* a*b*");
});

test("only pages and mail are links", () => {
    for (const href of ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "vbscript:x", "/v1/models", "//evil.example/", "blob:x", "file:///etc/passwd"]) {
        assert.equal(kinds(inline(`[x](${href})`)).includes("link"), false, href);
    }
    assert.equal(kinds(inline("![x](https://a.example/b.png)")), "link");
    assert.equal(kinds(inline("see https://a.example/b, then")), "text link text");
});

test("html is text", () => {
    const text = '<img src=x onerror="alert(1)"><script>alert(1)</script>';
    assert.deepEqual(parse(text), [{ kind: "paragraph", children: [{ kind: "text", text }] }]);
});

test("blocks nest, and an open fence is code already", () => {
    const list = first("1. one\n   - inner\n2. two\n\ntext");
    assert.equal(list.kind === "list" && list.items.length, 2);
    assert.equal(list.kind === "list" && kinds(list.items[0] ?? []), "paragraph list");
    assert.deepEqual(first("```python\nx = 1\n# not a heading"), { kind: "code", language: "python", text: "x = 1\n# not a heading" });
    const table = first("| a | b |\n|---|--:|\n| 1 | 2 |");
    assert.deepEqual(table.kind === "table" && [table.aligns, table.rows.length], [["", "right"], 1]);
    assert.equal(kinds(parse("# h\n> q\n\n---\n- l")), "heading quote rule list");
});

test("nothing that a model writes takes long", () => {
    const began = Date.now();
    const nasty = ["*", "_", "`", "[", "![", "**a ", "[a](", "> ", "- ", "  - ", "|", "a|b\n-|-\n", "h", "https://", "<", "\\", "#"];
    for (const piece of nasty) parse(piece.repeat(50_000 / piece.length));
    for (const piece of ["'", '"', "\\", "#", "@", "f'", "'''", "0x", "1e", "."]) highlight(piece.repeat(50_000 / piece.length));
    for (const piece of ["<", "<td ", "<table>", "<!--", "&#1;", '<td a="', "<tr><td>"]) parseTable(`<table>${piece.repeat(100_000 / piece.length)}`);
    for (const piece of ["\x1b[", "\x1b]", "\r", "\x1b[1;", "\x1b[31m"]) runs(piece.repeat(100_000 / piece.length));
    assert.ok(Date.now() - began < 5_000, `${Date.now() - began} ms`);
});

test("code keeps every character, and strings are not searched for keywords", () => {
    const code = '@cache\ndef f(x: int) -> str:\n    """if else"""\n    return f"{x} for" + \'\' # while\n';
    assert.equal(highlight(code).map((token) => token.text).join(""), code);
    const keywords = highlight(code).filter((token) => token.kind === "keyword").map((token) => token.text);
    assert.deepEqual(keywords, ["def", "return"]);
    assert.equal(highlight("'open\nx = 1").at(-1)?.text, "1");
    assert.equal(highlight("obj.print").some((token) => token.kind === "builtin"), false);
});

test("a pandas table is read, and any other html is not", () => {
    const table = parseTable('<div><style scoped>td{}</style><table border="1"><thead><tr><th></th><th colspan="2">a&lt;b</th></tr></thead><tbody><tr><th>0</th><td>x<br>y</td><td>&#x41;&amp;amp;</td></tr></tbody></table><p>1 rows × 2 columns</p></div>');
    assert.deepEqual(table?.rows.map((row) => row.cells.map((cell) => cell.text)), [["", "a<b"], ["0", "x\ny", "A&amp;"]]);
    assert.deepEqual([table?.rows[0]?.isHead, table?.rows[0]?.cells[1]?.columns, table?.notes], [true, 2, ["1 rows × 2 columns"]]);
    for (const html of ["<p>x</p>", "<table><tr><td><img src=x></td></tr></table>", "<table><script>1</script></table>", "<table></table>", "<table><tr><td>1</table><table>"]) assert.equal(parseTable(html), null, html);
});

test("a terminal's colours stay and its commands do not", () => {
    assert.deepEqual(runs("a\x1b[1;31mb\x1b[0mc\x1b[2J\x1b]0;title\x07d"), [
        { text: "a", classes: [] },
        { text: "b", classes: ["bold", "red"] },
        { text: "c", classes: [] },
        { text: "d", classes: [] },
    ]);
    assert.equal(runs("10%\r50%\r100%\nok\r\n")[0]?.text, "100%\nok\n");
    assert.equal(runs("a\x07\u202eb")[0]?.text, "a\ufffd\ufffdb");
    assert.equal(runs("\x9b\u061c\u200e\u200b\u2060\ufeff\u{e0041}a")[0]?.text, `${"\ufffd".repeat(7)}a`);
    assert.equal(runs("\u{1f469}\u200d\u{1f52c}\tb\n")[0]?.text, "\u{1f469}\u200d\u{1f52c}\tb\n");
    assert.equal(visible("a\u202egpj.exe\n"), "a\\u202egpj.exe\\u000a");
    assert.equal(visible("\u061cé\u200d\u2060\u3164\u{e0041}"), "\\u061cé\\u200d\\u2060\\u3164\\u{e0041}");
});
