// The sessions that branched from one another, as a tree of their turns.

import { session as load } from "./api";
import type { App } from "./app";
import { failureBox, button, h, icon } from "./dom";
import { titleOf } from "./sidebar";
import type { Session } from "./wire";

/** Sessions whose turns are asked for; a larger family shows its nearest. */
const FAMILY_MAX = 40;
const SNIPPET_CHARS = 80;

let drawing = 0;

export async function drawTree(app: App, place: HTMLElement): Promise<void> {
    drawing += 1;
    const mine = drawing;
    if (!app.session) {
        place.replaceChildren(h("div", { class: "empty-state" }, icon("branch"), h("p", {}, "“Branch here” below a turn goes on from there in a session of its own. This one keeps what it has.")));
        return;
    }
    try {
        const family = familyOf(app.session, app.sessions);
        const known = await Promise.all(family.slice(0, FAMILY_MAX).map((each) => load(each.id).catch(() => each)));
        if (mine !== drawing) return;
        const ids = new Set(known.map((each) => each.id));
        const roots = known.filter((each) => !each.parent || !ids.has(each.parent.session));
        const about = known.length === 1 ? h("p", { class: "muted note" }, "No branches yet. “Branch here” below a turn goes on from there in a session of its own; this one keeps what it has.") : null;
        place.replaceChildren(h("div", { class: "panel-body" }, ...roots.map((root) => branchNode(app, root, known, 0)), about));
    } catch (error) {
        if (mine === drawing) place.replaceChildren(failureBox(error, [button({ text: "Try again" }, () => void drawTree(app, place), { class: "small" })]));
    }
}

/** All sessions that share a first ancestor with `session`, its own first. */
export function familyOf(session: Session, sessions: Session[]): Session[] {
    const byId = new Map(sessions.map((each) => [each.id, each]));
    byId.set(session.id, session);
    const rootOf = (of: Session): string => {
        let at = of;
        // A parent that was deleted ends the way up; a circle cannot be, but must not hang the page.
        for (let hops = 0; hops < byId.size; hops += 1) {
            const parent: Session | undefined = at.parent ? byId.get(at.parent.session) : undefined;
            if (!parent) break;
            at = parent;
        }
        return at.id;
    };
    const root = rootOf(session);
    return [...byId.values()].filter((each) => rootOf(each) === root).sort((a, b) => Number(b.id === session.id) - Number(a.id === session.id));
}

function branchNode(app: App, session: Session, family: Session[], depth: number): HTMLElement {
    const children = depth > 20 ? [] : family.filter((each) => each.parent?.session === session.id && each.id !== session.id);
    const from = session.parent?.turn ?? 0;
    const under = (turn: number): HTMLElement[] => children.filter((child) => child.parent?.turn === turn).map((child) => h("li", { class: "fork" }, branchNode(app, child, family, depth + 1)));
    const own = (session.turns ?? []).filter((turn) => turn.turn > from || depth === 0);
    const isCurrent = app.session?.id === session.id;
    const turns = own.flatMap((turn) => [
        h("li", {}, h("button", { type: "button", class: "leaf", onclick: () => app.open(session.id, turn.turn) }, h("span", { class: "leaf-number" }, String(turn.turn)), h("bdi", {}, snippet(turn.content)))),
        ...under(turn.turn),
    ]);
    const shown = new Set(own.map((turn) => turn.turn));
    // From before its first own turn, or from one that was taken back since.
    const rest = children.filter((child) => !shown.has(child.parent?.turn ?? 0)).map((child) => h("li", { class: "fork" }, branchNode(app, child, family, depth + 1)));
    const title = h("button", { type: "button", class: "branch-title", "aria-current": isCurrent ? "true" : null, onclick: () => app.open(session.id) }, depth > 0 ? icon("branch") : null, h("bdi", {}, titleOf(session)));
    return h("div", { class: `tree ${isCurrent ? "current" : ""}` }, title, h("ul", {}, ...rest, ...turns));
}

function snippet(content: string): string {
    const line = content.trim().replace(/\s+/g, " ");
    return line.length > SNIPPET_CHARS ? `${line.slice(0, SNIPPET_CHARS)}…` : line;
}
