// The key: asked for when the server wants one, kept for this tab only.

import { onUnauthorized, setKey } from "./api";
import { h } from "./dom";
import { dialog } from "./menu";

let asking: Promise<boolean> | null = null;

export function installKeyDialog(): void {
    onUnauthorized(() => (asking ??= ask().finally(() => (asking = null))));
}

function ask(): Promise<boolean> {
    return new Promise((resolve) => {
        let isGiven = false;
        const input = h("input", { id: "key", type: "password", autocomplete: "off", spellcheck: "false", required: true });
        const form = h(
            "form",
            { onsubmit: (event: Event) => {
                event.preventDefault();
                setKey(input.value.trim());
                isGiven = true;
                made.close();
            } },
            h("p", {}, "This server wants a key. It is a line of its keys file, or stands behind ", h("code", {}, "#key="), " in the address that it printed when it started."),
            h("label", { for: "key" }, "Key"),
            input,
            h("p", { class: "muted" }, "It is kept in this tab until you close it."),
            h("div", { class: "buttons end" }, h("button", { class: "button primary", type: "submit" }, "Use this key")),
        );
        const made = dialog("Key needed", [form], { onclose: () => resolve(isGiven) });
        input.focus();
    });
}
