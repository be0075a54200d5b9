// How the connection to the session is, when it is not as it should be.

import type { Failure, Link } from "./api";
import type { App } from "./app";
import { announce, button, h, icon } from "./dom";

export class LinkBar {
    readonly node = h("div", { class: "link", role: "status" });

    constructor(private readonly app: App) {}

    show(link: Link, failure?: Failure): void {
        if (link === "open") {
            if (this.node.hasChildNodes()) announce("Connected again.");
            this.node.replaceChildren();
        } else if (link === "lost") {
            const again = button({ text: "Try now" }, () => window.dispatchEvent(new Event("codeact:retry")), { class: "small" });
            this.node.replaceChildren(h("span", { class: "spinner" }), "The connection is lost. Trying again…", again);
        } else {
            const text = failure?.status === 404 ? "This session is no longer there." : (failure?.message ?? "The server refused.");
            this.node.replaceChildren(icon("warn"), text, button({ text: "New session" }, () => this.app.open(null), { class: "small" }));
            void this.app.refreshList();
        }
    }
}
