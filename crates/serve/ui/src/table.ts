// Tables out of HTML, as pandas writes them, so that they are shown as tables of this page and not in a frame.
//
// Reads text and knows a handful of tags; with any other the HTML is no table for us. Nothing of it is kept but text.

export interface Cell {
    text: string;
    isHead: boolean;
    columns: number;
    rows: number;
}

export interface Table {
    rows: { cells: Cell[]; isHead: boolean }[];
    /** Text around the table, such as `3 rows × 2 columns`. */
    notes: string[];
}

const CHARS_MAX = 2 << 20;
const SPAN_MAX = 200;
const PLAIN = new Set("div span p b i em strong br tbody tfoot caption colgroup col".split(" "));
const TAG = /<!--[\s\S]*?(?:-->|$)|<(\/?)([A-Za-z][A-Za-z0-9]*)([^<>]*)>|([^<]+|<)/g;
const NAMED: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", times: "×" };

/** `null`: it is something else. */
export function parseTable(html: string): Table | null {
    if (html.length > CHARS_MAX || !/<table[\s>]/i.test(html)) return null;
    const table: Table = { rows: [], notes: [] };
    let cell: Cell | null = null;
    let note = "";
    let isHead = false;
    let tables = 0;
    let isStyle = false;
    for (const [, slash, name, attributes, text] of html.matchAll(TAG)) {
        if (text !== undefined) {
            if (isStyle) continue;
            if (cell) cell.text += decode(text);
            else note += decode(text);
            continue;
        }
        const tag = name?.toLowerCase();
        if (tag === undefined) continue;
        const isEnd = slash === "/";
        if (tag === "style") isStyle = !isEnd;
        else if (tag === "table") tables += isEnd ? 0 : 1;
        else if (tag === "thead") isHead = !isEnd;
        else if (tag === "tr") {
            cell = null;
            if (!isEnd) table.rows.push({ cells: [], isHead });
        } else if (tag === "td" || tag === "th") {
            cell = isEnd ? null : { text: "", isHead: tag === "th", columns: span(attributes, "colspan"), rows: span(attributes, "rowspan") };
            const row = table.rows.at(-1);
            if (cell && !row) return null;
            if (cell) row?.cells.push(cell);
        } else if (!PLAIN.has(tag)) return null;
        else if (tag === "br" && cell) cell.text += "\n";
    }
    table.notes = note.split("\n").map((line) => line.trim()).filter((line) => line !== "");
    return tables === 1 && table.rows.length > 0 ? table : null;
}

function span(attributes: string | undefined, name: string): number {
    const found = new RegExp(`\\b${name}\\s*=\\s*["']?(\\d{1,4})`, "i").exec(attributes ?? "");
    return Math.min(Math.max(Number(found?.[1] ?? 1), 1), SPAN_MAX);
}

function decode(text: string): string {
    return text.replace(/&(?:#x([\da-f]{1,6})|#(\d{1,7})|([a-z]{2,5}));/gi, (whole, hex?: string, decimal?: string, name?: string) => {
        if (name !== undefined) return NAMED[name] ?? whole;
        const code = hex !== undefined ? parseInt(hex, 16) : Number(decimal);
        return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : "\ufffd";
    });
}
