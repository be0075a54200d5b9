// The question whether code may run: yes, no with a reason, something else instead, or yes from now on.

import type { View } from "./blocks";
import type { ApprovalBlock } from "./conversation";
import { button, failureBox, h, icon } from "./dom";
import { pythonNodes } from "./rich";
import type { Actions } from "./transcript";

const RESOLVED: Record<string, string> = {
    approved: "You let this code run.",
    denied: "You did not let this code run",
    edited: "You ran your own version of this code.",
    interrupted: "Stopped before this code ran.",
};
const RESOLVED_CALLS: Record<string, string> = {
    approved: "You allowed this call.",
    denied: "You did not allow this call",
    interrupted: "The code ended before this call was made.",
};

export function approvalCard(block: ApprovalBlock, actions: Actions): View {
    const body = h("div", { class: "body" });
    const node = h("div", { class: "block approval" }, h("div", { class: "label" }, "Approval"), body);
    let shown: string | null = null;
    return {
        node,
        update() {
            if (block.decision === shown) return;
            shown = block.decision;
            const isOpen = shown === "";
            node.classList.toggle("resolved", !isOpen);
            body.replaceChildren(isOpen ? question(block, actions) : resolved(block));
        },
    };
}

function resolved(block: ApprovalBlock): HTMLElement {
    const texts = block.tool === "" ? RESOLVED : RESOLVED_CALLS;
    const text = texts[block.decision] ?? `Decided: ${block.decision}.`;
    const isDenied = block.decision === "denied";
    const reason = isDenied ? (block.reason === "" ? "." : `: ${block.reason}`) : "";
    const verdict = h("p", { class: "verdict" }, icon(isDenied || block.decision === "interrupted" ? "close" : block.decision === "edited" ? "edit" : "check"), text + reason);
    return block.tool === "" ? verdict : h("div", {}, call(block), verdict);
}

/** The call itself, which stands in no block of code. */
function call(block: ApprovalBlock): HTMLElement {
    return h("div", { class: "prose" }, h("pre", { class: "fence call", tabindex: 0 }, h("code", {}, ...pythonNodes(block.code))));
}

function question(block: ApprovalBlock, actions: Actions): HTMLElement {
    const id = `approval-${block.approval.replace(/[^\w-]/g, "_")}`;
    const form = h("div", { class: "under" });
    const card = h("div", { class: "ask", role: "group", "aria-labelledby": id, tabindex: -1, "data-approval": block.approval });
    const buttons = h("div", { class: "buttons" });
    const send = (decision: object): void => {
        for (const each of card.querySelectorAll("button")) each.disabled = true;
        actions.decide(block.approval, decision).catch((error: unknown) => {
            for (const each of card.querySelectorAll("button")) each.disabled = false;
            form.replaceChildren(failureBox(error));
        });
    };
    const deny = (): void => {
        const reason = h("input", { type: "text", id: `${id}-reason`, maxlength: 2000, placeholder: "for example: do not delete files", autocomplete: "off" });
        const go = (): void => send({ decision: "deny", ...(reason.value.trim() ? { reason: reason.value.trim() } : {}) });
        reason.addEventListener("keydown", (event) => {
            if (event.key === "Enter" && !event.isComposing) go();
            if (event.key === "Escape") back(event);
        });
        form.replaceChildren(h("label", { for: `${id}-reason` }, "Why not? The model reads this. It may stay empty."), h("div", { class: "line" }, reason, button({ text: "Deny" }, go, { class: "danger" })));
        reason.focus();
    };
    const edit = (): void => {
        const area = h("textarea", { id: `${id}-code`, class: "mono", spellcheck: "false", rows: Math.min(24, block.code.split("\n").length + 1), autocomplete: "off" });
        area.value = block.code;
        const go = (): void => send({ decision: "approve", code: area.value });
        area.addEventListener("keydown", (event) => {
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) go();
            if (event.key === "Escape") back(event);
            event.stopPropagation();
        });
        form.replaceChildren(h("label", { for: `${id}-code` }, "This runs instead. Ctrl+Enter runs it."), area, h("div", { class: "line" }, button({ icon: "play", text: "Run this" }, go, { class: "primary" }), button({ text: "Cancel" }, () => form.replaceChildren())));
        area.focus();
    };
    const back = (event: Event): void => {
        event.stopPropagation();
        form.replaceChildren();
        card.focus();
    };
    const run = (): void => send({ decision: "approve" });
    const always = (): void => send({ decision: "approve", always: true });
    const isCall = block.tool !== "";
    const [yes, yesAlways, less] = isCall ? ["Allow", "Always allow", "ask no more about this tool in this session"] : ["Run", "Always run", "ask no more in this session"];
    buttons.append(
        button({ icon: "play", text: yes }, run, { class: "primary", "aria-keyshortcuts": "r", title: `${yes} (r)` }),
        // A call has no other version.
        ...(isCall ? [] : [button({ icon: "edit", text: "Edit" }, edit, { "aria-keyshortcuts": "e", title: "Edit and run (e)" })]),
        button({ icon: "close", text: "Deny" }, deny, { "aria-keyshortcuts": "d", title: "Deny (d)" }),
        button({ text: yesAlways }, always, { class: "quiet", title: `${yes}, and ${less} (a)`, "aria-keyshortcuts": "a" }),
    );
    // Letters count while the question itself has the focus, so that nothing typed elsewhere runs code.
    const letters: Record<string, () => void> = { r: run, ...(isCall ? {} : { e: edit }), d: deny, a: always };
    card.addEventListener("keydown", (event) => {
        const act = letters[event.key.toLowerCase()];
        const isTyping = event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement;
        if (!act || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
        event.preventDefault();
        event.stopPropagation();
        act();
    });
    const asks = isCall ? `Call ${block.tool}?` : "Run this code?";
    const waits = isCall ? " The code that runs waits for you, no longer than it may run." : " The agent waits for you.";
    card.append(h("p", { id, class: "asks" }, icon("shield"), h("span", {}, h("strong", {}, asks), waits)));
    card.append(...(isCall ? [call(block)] : []), buttons, form);
    return card;
}
