// Markdown, code, output and displays as nodes of the page.

import { save } from "./api";
import { button, h } from "./dom";
import { highlight } from "./highlight";
import { type Block, type Inline, parse } from "./markdown";
import { type Table, parseTable } from "./table";
import { runs, visible } from "./terminal";
import type { Bundle } from "./wire";

const ROWS_MAX = 500;
const TEXT_CHARS_HEAD = 200_000;
const TEXT_CHARS_TAIL = 100_000;
const FRAME_CHARS_MAX = 8 << 20;
/** Raster images only: an SVG is a document, and goes to a frame. */
const RASTER = ["image/png", "image/jpeg", "image/webp", "image/gif"];
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

export function markdown(text: string): Node[] {
    return parse(text).map(blockNode);
}

function blockNode(block: Block): Node {
    switch (block.kind) {
        case "paragraph":
            return h("p", {}, ...block.children.map(inlineNode));
        case "heading":
            // The page's own headings are above these.
            return h("p", { class: `heading level-${block.level}`, role: "heading", "aria-level": Math.min(block.level + 3, 6) }, ...block.children.map(inlineNode));
        case "code":
            return h("pre", { class: "fence", tabindex: 0 }, h("code", {}, ...(isPython(block.language) ? pythonNodes(block.text) : [block.text])));
        case "quote":
            return h("blockquote", {}, ...block.children.map(blockNode));
        case "rule":
            return h("hr");
        case "list": {
            const items = block.items.map((item) => h("li", {}, ...itemNodes(item)));
            return block.isOrdered ? h("ol", { start: block.start }, ...items) : h("ul", {}, ...items);
        }
        case "table": {
            const align = (index: number): string => block.aligns[index] ?? "";
            const head = block.head.map((cell, index) => h("th", { scope: "col", class: align(index) }, ...cell.map(inlineNode)));
            const rows = block.rows.map((row) => h("tr", {}, ...row.map((cell, index) => h("td", { class: align(index) }, ...cell.map(inlineNode)))));
            return h("div", { class: "table", tabindex: 0, role: "group", "aria-label": "Table" }, h("table", {}, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...rows)));
        }
    }
}

/** An item of one paragraph is its text alone. */
function itemNodes(blocks: Block[]): Node[] {
    return blocks.flatMap((block) => (block.kind === "paragraph" ? block.children.map(inlineNode) : [blockNode(block)]));
}

function inlineNode(node: Inline): Node {
    switch (node.kind) {
        case "text":
            return document.createTextNode(node.text);
        case "code":
            return h("code", {}, node.text);
        case "break":
            return h("br");
        case "link":
            return h("a", { href: node.href, target: "_blank", rel: "noopener noreferrer nofollow", title: visible(node.href) }, ...node.children.map(inlineNode));
        default:
            return h(node.kind, {}, ...node.children.map(inlineNode));
    }
}

const isPython = (language: string): boolean => ["", "py", "python", "python3", "ipython"].includes(language.toLowerCase());

export function pythonNodes(code: string): Node[] {
    return highlight(code).map(({ kind, text }) => (kind === "" ? document.createTextNode(text) : h("span", { class: `py-${kind}` }, text)));
}

/** What a program printed. */
export function outputNodes(text: string): Node[] {
    let shown = text;
    if (text.length > TEXT_CHARS_HEAD + TEXT_CHARS_TAIL) {
        const left = text.length - TEXT_CHARS_HEAD - TEXT_CHARS_TAIL;
        shown = `${text.slice(0, TEXT_CHARS_HEAD)}\n[${left} characters are not shown here; Copy has them]\n${text.slice(-TEXT_CHARS_TAIL)}`;
    }
    return runs(shown).map(({ text, classes }) => (classes.length === 0 ? document.createTextNode(text) : h("span", { class: classes.map((name) => `term-${name}`).join(" ") }, text)));
}

/** A figure, a table, or the best of what else there is. `null`: nothing of it can be shown. */
export function display(data: Bundle, step: number): Node | null {
    for (const mime of RASTER) {
        const content = data[mime]?.replace(/\s/g, "");
        if (content && BASE64.test(content)) return figure(mime, content, data["text/plain"], step);
    }
    const svg = data["image/svg+xml"];
    // As an image in the frame a drawing keeps its styles and loads nothing.
    if (svg) return frame(`<img alt="" src="data:image/svg+xml;base64,${base64(svg)}">`, "Drawing");
    const html = data["text/html"];
    if (html) {
        const table = parseTable(html);
        return table ? tableNode(table) : frame(html, "HTML output");
    }
    if (data["text/markdown"]) return h("div", { class: "prose" }, ...markdown(data["text/markdown"]));
    const json = data["application/json"];
    const text = data["text/plain"] ?? (json === undefined ? undefined : pretty(json)) ?? data["text/latex"];
    if (text !== undefined) return h("pre", { class: "text", tabindex: 0 }, ...outputNodes(text));
    const names = Object.keys(data).map(visible).join(", ");
    return names === "" ? null : h("p", { class: "muted" }, `This output (${names}) cannot be shown here.`);
}

function figure(mime: string, content: string, plain: string | undefined, step: number): Node {
    const type = mime.slice("image/".length);
    const about = plain && !/^<?Figure\b/.test(plain) ? visible(plain.slice(0, 200)) : "";
    const image = h("img", { alt: about || `Figure made in step ${step}`, src: `data:${mime};base64,${content}` });
    const keep = (): void => save(new Blob([bytes(content)], { type: mime }), `figure-step-${step}.${type}`);
    return h("figure", {}, image, h("figcaption", {}, button({ icon: "download", label: "Download the figure" }, keep, { class: "quiet" })));
}

function bytes(content: string): Uint8Array<ArrayBuffer> {
    return Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
}

function base64(text: string): string {
    return btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(""));
}

function pretty(json: unknown): string {
    try {
        return JSON.stringify(typeof json === "string" ? JSON.parse(json) : json, null, 2);
    } catch {
        return String(json);
    }
}

function tableNode(table: Table): Node {
    const shown = table.rows.slice(0, ROWS_MAX);
    const row = ({ cells }: Table["rows"][number], isHead: boolean): Node => {
        const made = cells.map((cell) => h(cell.isHead ? "th" : "td", { colspan: cell.columns > 1 && cell.columns, rowspan: cell.rows > 1 && cell.rows, scope: cell.isHead && (isHead ? "col" : "row"), class: isNumber(cell.text) && "right" }, cell.text.trim()));
        return h("tr", {}, ...made);
    };
    const head = shown.filter((row) => row.isHead).map((each) => row(each, true));
    const body = shown.filter((row) => !row.isHead).map((each) => row(each, false));
    const notes = table.rows.length > ROWS_MAX ? [...table.notes, `The first ${ROWS_MAX} of ${table.rows.length} rows`] : table.notes;
    return h("div", { class: "display" }, h("div", { class: "table", tabindex: 0, role: "group", "aria-label": "Table" }, h("table", {}, h("thead", {}, ...head), h("tbody", {}, ...body))), ...notes.map((note) => h("p", { class: "muted note" }, note)));
}

const isNumber = (text: string): boolean => /^\s*[-+]?[\d.,]+(?:e[-+]?\d+)?%?\s*$|^\s*NaN\s*$/i.test(text);

interface Policies {
    createPolicy(name: string, rules: { createHTML: (html: string) => string }): { createHTML(html: string): string };
}

// The page's policy allows HTML from here only, and only as what a frame without rights shows.
const policy = (window as { trustedTypes?: Policies }).trustedTypes?.createPolicy("codeact-frame", { createHTML: (html) => html });

/** Of frames; put in when the page is built. */
declare const FRAME_STYLE: string;

/**
 * HTML in a frame that may nothing: no scripts, no forms, no way to this page. It inherits the page's policy, so it
 * loads nothing from anywhere either.
 */
function frame(html: string, title: string): Node {
    if (html.length > FRAME_CHARS_MAX) return h("p", { class: "muted" }, "This output is too long to be shown here.");
    const page = `<!doctype html><meta charset="utf-8"><style>${FRAME_STYLE}</style><body>${html}`;
    const made = h("iframe", { sandbox: "", title, referrerpolicy: "no-referrer", loading: "lazy" });
    made.srcdoc = policy ? policy.createHTML(page) : page;
    const toggle = button({ text: "Taller" }, () => {
        const isTall = made.classList.toggle("tall");
        toggle.firstElementChild?.replaceChildren(isTall ? "Shorter" : "Taller");
    }, { class: "quiet small" });
    return h("div", { class: "display framed" }, made, h("p", { class: "muted note" }, "Shown without scripts. ", toggle));
}
