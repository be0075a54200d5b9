// Where messages are written, and what goes with them: model, approval, files, stop.

import type { App } from "./app";
import { button, h, icon } from "./dom";
import { visible } from "./terminal";

/** Lines that the field grows to. */
const HEIGHT_MAX = 260;

export class Composer {
    readonly node: HTMLElement;
    private readonly field = h("textarea", { id: "message", rows: 1, placeholder: "Message the agent", "aria-label": "Message", "aria-describedby": "composer-hint", autocomplete: "off" });
    private readonly model = h("select", { "aria-label": "Model", class: "model" });
    private readonly ask = h("input", { type: "checkbox", id: "ask-first", role: "switch" });
    private readonly go: HTMLButtonElement;
    private readonly stop: HTMLButtonElement;
    private readonly hint = h("p", { class: "hint", id: "composer-hint" });
    private readonly drafts = new Map<string, string>();
    private draftOf = "";

    constructor(private readonly app: App) {
        this.go = button({ icon: "send", label: "Send (Enter)" }, () => this.send(), { class: "primary round" });
        this.stop = button({ icon: "stop", label: "Stop (Escape)" }, () => void app.stop(), { class: "danger round" });
        const picker = h("input", { type: "file", multiple: true, class: "hidden", tabindex: -1, "aria-hidden": "true" });
        picker.addEventListener("change", () => {
            void app.uploadFiles([...(picker.files ?? [])]);
            picker.value = "";
        });
        this.field.addEventListener("input", () => this.fit());
        this.field.addEventListener("keydown", (event) => this.key(event));
        this.model.addEventListener("change", () => void app.setModel(this.model.value));
        this.ask.addEventListener("change", () => void app.setApproval(this.ask.checked ? "ask" : "auto"));
        const bar = h(
            "div",
            { class: "bar" },
            button({ icon: "upload", label: "Upload files" }, () => picker.click(), { class: "quiet" }),
            picker,
            h("label", { class: "select" }, this.model, icon("chevron")),
            h("label", { class: "switch", for: "ask-first", title: "Every piece of code waits for your yes" }, this.ask, h("span", { class: "track", "aria-hidden": "true" }), h("span", {}, "Ask", h("span", { class: "wide" }, " before running"))),
            h("span", { class: "gap" }),
            this.stop,
            this.go,
        );
        this.node = h("form", { class: "composer", "aria-label": "New message", onsubmit: (event: Event) => event.preventDefault() }, h("div", { class: "box" }, this.field, bar), this.hint);
    }

    get text(): string {
        return this.field.value;
    }

    set text(value: string) {
        this.field.value = value;
        this.fit();
    }

    focus(): void {
        this.field.focus();
    }

    /** What is written stays with its session. */
    changeTo(id: string): void {
        this.drafts.set(this.draftOf, this.field.value);
        this.draftOf = id;
        this.text = this.drafts.get(id) ?? "";
    }

    update(): void {
        const { app } = this;
        const isRunning = app.isRunning;
        const isWaiting = app.conversation.pending !== null;
        const model = app.session?.model ?? app.draft.model ?? app.models[0] ?? "";
        const names = app.models.includes(model) || model === "" ? app.models : [model, ...app.models];
        if ([...this.model.options].map((option) => option.value).join("\n") !== names.join("\n")) {
            this.model.replaceChildren(...names.map((name) => h("option", { value: name }, visible(name))));
        }
        this.model.value = model;
        this.model.parentElement?.toggleAttribute("hidden", names.length === 0);
        this.model.disabled = isRunning || names.length === 0;
        this.ask.checked = (app.session?.approval ?? app.draft.approval) === "ask";
        // While it stays hidden a button cannot have the focus, which goes back to the field.
        if (!isRunning && document.activeElement === this.stop) this.field.focus();
        this.stop.hidden = !isRunning;
        this.go.hidden = isRunning;
        this.go.disabled = this.field.value.trim() === "" || app.isBusy;
        const running = isWaiting ? "The agent waits for your answer above" : "The agent works";
        this.hint.replaceChildren(...(isRunning ? [running, " · ", key("Esc"), " stops"] : [key("Enter"), " sends · ", key("Shift"), " ", key("Enter"), " new line · ", key("?"), " shortcuts"]));
        this.hint.classList.toggle("alert", isWaiting);
    }

    private fit(): void {
        this.field.style.height = "auto";
        this.field.style.height = `${Math.min(this.field.scrollHeight, HEIGHT_MAX)}px`;
        this.go.disabled = this.field.value.trim() === "" || this.app.isBusy;
    }

    private key(event: KeyboardEvent): void {
        if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
            event.preventDefault();
            this.send();
        } else if (event.key === "ArrowUp" && this.field.value === "" && !this.app.isRunning) {
            event.preventDefault();
            this.app.transcript.editLast();
        }
    }

    private send(): void {
        const content = this.field.value.trim();
        if (content === "" || this.app.isBusy) return;
        if (this.app.isRunning) {
            this.hint.classList.add("alert");
            return;
        }
        this.text = "";
        // What could not be sent is not lost.
        this.app.send(content).catch(() => {
            if (this.field.value === "") this.text = content;
        });
    }
}

const key = (name: string): HTMLElement => h("kbd", {}, name);
