// Markdown of thoughts and answers, as a tree. HTML in it is text; images are links; unknown is text.
//
// Everything is bounded and in one pass: a model may write anything.

export type Inline =
    | { kind: "text"; text: string }
    | { kind: "code"; text: string }
    | { kind: "break" }
    | { kind: "strong" | "em" | "del"; children: Inline[] }
    | { kind: "link"; href: string; children: Inline[] };

export type Block =
    | { kind: "paragraph"; children: Inline[] }
    | { kind: "heading"; level: number; children: Inline[] }
    | { kind: "code"; language: string; text: string }
    | { kind: "quote"; children: Block[] }
    | { kind: "list"; isOrdered: boolean; start: number; items: Block[][] }
    | { kind: "table"; aligns: string[]; head: Inline[][]; rows: Inline[][][] }
    | { kind: "rule" };

const DEPTH_MAX = 8;
const INLINE_CHARS_MAX = 20_000;
const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([\w+#.-]*)[^`]*$/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])(?: +|$)/;
const HEADING = /^ {0,3}(#{1,6}) +(.*?)(?: +#+)? *$/;
const RULE = /^ {0,3}([-*_])(?: *\1){2,} *$/;

export function parse(text: string): Block[] {
    return blocks(text.replace(/\r\n?/g, "\n").split("\n"), 0);
}

function blocks(lines: string[], depth: number): Block[] {
    const found: Block[] = [];
    let paragraph: string[] = [];
    const flush = (): void => {
        if (paragraph.length > 0) found.push({ kind: "paragraph", children: inline(paragraph.map((line) => line.trimStart()).join("\n").trimEnd()) });
        paragraph = [];
    };
    let at = 0;
    while (at < lines.length) {
        const line = lines[at] ?? "";
        const special = depth < DEPTH_MAX ? block(lines, at, depth, paragraph.length > 0) : null;
        if (special) {
            flush();
            found.push(special.block);
            at = special.next;
        } else {
            if (line.trim() === "") flush();
            else paragraph.push(line);
            at += 1;
        }
    }
    flush();
    return found;
}

type Found = { block: Block; next: number } | null;

function block(lines: string[], at: number, depth: number, isInParagraph: boolean): Found {
    const line = lines[at] ?? "";
    const fence = FENCE.exec(line);
    if (fence) return code(lines, at, fence[1] ?? "```", fence[2] ?? "");
    const heading = HEADING.exec(line);
    if (heading) return { block: { kind: "heading", level: heading[1]?.length ?? 1, children: inline(heading[2] ?? "") }, next: at + 1 };
    if (RULE.test(line)) return { block: { kind: "rule" }, next: at + 1 };
    if (/^ {0,3}>/.test(line)) {
        const end = endOf(lines, at, (next) => /^ {0,3}>/.test(next));
        const inner = lines.slice(at, end).map((line) => line.replace(/^ {0,3}> ?/, ""));
        return { block: { kind: "quote", children: blocks(inner, depth + 1) }, next: end };
    }
    const item = ITEM.exec(line);
    // In a paragraph only a list that begins with 1 is one: a line may begin with a year.
    if (item && (item[1]?.length ?? 0) < 4 && (!isInParagraph || /^([-*+]|1[.)])$/.test(item[2] ?? ""))) return list(lines, at, depth);
    return table(lines, at);
}

function endOf(lines: string[], from: number, belongs: (line: string) => boolean): number {
    let end = from;
    while (end < lines.length && belongs(lines[end] ?? "")) end += 1;
    return end;
}

function code(lines: string[], at: number, fence: string, language: string): Found {
    const closes = (line: string): boolean => line.trim().length >= fence.length && line.trim() === (fence[0] ?? "`").repeat(line.trim().length);
    const end = endOf(lines, at + 1, (line) => !closes(line));
    return { block: { kind: "code", language, text: lines.slice(at + 1, end).join("\n") }, next: end + 1 };
}

function list(lines: string[], at: number, depth: number): Found {
    const first = ITEM.exec(lines[at] ?? "");
    const indent = first?.[1]?.length ?? 0;
    const isOrdered = /\d/.test(first?.[2] ?? "");
    const items: string[][] = [];
    let inside = 0;
    let next = at;
    for (; next < lines.length; next += 1) {
        const line = lines[next] ?? "";
        const item = ITEM.exec(line);
        const own = line.length - line.trimStart().length;
        if (item && own < indent + 2 && own >= indent && /\d/.test(item[2] ?? "") === isOrdered && !RULE.test(line)) {
            inside = item[0].length;
            items.push([line.slice(inside)]);
        } else if (line.trim() === "") {
            const after = lines[next + 1] ?? "";
            const goesOn = after.trim() !== "" && (after.length - after.trimStart().length >= indent + 2 || ITEM.exec(after)?.[1]?.length === indent);
            if (!goesOn) break;
            items.at(-1)?.push("");
        } else if (own >= indent + 2) items.at(-1)?.push(line.slice(Math.min(own, inside)));
        else if (item || FENCE.test(line) || HEADING.test(line) || lines[next - 1]?.trim() === "") break;
        else items.at(-1)?.push(line.trimStart());
    }
    const start = Number.parseInt(first?.[2] ?? "1", 10) || 1;
    return { block: { kind: "list", isOrdered, start, items: items.map((item) => blocks(item, depth + 1)) }, next };
}

function table(lines: string[], at: number): Found {
    const head = lines[at] ?? "";
    const rule = lines[at + 1] ?? "";
    if (!head.includes("|") || !/^ *\|? *:?-+:? *(\| *:?-+:? *)*\|? *$/.test(rule) || cells(head).length !== cells(rule).length) return null;
    const end = endOf(lines, at + 2, (line) => line.includes("|"));
    const aligns = cells(rule).map((cell) => (cell.endsWith(":") ? (cell.startsWith(":") ? "center" : "right") : ""));
    const rows = lines.slice(at + 2, end).map((line) => cells(line).slice(0, aligns.length).map((cell) => inline(cell)));
    return { block: { kind: "table", aligns, head: cells(head).map((cell) => inline(cell)), rows }, next: end };
}

function cells(line: string): string[] {
    return line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
}

// `__` is no mark: here it is a part of names such as `__init__`.
const MARKS: [string, "strong" | "em" | "del"][] = [["**", "strong"], ["~~", "del"], ["*", "em"], ["_", "em"]];

export function inline(text: string, depth = 0): Inline[] {
    if (depth >= DEPTH_MAX || text.length > INLINE_CHARS_MAX) return [{ kind: "text", text }];
    const found: Inline[] = [];
    /** Marks that are not closed behind here: looked for once. */
    const open = new Set<string>();
    let plain = "";
    const add = (node: Inline): void => {
        if (plain !== "") found.push({ kind: "text", text: plain });
        plain = "";
        found.push(node);
    };
    let at = 0;
    while (at < text.length) {
        const special = span(text, at, depth, open);
        if (special) {
            add(special.node);
            at = special.next;
        } else if (text[at] === "\\" && /[!-/:-@[-`{-~]/.test(text[at + 1] ?? "")) {
            plain += text[at + 1];
            at += 2;
        } else {
            plain += text[at];
            at += 1;
        }
    }
    if (plain !== "") found.push({ kind: "text", text: plain });
    return found;
}

type Spanned = { node: Inline; next: number } | null;

function span(text: string, at: number, depth: number, open: Set<string>): Spanned {
    const character = text[at];
    if (character === "\n") return { node: / {2}$/.test(text.slice(Math.max(0, at - 2), at)) ? { kind: "break" } : { kind: "text", text: "\n" }, next: at + 1 };
    if (character === "`") return codeSpan(text, at, open);
    if (character === "[" || (character === "!" && text[at + 1] === "[")) return link(text, at, depth);
    if (character === "h" && !/\w/.test(text[at - 1] ?? "")) return address(text, at);
    for (const [mark, kind] of MARKS) {
        if (!text.startsWith(mark, at) || open.has(mark)) continue;
        const from = at + mark.length;
        // `_` within a word is a part of its name.
        if (/^$|\s/.test(text[from] ?? "") || (mark === "_" && text[from] === "_") || (mark[0] === "_" && /\w/.test(text[at - 1] ?? ""))) continue;
        const end = closing(text, from + 1, mark);
        if (end < 0) open.add(mark);
        else return { node: { kind, children: inline(text.slice(from, end), depth + 1) }, next: end + mark.length };
    }
    return null;
}

function closing(text: string, from: number, mark: string): number {
    for (let at = text.indexOf(mark, from); at >= 0; at = text.indexOf(mark, at + 1)) {
        const isDouble = mark.length === 1 && (text[at + 1] === mark || text[at - 1] === mark);
        const isInWord = mark[0] === "_" && /\w/.test(text[at + mark.length] ?? "");
        if (!/\s/.test(text[at - 1] ?? "") && text[at - 1] !== "\\" && !isDouble && !isInWord) return at;
    }
    return -1;
}

function codeSpan(text: string, at: number, open: Set<string>): Spanned {
    const fence = /^`+/.exec(text.slice(at, at + 16))?.[0] ?? "`";
    if (open.has(fence)) return null;
    const end = text.indexOf(fence, at + fence.length);
    if (end >= 0) return { node: { kind: "code", text: text.slice(at + fence.length, end).replace(/^ (.*) $/, "$1") }, next: end + fence.length };
    open.add(fence);
    return null;
}

const LINK = /!?\[([^[\]\n]{0,500})\]\(\s*<?([^\s()<>]{1,2000}(?:\([^\s()<>]*\))?)>?(?:\s+"[^"\n]*")?\s*\)/y;

function link(text: string, at: number, depth: number): Spanned {
    LINK.lastIndex = at;
    const found = LINK.exec(text);
    const href = found && harmless(found[2] ?? "");
    if (!found || !href) return null;
    return { node: { kind: "link", href, children: inline(found[1] || href, depth + 1) }, next: at + found[0].length };
}

const ADDRESS = /https?:\/\/[^\s<>"'`|\\^{}[\]]{1,2000}/y;

function address(text: string, at: number): Spanned {
    ADDRESS.lastIndex = at;
    const found = ADDRESS.exec(text)?.[0].replace(/[.,;:!?)*_~]+$/, "");
    const href = found && harmless(found);
    return found && href ? { node: { kind: "link", href, children: [{ kind: "text", text: found }] }, next: at + found.length } : null;
}

/** Pages and mail only: `javascript:` and `data:` are never links, and nothing of this server is. */
function harmless(href: string): string | null {
    try {
        const address = new URL(href);
        return ["http:", "https:", "mailto:"].includes(address.protocol) ? address.href : null;
    } catch {
        return null;
    }
}
