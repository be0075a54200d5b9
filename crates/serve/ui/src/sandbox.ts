// What stands between the agent's code and this machine.

import { h, icon } from "./dom";
import type { Protection } from "./wire";

interface Rung {
    letter: string;
    text: string;
    tone: "good" | "warn" | "bad";
}

const RUNGS: Record<string, Rung> = {
    root: { letter: "A", text: "Sandboxed", tone: "good" },
    user: { letter: "B", text: "Sandboxed", tone: "good" },
    weak: { letter: "C", text: "Weak sandbox", tone: "warn" },
    none: { letter: "D", text: "No sandbox", tone: "bad" },
};

const LAYERS: Record<string, string> = {
    network: "Network",
    filesystem: "Your files",
    signals: "Other processes",
    identity: "Identity",
    privileges: "Privileges",
    memory: "Memory",
    processes: "Number of processes",
    disk: "Disk",
    syscalls: "System calls",
    ending: "Nothing stays behind",
};

export function rungOf(protection: Protection): Rung {
    return RUNGS[protection.rung] ?? { letter: "?", text: `Sandbox: ${protection.rung}`, tone: "warn" };
}

const open = (protection: Protection): string[] => protection.layers.filter((layer) => !layer.holds).map((layer) => LAYERS[layer.layer] ?? layer.layer);

export function sandboxNodes(protection: Protection | null): HTMLElement {
    if (!protection) return h("div", { class: "empty-state" }, icon("shield"), h("p", {}, "The server has not said yet what protects the machine."));
    const rung = rungOf(protection);
    const missing = open(protection);
    const said = missing.length === 0 ? "Every layer holds: code of the agent reaches neither the network, nor your files, nor other programs." : `NOT protected: ${missing.join(", ").toLowerCase()}.`;
    const layers = protection.layers.map((layer) => h("li", { class: layer.holds ? "holds" : "open" }, icon(layer.holds ? "check" : "warn"), h("div", {}, h("p", {}, h("strong", {}, LAYERS[layer.layer] ?? layer.layer), h("span", { class: "hidden" }, layer.holds ? ": protected" : ": NOT protected")), h("p", { class: "muted" }, layer.detail))));
    const why = protection.refusals.length === 0 ? null : h("details", { class: "as-model" }, h("summary", {}, "Why not a stronger one"), ...protection.refusals.map((refusal) => h("p", { class: "muted" }, `${RUNGS[refusal.rung]?.letter ?? ""} (${refusal.rung}): ${refusal.reason}`)));
    const modules = protection.missing_modules.length === 0 ? null : h("p", { class: "muted note" }, `Not there to import: ${protection.missing_modules.join("; ")}`);
    return h("div", { class: "panel-body" }, h("div", { class: `rung ${rung.tone}` }, icon("shield"), h("div", {}, h("p", {}, h("strong", {}, `${rung.text}, rung ${rung.letter} (${protection.rung})`)), h("p", {}, said))), h("ul", { class: "layers" }, ...layers), why, modules);
}

/** Stands above every conversation while code is not confined. */
export function sandboxBanner(protection: Protection | null): HTMLElement | null {
    if (!protection || rungOf(protection).tone === "good") return null;
    const rung = rungOf(protection);
    return h("div", { class: `banner ${rung.tone}`, role: "note" }, icon("warn"), h("p", {}, h("strong", {}, `${rung.text}. `), `NOT protected: ${open(protection).join(", ").toLowerCase()}.`));
}
