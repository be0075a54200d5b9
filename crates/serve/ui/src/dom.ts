// Elements out of code. Text is always a text node: nothing on this page is made by parsing what somebody else wrote.

type Child = Node | string | null | undefined | false;
type Value = string | number | boolean | null | undefined | EventListener | ((event: never) => void);

/**
 * An element. `onclick: f` listens, `class` and other names are attributes; `true` is an empty attribute, `false`,
 * `null` and `undefined` are none.
 */
export function h<K extends keyof HTMLElementTagNameMap>(
    tag: K,
    attributes: Record<string, Value> = {},
    ...children: Child[]
): HTMLElementTagNameMap[K] {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
        if (typeof value === "function") element.addEventListener(name.slice(2), value as EventListener);
        else if (value === true) element.setAttribute(name, "");
        else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
    }
    element.append(...children.filter((child): child is Node | string => child !== null && child !== undefined && child !== false));
    return element;
}

const SHAPES = {
    plus: "M8 3v10M3 8h10",
    menu: "M2.5 4h11M2.5 8h11M2.5 12h11",
    close: "M4 4l8 8M12 4l-8 8",
    send: "M8 13V3M3.5 7.5 8 3l4.5 4.5",
    stop: "M4.5 4.5h7v7h-7z",
    copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
    check: "M3 8.5 6.5 12 13 4.5",
    edit: "M3 13l.6-2.8L10.8 3l2.2 2.2-7.2 7.2zM9.3 4.5l2.2 2.2",
    undo: "M6 3 3 6l3 3M3 6h6.5a3.5 3.5 0 0 1 0 7H6",
    branch: "M4.5 5.5v5M4.5 9.5c0-3 7-1 7-4M4.5 5.5a1.5 1.5 0 1 1 0-3 1.5 1.5 0 0 1 0 3zM4.5 13.5a1.5 1.5 0 1 1 0-3 1.5 1.5 0 0 1 0 3zM11.5 5.5a1.5 1.5 0 1 1 0-3 1.5 1.5 0 0 1 0 3z",
    folder: "M2 12.5v-9h4l1.5 2H14v7z",
    file: "M4 2.5h5l3 3v8H4zM9 2.5v3h3",
    upload: "M8 10.5v-8M4.5 6 8 2.5 11.5 6M2.5 10.5v3h11v-3",
    download: "M8 2.5v8M4.5 7 8 10.5 11.5 7M2.5 10.5v3h11v-3",
    trash: "M3 4.5h10M6 4.5v-2h4v2M4.5 4.5l.5 9h6l.5-9",
    shield: "M8 2 13 4v4c0 3-2 5-5 6-3-1-5-3-5-6V4z",
    gear: "M3 4.5h6M12 4.5h1M3 11.5h1M7 11.5h6M10.5 6a1.5 1.5 0 1 1 0-3 1.5 1.5 0 0 1 0 3zM5.5 13a1.5 1.5 0 1 1 0-3 1.5 1.5 0 0 1 0 3z",
    more: "M3.5 8h.01M8 8h.01M12.5 8h.01",
    down: "M8 3v10M3.5 8.5 8 13l4.5-4.5",
    chevron: "M4 6l4 4 4-4",
    again: "M13 8a5 5 0 1 1-1.5-3.5M13 2.5v3h-3",
    theme: "M8 2.5v11M8 13.5a5.5 5.5 0 0 0 0-11M8 2.5a5.5 5.5 0 0 0 0 11",
    help: "M6 6a2 2 0 1 1 2.8 1.8C8.2 8.2 8 8.6 8 9.3M8 11.5h.01M8 14A6 6 0 1 1 8 2a6 6 0 0 1 0 12z",
    play: "M5 3.5v9l7-4.5z",
    info: "M8 7.5v3.5M8 5h.01M8 14A6 6 0 1 1 8 2a6 6 0 0 1 0 12z",
    warn: "M8 2.5 14 13H2zM8 6.5v3M8 11.2h.01",
} as const;

export type IconName = keyof typeof SHAPES;

export function icon(name: IconName): SVGSVGElement {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const shape = document.createElementNS("http://www.w3.org/2000/svg", "path");
    svg.setAttribute("viewBox", "0 0 16 16");
    svg.setAttribute("class", "icon");
    svg.setAttribute("aria-hidden", "true");
    shape.setAttribute("d", SHAPES[name]);
    svg.append(shape);
    return svg;
}

/** A button. With `label` only the icon is seen, and the label is read and shown as a tip. */
export function button(
    content: { icon?: IconName; text?: string; label?: string },
    onclick: (event: MouseEvent) => void,
    attributes: Record<string, Value> = {},
): HTMLButtonElement {
    const named = content.label === undefined ? {} : { "aria-label": content.label, title: content.label };
    const classes = `button ${content.text === undefined ? "icon-only" : ""} ${attributes["class"] ?? ""}`.trim();
    return h("button", { type: "button", onclick, ...named, ...attributes, class: classes }, content.icon && icon(content.icon), content.text && h("span", {}, content.text));
}

/** A button that puts text on the clipboard and says so. */
export function copyButton(what: string, text: () => string): HTMLButtonElement {
    const made: HTMLButtonElement = button({ icon: "copy", label: `Copy ${what}` }, () => {
        void copy(text()).then((isDone) => {
            made.replaceChildren(icon(isDone ? "check" : "warn"));
            announce(isDone ? "Copied" : "The browser does not allow to copy");
            setTimeout(() => made.replaceChildren(icon("copy")), 1500);
        });
    }, { class: "quiet" });
    return made;
}

async function copy(text: string): Promise<boolean> {
    try {
        await navigator.clipboard.writeText(text);
        return true;
    } catch {
        // Pages from plain http hosts have no clipboard, but a selection can still be copied.
        const area = h("textarea", { class: "hidden", "aria-hidden": "true" });
        area.value = text;
        document.body.append(area);
        area.select();
        const isDone = document.execCommand("copy");
        area.remove();
        return isDone;
    }
}

const polite = h("div", { class: "hidden", role: "status", "aria-live": "polite" });
const urgent = h("div", { class: "hidden", role: "alert" });
const toasts = h("div", { class: "toasts" });

/** The places where news are read out and shown. */
export const newsPlaces = (): Node[] => [polite, urgent, toasts];

/** Says something to those who hear the page. */
export function announce(text: string, isUrgent = false): void {
    const place = isUrgent ? urgent : polite;
    // The same words twice are read twice only if they were gone in between.
    place.textContent = "";
    setTimeout(() => (place.textContent = text), 30);
}

/** Says something to everybody, for a while or until it is closed. */
export function toast(text: string, { detail = "", isError = false, action }: { detail?: string; isError?: boolean; action?: { text: string; run: () => void } } = {}): void {
    const close = (): void => made.remove();
    const made = h("div", { class: `toast ${isError ? "bad" : ""}` }, icon(isError ? "warn" : "info"), h("div", {}, h("p", {}, text), detail !== "" && h("p", { class: "muted" }, detail)));
    if (action) made.append(button({ text: action.text }, () => (close(), action.run())));
    made.append(button({ icon: "close", label: "Close this message" }, close, { class: "quiet" }));
    toasts.append(made);
    while (toasts.childElementCount > 4) toasts.firstElementChild?.remove();
    announce(`${text} ${detail}`, isError);
    if (!isError) setTimeout(close, action ? 12_000 : 6_000);
}

/** Puts `children` in the place of all that is in `element`, without touching what stays. */
export function arrange(element: Element, children: Node[]): void {
    let at: ChildNode | null = element.firstChild;
    for (const child of children) {
        if (child === at) at = at.nextSibling;
        else element.insertBefore(child, at);
    }
    while (at) {
        const next: ChildNode | null = at.nextSibling;
        at.remove();
        at = next;
    }
}

/** A message in the place where something failed, with its way out. */
export function failureBox(error: unknown, actions: HTMLButtonElement[] = []): HTMLElement {
    const { message, hint } = error as { message?: string; hint?: string };
    return h("div", { class: "failure", role: "alert" }, icon("warn"), h("div", {}, h("p", {}, message ?? "Something went wrong."), hint ? h("p", { class: "muted" }, hint) : null), ...actions);
}

/** Tells of an error that has no better place. */
export function tell(error: unknown): void {
    const { message, hint } = error as { message?: string; hint?: string };
    toast(message ?? "Something went wrong.", { detail: hint ?? "", isError: true });
}
