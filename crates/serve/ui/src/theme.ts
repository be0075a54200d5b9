// Light, dark, or as the system has it; remembered by this browser.

import { menu } from "./menu";

const NAME = "codeact.theme";

type Theme = "system" | "light" | "dark";

function theme(): Theme {
    const kept = localStorage.getItem(NAME);
    return kept === "light" || kept === "dark" ? kept : "system";
}

function setTheme(wanted: Theme): void {
    if (wanted === "system") localStorage.removeItem(NAME);
    else localStorage.setItem(NAME, wanted);
    applyTheme();
}

export function applyTheme(): void {
    document.documentElement.dataset["theme"] = theme();
}

export function themeMenu(anchor: HTMLElement): void {
    const now = theme();
    const names: [Theme, string][] = [["system", "As the system has it"], ["light", "Light"], ["dark", "Dark"]];
    menu(anchor, names.map(([name, text]) => ({ text, icon: name === now ? "check" : undefined, run: () => setTheme(name) })));
}
