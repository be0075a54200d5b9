// A session as a file to keep.

import { download, path } from "./api";
import { tell } from "./dom";
import { menu } from "./menu";
import { titleOf } from "./sidebar";
import type { Session } from "./wire";

const FORMATS: [string, string, string, string][] = [
    ["Jupyter notebook", ".ipynb, to run it again", "ipynb", "ipynb"],
    ["Markdown", ".md, to read", "markdown", "md"],
    ["Training data", ".jsonl, as CodeActInstruct has it", "jsonl", "jsonl"],
];

export function exportMenu(anchor: HTMLElement, session: Session | null): void {
    if (!session) return;
    const name = titleOf(session).replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 60) || "session";
    const address = path`v1/agent/sessions/${session.id}/transcript`;
    const items = FORMATS.map(([text, detail, format, ending]) => ({ text, detail, icon: "download" as const, run: () => void download(`${address}?format=${format}`, `${name}.${ending}`).catch(tell) }));
    menu(anchor, items);
}
