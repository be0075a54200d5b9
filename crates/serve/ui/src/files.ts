// The files of a session: list, upload, download, delete.

import { download, filePath, files, removeFile, request, upload } from "./api";
import type { App } from "./app";
import { button, failureBox, h, icon, toast } from "./dom";
import { confirm } from "./menu";
import { visible } from "./terminal";
import type { FileEntry } from "./wire";
import { ago, bytes } from "./words";

const PREVIEW_BYTES_MAX = 4 << 20;
const TEXT_BYTES_MAX = 200_000;
const IMAGE = /\.(png|jpe?g|gif|webp)$/i;
const TEXT = /\.(txt|csv|tsv|json|jsonl|md|py|log|ya?ml|toml|ini|html?|xml|svg)$/i;

export class FilesPanel {
    readonly node = h("div", { class: "panel-body" });
    private folder = "";
    private shown = 0;

    constructor(private readonly app: App) {}

    reset(): void {
        this.folder = "";
        this.node.replaceChildren();
    }

    async update(): Promise<void> {
        const id = this.app.session?.id;
        this.shown += 1;
        const turn = this.shown;
        if (!id) return this.node.replaceChildren(this.emptyState("Files that you upload, and those that the agent makes, are here. Uploading begins a session."));
        try {
            const answer = await files(id, this.folder);
            // An older answer must not come over a newer one.
            if (turn === this.shown) this.draw(id, answer.entries, answer.is_cut);
        } catch (error) {
            const up = button({ text: "Show the top folder" }, () => this.go(""), { class: "small" });
            const again = button({ text: "Try again" }, () => void this.update(), { class: "small" });
            if (turn === this.shown) this.node.replaceChildren(failureBox(error, this.folder === "" ? [again] : [up, again]));
        }
    }

    private go(folder: string): void {
        this.folder = folder;
        void this.update();
    }

    private draw(id: string, entries: FileEntry[], isCut: boolean): void {
        const parts = this.folder === "" ? [] : this.folder.split("/");
        const crumbs = h("nav", { class: "crumbs", "aria-label": "Folders" }, button({ text: "Files" }, () => this.go(""), { class: "quiet small" }));
        parts.forEach((part, index) => crumbs.append("/", button({ text: visible(part) }, () => this.go(parts.slice(0, index + 1).join("/")), { class: "quiet small" })));
        const order = [...entries].sort((a, b) => Number(b.kind === "folder") - Number(a.kind === "folder") || a.name.localeCompare(b.name));
        const list = h("ul", { class: "files" }, ...order.map((entry) => this.row(id, entry)));
        const pick = h("input", { type: "file", multiple: true, class: "hidden", tabindex: -1, "aria-hidden": "true" });
        pick.addEventListener("change", () => void this.app.uploadFiles([...(pick.files ?? [])], this.folder));
        const tools = h("div", { class: "panel-tools" }, button({ icon: "upload", text: "Upload" }, () => pick.click(), { class: "small" }), pick, button({ icon: "again", label: "Look again" }, () => void this.update(), { class: "quiet" }));
        const rest = entries.length === 0 ? this.emptyState(parts.length > 0 ? "This folder is empty." : "No files yet. Drop some here, or ask the agent to write one.") : isCut ? h("p", { class: "muted note" }, "There are more entries than are listed here.") : null;
        this.node.replaceChildren(h("div", { class: "panel-line" }, crumbs, tools), list, ...(rest ? [rest] : []));
    }

    private emptyState(text: string): HTMLElement {
        return h("div", { class: "empty-state" }, icon("folder"), h("p", {}, text));
    }

    private row(id: string, entry: FileEntry): HTMLElement {
        const name = visible(entry.name);
        const where = this.folder === "" ? entry.name : `${this.folder}/${entry.name}`;
        const isFolder = entry.kind === "folder";
        const open = (): void => (isFolder ? this.go(where) : void this.preview(id, where, entry, item));
        const title = button({ icon: isFolder ? "folder" : "file", text: name }, open, { class: "quiet name", disabled: entry.kind !== "file" && !isFolder });
        const detail = isFolder ? "" : entry.kind === "file" ? `${bytes(entry.bytes)} · ${ago(entry.modified)}` : entry.kind;
        const item = h("li", {}, h("div", { class: "file" }, title, h("span", { class: "muted" }, detail)));
        const act = (run: () => Promise<unknown>): void => void run().catch((error: unknown) => item.append(failureBox(error)));
        if (entry.kind === "file") item.firstElementChild?.append(button({ icon: "download", label: `Download ${name}` }, () => act(() => download(filePath(id, where), entry.name)), { class: "quiet" }));
        const drop = (): void => confirm("Delete this file?", `“${name}” is gone then. Undoing a turn may bring it back.`, "Delete", async () => {
            await removeFile(id, where);
            await this.update();
        });
        item.firstElementChild?.append(button({ icon: "trash", label: `Delete ${name}` }, drop, { class: "quiet" }));
        return item;
    }

    /** Text as text and raster images as images; everything else can only be saved. */
    private async preview(id: string, where: string, entry: FileEntry, item: HTMLElement): Promise<void> {
        const old = item.querySelector(".preview, .failure");
        if (old) return old.remove();
        const isImage = IMAGE.test(entry.name);
        const name = visible(entry.name);
        try {
            if (entry.bytes > PREVIEW_BYTES_MAX || (!isImage && !TEXT.test(entry.name))) {
                item.append(h("p", { class: "preview muted note" }, "No preview of this file; it can be downloaded."));
                return;
            }
            const content = await (await request("GET", filePath(id, where))).arrayBuffer();
            if (isImage) {
                const type = entry.name.toLowerCase().replace(/.*\./, "image/").replace("jpg", "jpeg");
                const address = URL.createObjectURL(new Blob([content], { type }));
                const image = h("img", { alt: name, src: address, onload: () => URL.revokeObjectURL(address), onerror: () => URL.revokeObjectURL(address) });
                item.append(h("figure", { class: "preview" }, image));
            } else {
                const text = new TextDecoder().decode(content.slice(0, TEXT_BYTES_MAX));
                item.append(h("pre", { class: "preview text", tabindex: 0, "aria-label": name, role: "group" }, text));
            }
        } catch (error) {
            item.append(failureBox(error));
        }
    }
}

/** Puts files into the session, one after the other. Throws nothing: each failure is told by name. */
export async function uploadAll(id: string, chosen: File[], folder: string): Promise<void> {
    const done: string[] = [];
    for (const file of chosen) {
        try {
            await upload(id, folder, file.name, file);
            done.push(visible(file.name));
        } catch (error) {
            const { message, hint } = error as { message?: string; hint?: string };
            toast(`${visible(file.name)} was not uploaded: ${message ?? "something went wrong"}`, { detail: hint ?? "", isError: true });
        }
    }
    if (done.length > 0) toast(done.length === 1 ? `${done[0]} is uploaded.` : `${done.length} files are uploaded.`, { detail: "The agent's code finds it by this name in its folder." });
}
