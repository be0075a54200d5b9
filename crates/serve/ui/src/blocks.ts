// How each block of a step is drawn, and drawn again when it has grown.

import { approvalCard } from "./approval";
import type { Block, Output } from "./conversation";
import { NO_OUTPUT } from "./conversation";
import { arrange, button, copyButton, h, icon } from "./dom";
import { display, markdown, outputNodes, pythonNodes } from "./rich";
import type { Actions } from "./transcript";
import { cellEnd, cellState, seconds } from "./words";

/** More lines than this are folded away behind a button. */
const CODE_LINES_MAX = 36;
const OUTPUT_LINES_MAX = 18;
/** A folded line this long counts as several. */
const LINE_CHARS = 120;

export interface View {
    node: HTMLElement;
    update(): void;
}

export function blockView(block: Block, step: number, actions: Actions): View {
    switch (block.kind) {
        case "thought":
            return written("thought", "Thought", () => block.text);
        case "answer":
            return answerView(block);
        case "code":
            return codeView(block);
        case "output":
            return outputView(block, step);
        case "approval":
            return approvalCard(block, actions);
        case "note":
            return noteView(block);
    }
}

function row(kind: string, label: string, ...body: (Node | null)[]): HTMLElement {
    return h("div", { class: `block ${kind}` }, h("div", { class: "label" }, label), h("div", { class: "body" }, ...body));
}

function written(kind: string, label: string, text: () => string, ...after: Node[]): View {
    const prose = h("div", { class: "prose" });
    let shown: string | null = null;
    const update = (): void => {
        if (text() === shown) return;
        shown = text();
        prose.replaceChildren(...markdown(shown));
        node.hidden = shown.trim() === "";
    };
    const node = row(kind, label, prose, ...after);
    update();
    return { node, update };
}

function answerView(block: Extract<Block, { kind: "answer" }>): View {
    const copy = copyButton("the answer", () => block.text);
    const view = written("answer", "Answer", () => block.text, copy);
    return {
        node: view.node,
        update() {
            view.update();
            view.node.classList.toggle("open", block.isOpen);
            copy.hidden = block.isOpen;
        },
    };
}

/** Text in a box that folds when it is long. */
function folding(content: HTMLElement, linesMax: number, label: string): { nodes: Node[]; fit: (text: string) => void } {
    let isAll = false;
    let lines = 0;
    const toggle = button({ text: "" }, () => {
        isAll = !isAll;
        show();
    }, { class: "quiet small fold" });
    const show = (): void => {
        const isLong = lines > linesMax;
        content.classList.toggle("folded", isLong && !isAll);
        toggle.hidden = !isLong;
        toggle.setAttribute("aria-expanded", String(isAll));
        toggle.replaceChildren(h("span", {}, isAll ? "Show less" : `Show all ${lines} lines`));
    };
    content.setAttribute("tabindex", "0");
    content.setAttribute("role", "group");
    content.setAttribute("aria-label", label);
    const fit = (text: string): void => {
        lines = text.split("\n").reduce((sum, line) => sum + 1 + Math.floor(line.length / LINE_CHARS), 0);
        show();
    };
    return { nodes: [content, toggle], fit };
}

function codeView(block: Extract<Block, { kind: "code" }>): View {
    const code = h("code");
    const state = h("span", { class: "state" });
    const pre = h("pre", { class: "source" }, code);
    const { nodes, fit } = folding(pre, CODE_LINES_MAX, "Python code");
    const copy = copyButton("the code", () => block.code);
    const head = h("div", { class: "card-head" }, h("span", { class: "language" }, "Python"), state, copy);
    const node = row("code", "Code", h("div", { class: "card" }, head, ...nodes));
    let shown: string | null = null;
    return {
        node,
        update() {
            const text = block.code.replace(/^\n+|\s+$/g, "");
            if (text !== shown) {
                code.replaceChildren(...pythonNodes(text));
                // While it is written its newest line is what matters.
                if (block.isOpen && pre.classList.contains("folded")) pre.scrollTop = pre.scrollHeight;
                else fit(text);
                shown = text;
            }
            state.textContent = block.isOpen ? "writing…" : block.isEdited ? "edited by you" : "";
            node.classList.toggle("open", block.isOpen);
            copy.hidden = block.isOpen;
        },
    };
}

function outputView(block: Output & Block, step: number): View {
    const head = h("div", { class: "card-head" });
    const parts = h("div", { class: "parts" });
    const card = h("div", { class: "card" }, head, parts);
    const seen = h("pre", { class: "text", tabindex: 0 });
    const asModel = h("details", { class: "as-model" }, h("summary", {}, "What the model saw"), seen);
    const node = row("output", "Output", card);
    const views: View[] = [];
    const rest = h("pre", { class: "text" });
    const restFold = folding(rest, OUTPUT_LINES_MAX, "Value or error");
    const note = h("p", { class: "muted note" });
    let shownRest: string | null = null;
    const update = (): void => {
        block.parts.forEach((_, index) => views[index]?.update());
        while (views.length < block.parts.length) views.push(partView(block, views.length, step));
        if (block.rest !== shownRest) {
            shownRest = block.rest;
            rest.replaceChildren(...outputNodes(block.rest));
            restFold.fit(block.rest);
            rest.classList.toggle("bad", block.end !== "finished");
        }
        const isEmpty = block.parts.length === 0 && block.rest === "";
        note.textContent = [block.end !== "" && isEmpty ? "Nothing was printed." : "", cellState(block.state)].join(" ").trim();
        const children: Node[] = views.map((view) => view.node);
        if (block.rest !== "") children.push(...restFold.nodes);
        if (note.textContent !== "") children.push(note);
        if (block.end !== "" && block.observation !== NO_OUTPUT && block.observation.trim() !== outputText(block).trim()) {
            if (seen.textContent !== block.observation) seen.textContent = block.observation;
            children.push(asModel);
        }
        arrange(parts, children);
        outputHead(block, head);
        node.classList.toggle("open", block.end === "");
        node.classList.toggle("bad", !["", "finished"].includes(block.end));
    };
    return { node, update };
}

function outputHead(block: Output, head: HTMLElement): void {
    const isRunning = block.end === "";
    if (head.dataset["end"] === block.end && head.childElementCount > 0) return;
    head.dataset["end"] = block.end;
    const how = cellEnd(block.end);
    const text = block.parts.length + block.rest.length > 0 && !isRunning;
    head.replaceChildren(
        isRunning ? h("span", { class: "state running" }, h("span", { class: "spinner" }), "running") : h("span", { class: "state" }, how === "" ? `ran in ${seconds(block.seconds)}` : `${how} after ${seconds(block.seconds)}`),
        ...(text ? [copyButton("the output", () => outputText(block))] : []),
    );
}

function outputText(block: Output): string {
    return block.parts.map((part) => (part.kind === "text" ? part.text : "")).join("") + block.rest;
}

function partView(block: Output, index: number, step: number): View {
    const part = block.parts[index];
    if (part?.kind !== "text") {
        const node = h("div", { class: "shown" }, part ? display(part.data, step) : null);
        return { node, update() {} };
    }
    const pre = h("pre", { class: `text ${part.stream === "stderr" ? "stderr" : ""}` });
    const { nodes, fit } = folding(pre, OUTPUT_LINES_MAX, part.stream === "stderr" ? "Printed to stderr" : "Printed");
    const late = part.isLate ? h("p", { class: "muted note" }, "From what earlier code left running:") : null;
    let shown = "";
    const update = (): void => {
        if (part.text === shown) return;
        // A program that prints a lot is followed without drawing all of it each time.
        const more = part.text.slice(shown.length);
        const isPlain = shown !== "" && part.text.length < 100_000 && part.text.startsWith(shown) && !/[\x00-\x08\x0b-\x1f]/.test(part.text.slice(Math.max(0, shown.length - 200)));
        if (isPlain) pre.append(more);
        else pre.replaceChildren(...outputNodes(part.text));
        shown = part.text;
        fit(part.text.replace(/\n$/, ""));
        if (block.end === "" && pre.classList.contains("folded")) pre.scrollTop = pre.scrollHeight;
    };
    update();
    return { node: h("div", { class: "printed" }, late, ...nodes), update };
}

function noteView(block: Extract<Block, { kind: "note" }>): View {
    const isError = block.tone === "error";
    const label = isError ? "Error" : block.tone === "context" ? "Context" : "Hint";
    const [first, ...hint] = block.text.split(/\n\s*hint:\s*/);
    const body = h("div", { class: "note-text" }, icon(isError ? "warn" : "info"), h("div", {}, h("p", {}, first ?? ""), hint.length > 0 ? h("p", { class: "muted" }, hint.join(" ")) : null));
    return { node: row(`remark ${isError ? "bad" : ""}`, label, body), update() {} };
}
