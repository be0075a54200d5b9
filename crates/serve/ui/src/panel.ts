// The panel at the side: files, branches, sandbox, and what the session was made with.

import type { App } from "./app";
import { button, h, icon } from "./dom";
import { FilesPanel } from "./files";
import { sandboxNodes } from "./sandbox";
import { visible } from "./terminal";
import { drawTree } from "./tree";
import type { Session } from "./wire";
import { number } from "./words";

export type Tab = "files" | "branches" | "sandbox" | "session";

const TABS: [Tab, string][] = [["files", "Files"], ["branches", "Branches"], ["sandbox", "Sandbox"], ["session", "Session"]];

export class Panel {
    readonly node: HTMLElement;
    tab: Tab = "files";
    isOpen = false;
    private readonly files: FilesPanel;
    private readonly body = h("div", { class: "panel-scroll", role: "tabpanel", id: "panel-body", tabindex: 0, "aria-labelledby": "tab-files" });
    private readonly tabs: HTMLButtonElement[];

    constructor(private readonly app: App) {
        this.files = new FilesPanel(app);
        this.tabs = TABS.map(([tab, text]) => h("button", { type: "button", role: "tab", id: `tab-${tab}`, "aria-controls": "panel-body", onclick: () => this.open(tab) }, text));
        const list = h("div", { class: "tabs", role: "tablist", "aria-label": "Panel" }, ...this.tabs);
        list.addEventListener("keydown", (event) => {
            const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
            if (step === undefined) return;
            const at = TABS.findIndex(([tab]) => tab === this.tab);
            const next = (at + step + TABS.length) % TABS.length;
            this.open(TABS[next]?.[0] ?? "files");
            this.tabs[next]?.focus();
        });
        this.node = h("aside", { class: "panel", "aria-label": "About this session", hidden: true }, h("div", { class: "panel-head" }, list, button({ icon: "close", label: "Close the panel" }, () => this.close(), { class: "quiet" })), this.body);
    }

    open(tab: Tab): void {
        this.tab = tab;
        this.isOpen = true;
        this.node.hidden = false;
        document.documentElement.classList.add("has-panel");
        TABS.forEach(([name], index) => {
            this.tabs[index]?.setAttribute("aria-selected", String(name === tab));
            this.tabs[index]?.setAttribute("tabindex", name === tab ? "0" : "-1");
        });
        this.body.setAttribute("aria-labelledby", `tab-${tab}`);
        this.update();
        this.app.update();
    }

    close(): void {
        this.isOpen = false;
        this.node.hidden = true;
        document.documentElement.classList.remove("has-panel");
        this.app.update();
        this.app.panelButton.focus();
    }

    toggle(tab: Tab): void {
        if (this.isOpen && this.tab === tab) this.close();
        else {
            this.open(tab);
            this.tabs[TABS.findIndex(([name]) => name === tab)]?.focus();
        }
    }

    /** Another session is shown. */
    reset(): void {
        this.files.reset();
        this.update();
    }

    /** What it shows may have changed. */
    update(): void {
        if (!this.isOpen) return;
        const { app } = this;
        if (this.tab === "files") {
            if (this.files.node.parentNode !== this.body) this.body.replaceChildren(this.files.node);
            void this.files.update();
        } else if (this.tab === "branches") {
            void drawTree(app, this.body);
        } else if (this.tab === "sandbox") {
            this.body.replaceChildren(sandboxNodes(app.session?.protection ?? app.protection));
        } else {
            this.body.replaceChildren(app.session ? facts(app.session, app) : h("div", { class: "empty-state" }, icon("gear"), h("p", {}, "No session yet. “New session with settings” sets what it is made with.")));
        }
    }
}

function facts(session: Session, app: App): HTMLElement {
    const list = (names: string[] | string): string => (typeof names === "string" ? names : names.length === 0 ? "none" : names.map(visible).join(", "));
    const values = (record: Record<string, number | null> | undefined): string => Object.entries(record ?? {}).flatMap(([name, value]) => (value === null ? [] : [`${name.replaceAll("_", " ")} ${number(value)}`])).join("\n") || "as the server has them";
    const turns = app.conversation.turns.flatMap((turn) => (turn.totals ? [turn.totals] : []));
    const sum = (of: (turn: (typeof turns)[number]) => number): number => turns.reduce((total, turn) => total + of(turn), 0);
    const rows: [string, string][] = [
        ["Model", visible(session.model)],
        ["Wording", session.profile],
        ["Actions as", session.action_format],
        ["Code runs", session.approval === "ask" ? "after your yes" : "at once"],
        ["Turns", number(app.conversation.turns.length)],
        ["Tokens", `${number(sum((turn) => turn.prompt_tokens))} read, ${number(sum((turn) => turn.completion_tokens))} written`],
        ["Tools", list(session.tools)],
        ["Skills", list(session.skills)],
        ["Packages", list(session.packages)],
        ["Limits", values(session.limits)],
        ["Sampling", values(session.sampling)],
        ["Id", session.id],
    ];
    const prompt = session.system_prompt ? h("details", { class: "as-model" }, h("summary", {}, "System prompt"), h("pre", { class: "text", tabindex: 0 }, session.system_prompt)) : null;
    return h("div", { class: "panel-body" }, h("dl", { class: "facts" }, ...rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])), prompt);
}
