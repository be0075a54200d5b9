// The page: which session is shown, what happens to it, and who is told.

import * as api from "./api";
import { Composer } from "./composer";
import { Conversation } from "./conversation";
import { announce, button, failureBox, h, newsPlaces, tell, toast } from "./dom";
import { acceptDrops } from "./drops";
import { exportMenu } from "./exports";
import { uploadAll } from "./files";
import { LinkBar } from "./link";
import { confirm, prompt } from "./menu";
import { Panel } from "./panel";
import { rungOf, sandboxBanner } from "./sandbox";
import { settingsDialog } from "./settings";
import { helpDialog } from "./shortcuts";
import { Sidebar, titleOf } from "./sidebar";
import { type Actions, Transcript } from "./transcript";
import { welcome } from "./welcome";
import type { Approval, Protection, Session, WireEvent } from "./wire";
import { restoredDetail, titleFrom } from "./words";

/** Milliseconds between looks at the list of sessions, which others may change. */
const LIST_MS = 20_000;
const FILES_MS = 400;
/** After these events more than the conversation looks different. */
const CHANGES = ["turn.start", "turn.end", "undone", "branched", "updated", "approval.required", "approval.resolved"];

export class App implements Actions {
    sessions: Session[] = [];
    models: string[] = [];
    protection: Protection | null = null;
    session: Session | null = null;
    conversation = new Conversation();
    /** Of a session that is not made yet. */
    draft: { model?: string; approval: Approval } = { approval: "auto" };
    /** A request is under way that must not be sent twice. */
    isBusy = false;

    readonly sandboxChip = button({ icon: "shield", text: "Sandbox" }, () => this.panel.toggle("sandbox"), { class: "quiet chip" });
    readonly panelButton = button({ icon: "folder", text: "Files" }, () => this.panel.toggle("files"), { class: "quiet", "aria-controls": "panel-body" });
    private readonly exportButton = button({ icon: "download", label: "Export" }, () => exportMenu(this.exportButton, this.session), { class: "quiet", "aria-haspopup": "menu" });
    private readonly branchButton = button({ icon: "branch", label: "Branches" }, () => this.panel.toggle("branches"), { class: "quiet" });
    private readonly title = h("button", { type: "button", class: "title", title: "Rename", onclick: () => this.askTitle() });
    private readonly link = new LinkBar(this);
    private readonly banner = h("div");
    private readonly latest = button({ icon: "down", text: "Latest" }, () => this.transcript.toEnd(), { class: "latest", hidden: true });
    private readonly scroller = h("main", { class: "scroller", id: "main", tabindex: -1 });
    private readonly place = h("div", { class: "place" });
    readonly transcript = new Transcript(this.scroller, this, this.latest);
    readonly panel = new Panel(this);
    readonly composer = new Composer(this);
    readonly sidebar = new Sidebar(this);
    private following: AbortController | null = null;
    private readonly others = new BroadcastChannel("codeact");
    private filesTimer = 0;
    private wantedTurn = 0;

    get isRunning(): boolean {
        return this.conversation.running !== null;
    }

    mount(): void {
        const top = h("header", { class: "top" }, button({ icon: "menu", label: "Sessions" }, () => this.drawer("sessions"), { class: "quiet only-narrow" }), this.title, h("span", { class: "gap" }), this.branchButton, this.exportButton, this.panelButton);
        this.scroller.append(this.banner, this.place);
        const middle = h("div", { class: "middle" }, top, this.link.node, this.scroller, h("div", { class: "bottom" }, this.latest, this.composer.node));
        const shade = h("div", { class: "shade", onclick: () => this.closeDrawer() });
        document.body.append(h("a", { class: "skip", href: "#main", onclick: (event: Event) => (event.preventDefault(), this.composer.focus()) }, "To the message field"), h("div", { class: "app" }, this.sidebar.node, middle, this.panel.node), shade, ...newsPlaces());
        acceptDrops((chosen) => void this.uploadFiles(chosen));
        this.update();
    }

    /** All that the server has, once. */
    async load(): Promise<void> {
        try {
            this.sessions = await api.sessions();
            [this.models, this.protection] = await Promise.all([api.models(), api.sandbox()]);
        } catch (error) {
            this.place.replaceChildren(failureBox(error, [button({ text: "Try again" }, () => location.reload())]));
            return;
        }
        this.others.onmessage = () => void this.refreshList();
        document.addEventListener("visibilitychange", () => document.hidden || void this.refreshList());
        setInterval(() => document.hidden || void this.refreshList(), LIST_MS);
        this.fromAddress();
        this.update();
    }

    fromAddress(): void {
        const id = new URLSearchParams(location.hash.slice(1)).get("session");
        if (id !== (this.session?.id ?? null) || !id) this.open(id, 0, false);
    }

    /** Shows a session, or the place where a new one begins. */
    open(id: string | null, turn = 0, isNew = true): void {
        this.drawer("");
        this.wantedTurn = turn;
        if (id !== null && id === this.session?.id) {
            if (turn > 0) this.transcript.show(turn);
            return;
        }
        if (isNew) history.pushState(null, "", id === null ? location.pathname + location.search : `#session=${encodeURIComponent(id)}`);
        this.following?.abort();
        this.link.show("open");
        this.transcript.clear();
        this.conversation = new Conversation();
        this.session = this.sessions.find((each) => each.id === id) ?? null;
        this.composer.changeTo(id ?? "");
        if (id === null) {
            this.place.replaceChildren(welcome((text) => ((this.composer.text = text), this.composer.focus())));
            this.panel.reset();
            this.update();
            return this.composer.focus();
        }
        this.place.replaceChildren(this.transcript.node);
        this.update();
        void this.enter(id);
    }

    private async enter(id: string): Promise<void> {
        const following = new AbortController();
        this.following = following;
        const isHere = (): boolean => this.following === following && !following.signal.aborted;
        try {
            const session = await api.session(id);
            if (!isHere()) return;
            this.take(session);
        } catch (error) {
            if (!isHere()) return;
            this.place.replaceChildren(failureBox(error, [button({ text: "New session" }, () => this.open(null)), button({ text: "Try again" }, () => void this.enter(id))]));
            return;
        }
        this.place.replaceChildren(this.transcript.node);
        this.panel.reset();
        this.composer.focus();
        if (this.session?.last_event === 0) this.caughtUp();
        let isFirst = true;
        await api.follow(id, this.conversation.last, following.signal, (event) => isHere() && this.happened(event), (link, failure) => {
            if (!isHere()) return;
            this.link.show(link, failure);
            if (link === "open" && !isFirst) void this.compare(id);
            isFirst = false;
        });
    }

    private happened(event: WireEvent): void {
        const { conversation } = this;
        const wasPending = conversation.pending;
        if (!conversation.apply(event)) return;
        if (event.id >= (this.session?.last_event ?? 0) && this.transcript.isQuiet) this.caughtUp();
        this.transcript.want(conversation);
        if (event.type === "updated" && this.session) {
            const { title, approval, model } = event;
            Object.assign(this.session, title === undefined ? {} : { title }, approval === undefined ? {} : { approval }, model === undefined ? {} : { model });
        }
        if (this.transcript.isQuiet) return;
        if (CHANGES.includes(event.type)) {
            this.update();
            void this.refreshList();
        }
        if (event.type === "undone") {
            const count = event.turns === 1 ? "The last turn is" : `${event.turns} turns are`;
            toast(`${count} taken back, with variables and files.`, { detail: restoredDetail(event.restored) });
        }
        if (["exec.end", "undone", "turn.end"].includes(event.type)) this.refreshPanel();
        if (conversation.pending && conversation.pending !== wasPending) this.focusPending();
    }

    /** The history is complete: from here on, news are read out. */
    private caughtUp(): void {
        this.transcript.draw(this.conversation);
        this.transcript.isQuiet = false;
        if (this.wantedTurn > 0) this.transcript.show(this.wantedTurn);
        else this.transcript.toEnd();
        if (this.conversation.pending) this.focusPending();
        this.update();
    }

    /** After a crash the server may know less than this page does. Then the page begins again. */
    private async compare(id: string): Promise<void> {
        // What comes while the answer is on its way is newer than the answer.
        const { last } = this.conversation;
        const session = await api.session(id).catch(() => null);
        if (!session || this.session?.id !== id) return;
        if (session.last_event < last) {
            this.session = null;
            this.open(id, 0, false);
        } else this.take(session);
    }

    private take(session: Session): void {
        this.session = session;
        this.remember(session);
        this.update();
    }

    private remember(session: Session): void {
        const at = this.sessions.findIndex((each) => each.id === session.id);
        if (at >= 0) this.sessions[at] = session;
        else this.sessions.unshift(session);
    }

    /** What is around the conversation. */
    update(): void {
        const { session, panel } = this;
        this.title.replaceChildren(h("bdi", {}, session ? titleOf(session) : "New session"));
        this.title.disabled = session === null;
        document.title = `${this.conversation.pending ? "? " : this.isRunning ? "… " : ""}${session ? titleOf(session) : "codeact"}`;
        this.exportButton.disabled = session === null;
        this.panelButton.setAttribute("aria-expanded", String(panel.isOpen && panel.tab === "files"));
        const protection = session?.protection ?? this.protection;
        if (protection) {
            const rung = rungOf(protection);
            this.sandboxChip.className = `button quiet chip ${rung.tone}`;
            this.sandboxChip.lastElementChild?.replaceChildren(rung.text);
            this.sandboxChip.title = `Rung ${rung.letter}: what protects this machine`;
        }
        const banner = sandboxBanner(protection);
        this.banner.replaceChildren(...(banner ? [banner] : []));
        this.composer.update();
        this.sidebar.update();
    }

    private refreshPanel(): void {
        clearTimeout(this.filesTimer);
        this.filesTimer = window.setTimeout(() => this.panel.update(), FILES_MS);
    }

    async refreshList(): Promise<void> {
        const sessions = await api.sessions().catch(() => null);
        if (!sessions) return;
        // The list has no turns; the session that is shown keeps its own.
        this.sessions = sessions.map((each) => (each.id === this.session?.id ? Object.assign(this.session, each, { turns: this.session.turns }) : each));
        this.sidebar.update();
    }

    private changed(): void {
        this.others.postMessage("sessions");
        void this.refreshList();
    }

    created(session: Session): void {
        this.remember(session);
        this.changed();
        this.open(session.id);
    }

    private async ensure(title = ""): Promise<string> {
        if (this.session) return this.session.id;
        const session = await api.createSession({ ...(title ? { title } : {}), approval: this.draft.approval, ...(this.draft.model ? { model: this.draft.model } : {}) });
        this.created(session);
        return session.id;
    }

    /** Sends a message; begins a session if there is none. */
    async send(content: string): Promise<void> {
        if (this.isBusy || this.isRunning) return;
        this.isBusy = true;
        this.composer.update();
        try {
            const title = titleFrom(content);
            const id = await this.ensure(title);
            await api.say(id, content);
            // A session that was made with settings or by an upload has no name yet.
            if (this.session?.id === id && !this.session.title) void api.updateSession(id, { title }).catch(() => null);
            this.transcript.toEnd();
        } catch (error) {
            tell(error);
            throw error;
        } finally {
            this.isBusy = false;
            this.composer.update();
        }
    }

    async stop(): Promise<void> {
        if (!this.session) return;
        announce("Stopping");
        await api.interrupt(this.session.id).catch(tell);
    }

    async decide(approval: string, decision: object): Promise<void> {
        if (!this.session) return;
        try {
            await api.decide(this.session.id, approval, decision);
        } catch (error) {
            // Another tab was faster, and its decision comes as an event.
            if (!(error instanceof api.Failure && error.status === 409)) throw error;
        }
        this.composer.focus();
    }

    async resend(turn: number, content: string, how: "branch" | "undo"): Promise<void> {
        if (!this.session) return;
        const { id } = this.session;
        if (how === "undo") {
            const count = this.conversation.turns.filter((each) => each.turn >= turn).length;
            await api.undo(id, count);
            await api.say(id, content);
            return;
        }
        const { session, restored } = await api.branch(id, this.before(turn));
        await api.say(session.id, content);
        this.branched(await api.updateSession(session.id, { title: titleFrom(content) }), restoredDetail(restored));
    }

    /** The number of the turn before `turn`; 0: there is none. */
    private before(turn: number): number {
        return this.conversation.turns.findLast((each) => each.turn < turn)?.turn ?? 0;
    }

    branch(turn: number): void {
        if (!this.session) return;
        api.branch(this.session.id, turn).then(({ session, restored }) => this.branched(session, restoredDetail(restored)), tell);
    }

    private branched(session: Session, detail: string): void {
        const from = this.session?.id ?? null;
        this.created(session);
        toast("You are in a branch. The conversation it came from is as it was.", { detail, action: { text: "Back to it", run: () => this.open(from) } });
    }

    undo(turn: number): void {
        const { session } = this;
        const count = this.conversation.turns.filter((each) => each.turn >= turn).length;
        if (!session || count === 0 || this.isRunning) return;
        const what = count === 1 ? "the last turn" : `the last ${count} turns`;
        confirm(`Undo ${what}?`, "Messages, variables and files go back to how they were before. To keep this conversation too, branch instead.", "Undo", () => api.undo(session.id, count));
    }

    undoLast(): void {
        const last = this.conversation.turns.at(-1);
        if (last) this.undo(last.turn);
    }

    async rename(id: string, title: string): Promise<void> {
        const session = await api.updateSession(id, { title });
        if (this.session?.id === id) Object.assign(this.session, { title: session.title });
        this.changed();
        this.update();
    }

    private askTitle(): void {
        const { session } = this;
        if (session) prompt("Rename the session", "Title", session.title ?? "", (value) => this.rename(session.id, value));
    }

    async remove(id: string): Promise<void> {
        await api.deleteSession(id);
        this.sessions = this.sessions.filter((each) => each.id !== id);
        if (this.session?.id === id) this.open(null);
        this.changed();
    }

    async setModel(model: string): Promise<void> {
        if (!this.session) this.draft.model = model;
        else await api.updateSession(this.session.id, { model }).then((session) => this.take({ ...session, turns: this.session?.turns }), tell);
        this.update();
    }

    async setApproval(approval: Approval): Promise<void> {
        if (!this.session) this.draft.approval = approval;
        else await api.updateSession(this.session.id, { approval }).then((session) => this.take({ ...session, turns: this.session?.turns }), tell);
        this.update();
    }

    async uploadFiles(chosen: File[], folder = ""): Promise<void> {
        if (chosen.length === 0) return;
        const id = await this.ensure().catch((error: unknown) => (tell(error), null));
        if (id === null) return;
        await uploadAll(id, chosen, folder);
        this.panel.open("files");
    }

    settings(): void {
        this.drawer("");
        settingsDialog(this);
    }

    help(): void {
        helpDialog();
    }

    /** The next (1) or previous (-1) session of the list. */
    neighbour(step: number): void {
        const at = this.sessions.findIndex((each) => each.id === this.session?.id);
        const next = this.sessions[at + step];
        if (next) this.open(next.id);
    }

    /** The question takes the focus, unless something is being written. */
    private focusPending(): void {
        requestAnimationFrame(() => {
            const active = document.activeElement;
            const isWriting = active instanceof HTMLTextAreaElement && active.value !== "";
            if (!isWriting && !document.querySelector("dialog[open]")) this.toPending();
        });
    }

    toPending(): void {
        this.place.querySelector<HTMLElement>(".ask")?.focus();
    }

    /** On narrow pages the list of sessions lies over the conversation. */
    drawer(name: "sessions" | ""): void {
        document.documentElement.classList.toggle("has-drawer", name === "sessions");
        if (name === "sessions") this.sidebar.node.querySelector<HTMLElement>("a[aria-current], button")?.focus();
    }

    /** `true`: something was open. */
    closeDrawer(): boolean {
        if (document.documentElement.classList.contains("has-drawer")) return this.drawer(""), true;
        if (this.panel.isOpen && matchMedia("(max-width: 1100px)").matches) return this.panel.close(), true;
        return false;
    }
}
