// A new session with settings: what most need is in sight, the rest under "More".

import { createSession, type Named, skills, tools } from "./api";
import type { App } from "./app";
import { button, failureBox, h } from "./dom";
import { dialog } from "./menu";
import { visible } from "./terminal";

interface Field {
    name: string;
    label: string;
    hint?: string;
    step?: string;
}

const LIMITS: Field[] = [
    { name: "steps", label: "Steps of a turn" },
    { name: "executions", label: "Executions of a turn" },
    { name: "tokens", label: "Tokens written in a turn" },
    { name: "seconds", label: "Seconds of a turn" },
    { name: "observation_tokens", label: "Tokens of an output" },
    { name: "cell_seconds", label: "Seconds of one execution" },
    { name: "memory_mib", label: "Memory, MiB" },
    { name: "disk_mib", label: "Disk, MiB" },
    { name: "processes", label: "Processes" },
];
const SAMPLING: Field[] = [
    { name: "temperature", label: "Temperature", step: "any" },
    { name: "top_p", label: "Top p", step: "any" },
    { name: "top_k", label: "Top k" },
    { name: "seed", label: "Seed" },
    { name: "max_tokens", label: "Tokens of a reply" },
];
const PROFILES: [string, string][] = [["", "as the model was trained"], ["codeactinstruct", "CodeActInstruct"], ["quickstart", "quickstart"], ["chat", "chat"]];
const FORMATS: [string, string][] = [["", "as the model was trained"], ["code", "Python code"], ["json", "JSON tool calls"], ["text", "text"]];
const OVERFLOWS: [string, string][] = [["", "as the server has it"], ["shorten", "shorten old outputs"], ["stop", "stop the turn"]];

export function settingsDialog(app: App): void {
    const place = h("div");
    const make = h("button", { class: "button primary", type: "submit" }, "Create session");
    const form = h(
        "form",
        { class: "settings", novalidate: true },
        h("div", { class: "grid" }, field("Title", h("input", { name: "title", type: "text", maxlength: 200, placeholder: "from your first message", autocomplete: "off" })), field("Model", select("model", [["", "the server's own"], ...app.models.map((name): [string, string] => [name, visible(name)])], app.draft.model ?? ""))),
        h("fieldset", {}, h("legend", {}, "Code"), radio("approval", "auto", "Runs at once", "in the sandbox, while you watch", app.draft.approval !== "ask"), radio("approval", "ask", "Waits for your yes", "you see each piece first, and may change it", app.draft.approval === "ask")),
        more(),
        place,
        h("div", { class: "buttons end" }, button({ text: "Cancel" }, () => made.close()), make),
    );
    form.addEventListener("submit", (event) => {
        event.preventDefault();
        make.disabled = true;
        const fail = (error: unknown): void => {
            make.disabled = false;
            place.replaceChildren(failureBox(error));
            place.scrollIntoView({ block: "nearest" });
        };
        try {
            createSession(read(form)).then((session) => {
                made.close();
                app.created(session);
            }, fail);
        } catch (error) {
            fail(error);
        }
    });
    const made = dialog("New session", [form], { wide: true });
}

function more(): HTMLElement {
    const toolPlace = h("div", { class: "checks" }, h("p", { class: "muted" }, "…"));
    const skillPlace = h("div", { class: "checks" }, h("p", { class: "muted" }, "…"));
    void fill(toolPlace, "tools", tools, "This server has no tools.");
    void fill(skillPlace, "skills", skills, "No skills are stored yet.");
    return h(
        "details",
        { class: "more" },
        h("summary", {}, "More"),
        h("div", { class: "grid" }, field("Wording of prompts", select("profile", PROFILES, "")), field("The model acts by", select("action_format", FORMATS, "")), field("A full context", select("overflow", OVERFLOWS, ""))),
        field("System prompt", h("textarea", { name: "system_prompt", rows: 3, placeholder: "that of the wording" })),
        field("Packages that must be there", h("input", { name: "packages", type: "text", placeholder: "for example: numpy, pandas", autocomplete: "off", spellcheck: "false" })),
        h("fieldset", {}, h("legend", {}, "Tools the code may call"), toolPlace),
        h("fieldset", {}, h("legend", {}, "Skills"), skillPlace),
        h("fieldset", {}, h("legend", {}, "Limits"), h("p", { class: "muted" }, "An empty field leaves it as the server has it."), h("div", { class: "grid three" }, ...LIMITS.map((each) => numberField("limits", each)))),
        h("fieldset", {}, h("legend", {}, "Sampling"), h("div", { class: "grid three" }, ...SAMPLING.map((each) => numberField("sampling", each)))),
    );
}

async function fill(place: HTMLElement, name: string, load: () => Promise<Named[]>, none: string): Promise<void> {
    try {
        const found = await load();
        const all = found.map((each) => h("label", { class: "check" }, h("input", { type: "checkbox", name, value: each.name }), h("span", {}, h("code", {}, visible(each.signature ? signature(each) : each.name)), each.doc ? h("small", {}, each.doc.split("\n")[0] ?? "") : null)));
        place.replaceChildren(...(all.length > 0 ? all : [h("p", { class: "muted" }, none)]));
    } catch (error) {
        place.replaceChildren(failureBox(error));
    }
}

const signature = (each: Named): string => (each.signature?.startsWith(each.name) ? each.signature : each.name + (each.signature ?? ""));

let fields = 0;

function field(label: string, input: HTMLElement): HTMLElement {
    fields += 1;
    input.id = `field-${fields}`;
    return h("div", { class: "field" }, h("label", { for: input.id }, label), input);
}

function numberField(group: string, { name, label, step }: Field): HTMLElement {
    return field(label, h("input", { name: `${group}.${name}`, type: "number", min: 0, step: step ?? 1, inputmode: "decimal" }));
}

function select(name: string, options: [string, string][], value: string): HTMLSelectElement {
    const made = h("select", { name }, ...options.map(([option, text]) => h("option", { value: option }, text)));
    made.value = value;
    return made;
}

function radio(name: string, value: string, text: string, detail: string, isOn: boolean): HTMLElement {
    return h("label", { class: "check" }, h("input", { type: "radio", name, value, checked: isOn }), h("span", {}, text, h("small", {}, detail)));
}

/** Only what was set: the server has a default for everything else. */
function read(form: HTMLFormElement): Record<string, unknown> {
    const data = new FormData(form);
    const text = (name: string): string => String(data.get(name) ?? "").trim();
    const settings: Record<string, unknown> = {};
    for (const name of ["title", "model", "profile", "action_format", "overflow", "system_prompt", "approval"]) {
        if (text(name) !== "") settings[name] = text(name);
    }
    const packages = text("packages").split(/[\s,]+/).filter((name) => name !== "");
    if (packages.length > 0) settings["packages"] = packages;
    for (const name of ["tools", "skills"]) {
        const chosen = data.getAll(name).map(String);
        if (chosen.length > 0) settings[name] = chosen;
    }
    const limits = numbers(form, "limits", LIMITS);
    if (Object.keys(limits).length > 0) settings["limits"] = limits;
    return { ...settings, ...numbers(form, "sampling", SAMPLING) };
}

function numbers(form: HTMLFormElement, group: string, all: Field[]): Record<string, number> {
    const found: Record<string, number> = {};
    for (const { name, label } of all) {
        const input = form.elements.namedItem(`${group}.${name}`) as HTMLInputElement;
        if (input.value === "" && !input.validity.badInput) continue;
        if (!input.validity.valid) {
            input.focus();
            throw new Error(`“${label}” must be ${input.step === "any" ? "a number" : "a whole number"}, 0 or more.`);
        }
        found[name] = input.valueAsNumber;
    }
    return found;
}
