// Keys. Single letters count only where nothing is typed; Escape leads out of the field.

import type { App } from "./app";
import { h } from "./dom";
import { dialog } from "./menu";

const LISTED: [string, string[], string][] = [
    ["Writing", ["Enter"], "Send"],
    ["Writing", ["Shift", "Enter"], "New line"],
    ["Writing", ["↑"], "Edit your last message, in an empty field"],
    ["Writing", ["Esc"], "Stop the agent; otherwise leave the field"],
    ["When code waits for you", ["r"], "Run it"],
    ["When code waits for you", ["e"], "Edit and run it"],
    ["When code waits for you", ["d"], "Deny it"],
    ["When code waits for you", ["a"], "Run it, and ask no more"],
    ["Anywhere else", ["/"], "Write a message"],
    ["Anywhere else", ["n"], "New session"],
    ["Anywhere else", ["j"], "Next session"],
    ["Anywhere else", ["k"], "Previous session"],
    ["Anywhere else", ["u"], "Undo the last turn"],
    ["Anywhere else", ["f"], "Files"],
    ["Anywhere else", ["b"], "Branches"],
    ["Anywhere else", ["s"], "Sandbox"],
    ["Anywhere else", ["w"], "To what waits for you"],
    ["Anywhere else", ["?"], "This list"],
];

export function helpDialog(): void {
    const groups = [...new Set(LISTED.map(([group]) => group))];
    const nodes = groups.map((group) => h("section", {}, h("h3", {}, group), h("dl", { class: "keys" }, ...LISTED.filter(([of]) => of === group).flatMap(([, keys, text]) => [h("dt", {}, ...keys.map((key) => h("kbd", {}, key))), h("dd", {}, text)]))));
    dialog("Keyboard shortcuts", [h("div", { class: "shortcuts" }, ...nodes)], { wide: true });
}

export function installShortcuts(app: App): void {
    document.addEventListener("keydown", (event) => {
        if (event.defaultPrevented || document.querySelector("dialog[open], .menu")) return;
        const target = event.target as HTMLElement;
        const isTyping = target.matches("input:not([type=checkbox]):not([type=radio]), textarea, select");
        if (event.key === "Escape") {
            if (app.isRunning) void app.stop();
            else if (app.closeDrawer()) return;
            else target.blur();
            return;
        }
        if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
        const act = acts(app)[event.key];
        if (!act) return;
        event.preventDefault();
        act();
    });
}

function acts(app: App): Record<string, () => void> {
    return {
        "/": () => app.composer.focus(),
        "?": () => app.help(),
        n: () => app.open(null),
        j: () => app.neighbour(1),
        k: () => app.neighbour(-1),
        u: () => app.undoLast(),
        f: () => app.panel.toggle("files"),
        b: () => app.panel.toggle("branches"),
        s: () => app.panel.toggle("sandbox"),
        w: () => app.toPending(),
    };
}
