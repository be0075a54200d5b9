// Menus that open under a button, and dialogs.

import { button, failureBox, h, icon, type IconName } from "./dom";

export interface Item {
    text: string;
    icon?: IconName;
    detail?: string;
    isBad?: boolean;
    run: () => void;
}

let openMenu: (() => void) | null = null;

/** Opens a menu at `anchor`; closes on choice, Escape, Tab and clicks elsewhere. */
export function menu(anchor: HTMLElement, items: Item[]): void {
    if (openMenu) return openMenu();
    const close = (toAnchor = false): void => {
        openMenu = null;
        list.remove();
        anchor.setAttribute("aria-expanded", "false");
        document.removeEventListener("pointerdown", outside, true);
        if (toAnchor) anchor.focus();
    };
    const outside = (event: Event): void => {
        const target = event.target as Node;
        if (!list.contains(target) && !anchor.contains(target)) close();
    };
    const entries = items.map((item) =>
        h("button", { type: "button", role: "menuitem", tabindex: -1, class: item.isBad ? "bad" : "", onclick: () => (close(true), item.run()) }, item.icon ? icon(item.icon) : null, h("span", {}, item.text, item.detail ? h("small", {}, item.detail) : null)),
    );
    const list = h("div", { class: "menu", role: "menu" }, ...entries);
    list.addEventListener("keydown", (event) => {
        const at = entries.indexOf(document.activeElement as HTMLButtonElement);
        const to = { ArrowDown: at + 1, ArrowUp: at - 1 + entries.length, Home: 0, End: entries.length - 1 }[event.key];
        if (to !== undefined) entries[to % entries.length]?.focus();
        else if (event.key === "Escape" || event.key === "Tab") close(true);
        else return;
        event.preventDefault();
        event.stopPropagation();
    });
    openMenu = () => close(true);
    anchor.setAttribute("aria-expanded", "true");
    document.body.append(list);
    const place = anchor.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = list;
    list.style.left = `${Math.max(8, Math.min(place.right - width, innerWidth - width - 8))}px`;
    list.style.top = `${place.bottom + height + 8 < innerHeight ? place.bottom + 4 : Math.max(8, place.top - height - 4)}px`;
    document.addEventListener("pointerdown", outside, true);
    entries[0]?.focus();
}

export interface Dialog {
    node: HTMLDialogElement;
    close: () => void;
}

/** A dialog with a title. `onclose` comes once, however it is closed. */
export function dialog(title: string, content: Node[], { wide = false, onclose }: { wide?: boolean; onclose?: () => void } = {}): Dialog {
    const before = document.activeElement as HTMLElement | null;
    const node = h("dialog", { class: wide ? "wide" : "", "aria-labelledby": "dialog-title" });
    const close = (): void => node.close();
    node.append(h("div", { class: "dialog-head" }, h("h2", { id: "dialog-title" }, title), button({ icon: "close", label: "Close" }, close, { class: "quiet" })), ...content);
    node.addEventListener("close", () => {
        node.remove();
        before?.focus();
        onclose?.();
    });
    // A press that begins on the backdrop closes; one that ends there after a selection does not.
    node.addEventListener("pointerdown", (event) => event.target === node && close());
    document.body.append(node);
    node.showModal();
    return { node, close };
}

/** Asks before something that cannot be taken back. The error of `run` is shown in the dialog. */
export function confirm(title: string, text: string, act: string, run: () => Promise<unknown>): void {
    const place = h("div");
    const go = button({ text: act }, () => {
        go.disabled = true;
        run().then(
            () => made.close(),
            (error: unknown) => {
                go.disabled = false;
                place.replaceChildren(failureBox(error));
            },
        );
    }, { class: "danger" });
    const cancel = button({ text: "Cancel" }, () => made.close());
    const made = dialog(title, [h("p", {}, text), place, h("div", { class: "buttons end" }, cancel, go)]);
    go.focus();
}

/** Asks for one line of text. */
export function prompt(title: string, label: string, value: string, run: (value: string) => Promise<unknown>): void {
    const input = h("input", { id: "prompt", type: "text", maxlength: 200, autocomplete: "off" });
    input.value = value;
    const place = h("div");
    const form = h("form", { onsubmit: (event: Event) => {
        event.preventDefault();
        run(input.value.trim()).then(() => made.close(), (error: unknown) => place.replaceChildren(failureBox(error)));
    } }, h("label", { for: "prompt" }, label), input, place, h("div", { class: "buttons end" }, button({ text: "Cancel" }, () => made.close()), h("button", { class: "button primary", type: "submit" }, "Save")));
    const made = dialog(title, [form]);
    input.select();
}
