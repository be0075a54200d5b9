// The list of sessions.

import type { App } from "./app";
import { arrange, button, h, icon } from "./dom";
import { confirm, menu, prompt } from "./menu";
import { visible } from "./terminal";
import { themeMenu } from "./theme";
import type { Session } from "./wire";
import { ago } from "./words";

/** With more sessions than this there is a field to search them. */
const SEARCH_FROM = 8;

const STATES: Record<string, string> = { running: "running", waiting: "waits for you", stored: "stored", idle: "" };

export const titleOf = (session: Session): string => visible(session.title?.trim() || "Untitled session");

export class Sidebar {
    readonly node: HTMLElement;
    private readonly list = h("ul", { class: "sessions" });
    private readonly search = h("input", { type: "search", class: "search", placeholder: "Search sessions", "aria-label": "Search sessions" });
    private readonly empty = h("p", { class: "muted empty" });

    constructor(private readonly app: App) {
        const head = h("div", { class: "side-head" }, h("h1", { class: "brand" }, mark(), h("span", {}, "codeact")), button({ icon: "close", label: "Close the list of sessions" }, () => app.drawer(""), { class: "quiet only-narrow" }));
        const make = h("div", { class: "make" }, button({ icon: "plus", text: "New session" }, () => app.open(null), { class: "primary new" }), button({ icon: "gear", label: "New session with settings" }, () => app.settings()));
        this.search.addEventListener("input", () => this.update());
        this.node = h("nav", { class: "sidebar", "aria-label": "Sessions" }, head, make, this.search, this.list, this.empty, h("div", { class: "side-foot" }, app.sandboxChip, button({ icon: "theme", label: "Light or dark" }, (event) => themeMenu(event.currentTarget as HTMLElement), { class: "quiet", "aria-haspopup": "menu" }), button({ icon: "help", label: "Keyboard shortcuts" }, () => app.help(), { class: "quiet" })));
    }

    update(): void {
        const wanted = this.search.value.trim().toLowerCase();
        const { sessions, session } = this.app;
        this.search.hidden = sessions.length < SEARCH_FROM;
        const found = sessions.filter((each) => titleOf(each).toLowerCase().includes(wanted));
        const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset["focus"] : undefined;
        arrange(this.list, found.map((each) => this.row(each, each.id === session?.id)));
        if (focused) this.list.querySelector<HTMLElement>(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
        this.empty.textContent = found.length > 0 ? "" : sessions.length === 0 ? "No sessions yet. Write a message to begin one." : "No session is called that.";
    }

    private row(session: Session, isCurrent: boolean): HTMLElement {
        const title = titleOf(session);
        const state = STATES[session.state] ?? "";
        const detail = [state, ago(session.created)].filter((text) => text !== "").join(" · ");
        const open = h(
            "a",
            { href: `#session=${encodeURIComponent(session.id)}`, "aria-current": isCurrent ? "page" : null, "data-focus": `open ${session.id}`, onclick: (event: MouseEvent) => {
                if (event.ctrlKey || event.metaKey || event.shiftKey) return;
                event.preventDefault();
                this.app.open(session.id);
            } },
            h("span", { class: "row-title" }, session.parent ? icon("branch") : null, h("bdi", {}, title)),
            h("span", { class: "row-detail" }, h("span", { class: `dot ${session.state}` }), detail),
        );
        const more = button({ icon: "more", label: `More for ${title}` }, () => menu(more, [
            { text: "Rename…", icon: "edit", run: () => prompt("Rename the session", "Title", session.title ?? "", (value) => this.app.rename(session.id, value)) },
            { text: "Delete…", icon: "trash", isBad: true, run: () => confirm("Delete this session?", `“${title}”, its variables and its files are gone then.`, "Delete", () => this.app.remove(session.id)) },
        ]), { class: "quiet", "aria-haspopup": "menu", "data-focus": `more ${session.id}` });
        return h("li", { class: isCurrent ? "current" : "" }, open, more);
    }
}

function mark(): HTMLElement {
    return h("span", { class: "mark", "aria-hidden": "true" }, "›_");
}
