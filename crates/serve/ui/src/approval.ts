// The question whether code may run: yes, no with a reason, something else instead, or yes from now on.

import type { View } from "./blocks";
import type { ApprovalBlock } from "./conversation";
import { button, failureBox, h, icon } from "./dom";
import type { Actions } from "./transcript";

const RESOLVED: Record<string, string> = {
    approved: "You let this code run.",
    denied: "You did not let this code run",
    edited: "You ran your own version of this code.",
    interrupted: "Stopped before this code ran.",
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
    const text = RESOLVED[block.decision] ?? `Decided: ${block.decision}.`;
    const isDenied = block.decision === "denied";
    const reason = isDenied ? (block.reason === "" ? "." : `: ${block.reason}`) : "";
    return h("p", { class: "verdict" }, icon(isDenied || block.decision === "interrupted" ? "close" : block.decision === "edited" ? "edit" : "check"), text + reason);
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
    buttons.append(
        button({ icon: "play", text: "Run" }, run, { class: "primary", "aria-keyshortcuts": "r", title: "Run (r)" }),
        button({ icon: "edit", text: "Edit" }, edit, { "aria-keyshortcuts": "e", title: "Edit and run (e)" }),
        button({ icon: "close", text: "Deny" }, deny, { "aria-keyshortcuts": "d", title: "Deny (d)" }),
        button({ text: "Always run" }, always, { class: "quiet", title: "Run, and ask no more in this session (a)", "aria-keyshortcuts": "a" }),
    );
    // Letters count while the question itself has the focus, so that nothing typed elsewhere runs code.
    const letters: Record<string, () => void> = { r: run, e: edit, d: deny, a: always };
    card.addEventListener("keydown", (event) => {
        const act = letters[event.key.toLowerCase()];
        const isTyping = event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement;
        if (!act || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
        event.preventDefault();
        event.stopPropagation();
        act();
    });
    card.append(h("p", { id, class: "asks" }, icon("shield"), h("span", {}, h("strong", {}, "Run this code?"), " The agent waits for you.")), buttons, form);
    return card;
}
