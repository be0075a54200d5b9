// Light, dark, or as the system has it; remembered by this browser.

const NAME = "codeact.theme";

export type Theme = "system" | "light" | "dark";

export function theme(): Theme {
    const kept = localStorage.getItem(NAME);
    return kept === "light" || kept === "dark" ? kept : "system";
}

export function setTheme(wanted: Theme): void {
    if (wanted === "system") localStorage.removeItem(NAME);
    else localStorage.setItem(NAME, wanted);
    applyTheme();
}

export function applyTheme(): void {
    document.documentElement.dataset["theme"] = theme();
}
