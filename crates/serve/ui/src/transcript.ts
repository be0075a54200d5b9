// The conversation on the page. Draws what has a new version, at most once a frame, and leaves the rest alone.

import { type View, blockView } from "./blocks";
import { type Block, Conversation, type Step, type Turn } from "./conversation";
import { announce, arrange, button, copyButton, failureBox, h, icon, tell } from "./dom";
import { ending, number, seconds } from "./words";

/** What can be done from within the conversation. */
export interface Actions {
    decide(approval: string, decision: object): Promise<void>;
    /** Sends `content` in the place of turn `turn`. */
    resend(turn: number, content: string, how: "branch" | "undo"): Promise<void>;
    /** Takes back turn `turn` and all behind it. */
    undo(turn: number): void;
    branch(turn: number): void;
    send(content: string): void;
}

/** Pixels from the end within which the page follows what comes. */
const FOLLOW_PIXELS = 96;

interface Drawn {
    view: View;
    version: number;
}

export class Transcript {
    readonly node = h("div", { class: "turns" });
    private turns = new Map<Turn, TurnView>();
    /** What is to be drawn with the next frame. */
    private wanted: Conversation | null = null;
    /** Nothing is read out while history comes in. */
    isQuiet = true;

    constructor(
        private readonly scroller: HTMLElement,
        private readonly actions: Actions,
        private readonly latest: HTMLButtonElement,
    ) {
        scroller.addEventListener("scroll", () => this.scrolled(), { passive: true });
        // Figures grow when they are decoded, and the window when a phone's keyboard goes.
        const sizes = new ResizeObserver(() => this.keepUp());
        sizes.observe(this.node);
        sizes.observe(scroller);
    }

    private isFollowing = true;
    private top = 0;

    /** Who scrolls up stays there; who comes back to the end goes on with it. */
    private scrolled(): void {
        const { scrollTop, scrollHeight, clientHeight } = this.scroller;
        const isNear = scrollHeight - scrollTop - clientHeight < FOLLOW_PIXELS;
        if (isNear || scrollTop < this.top - 1) this.isFollowing = isNear;
        this.top = scrollTop;
        this.latest.hidden = isNear;
    }

    private keepUp(): void {
        if (!this.node.isConnected) return;
        if (this.isFollowing) this.scroller.scrollTop = this.scroller.scrollHeight;
        this.scrolled();
    }

    toEnd(): void {
        this.isFollowing = true;
        this.scroller.scrollTop = this.scroller.scrollHeight;
        this.latest.hidden = true;
    }

    clear(): void {
        this.wanted &&= new Conversation();
        this.turns.clear();
        this.node.replaceChildren();
        this.isQuiet = true;
        this.isFollowing = true;
    }

    /** Draws soon. */
    want(conversation: Conversation): void {
        const isAsked = this.wanted !== null;
        this.wanted = conversation;
        if (isAsked) return;
        const draw = (): void => {
            const { wanted } = this;
            this.wanted = null;
            if (wanted) this.draw(wanted);
        };
        // A page in the background gets no frames, but is read out and looked at later.
        if (document.hidden) setTimeout(draw, 200);
        else requestAnimationFrame(draw);
    }

    draw(conversation: Conversation): void {
        const views = conversation.turns.map((turn) => {
            const view = this.turns.get(turn) ?? new TurnView(turn, this.actions, (text, isUrgent) => this.say(text, isUrgent));
            this.turns.set(turn, view);
            view.update(turn === conversation.turns.at(-1));
            return view;
        });
        for (const turn of this.turns.keys()) if (!conversation.turns.includes(turn)) this.turns.delete(turn);
        arrange(this.node, views.map((view) => view.node));
        this.keepUp();
    }

    show(turn: number): void {
        const view = [...this.turns.values()].find((view) => view.turn.turn === turn);
        if (!view) return;
        this.isFollowing = false;
        view.node.scrollIntoView({ block: "start" });
        view.node.focus({ preventScroll: true });
    }

    editLast(): void {
        [...this.turns.values()].filter((view) => view.node.isConnected).at(-1)?.edit();
    }

    private say(text: string, isUrgent = false): void {
        if (!this.isQuiet) announce(text, isUrgent);
    }
}

class TurnView {
    readonly node: HTMLElement;
    private steps = new Map<Step, StepView>();
    private readonly said = h("div", { class: "said" });
    private readonly body = h("div", { class: "steps" });
    private readonly end = h("div", { class: "turn-end" });
    private version = -1;
    private wasLast = false;
    private isEditing = false;
    private heard = "";

    constructor(
        readonly turn: Turn,
        private readonly actions: Actions,
        private readonly say: (text: string, isUrgent?: boolean) => void,
    ) {
        const title = h("h2", { class: "hidden" }, `Turn ${turn.turn}`);
        this.node = h("article", { class: "turn", tabindex: -1, id: `turn-${turn.turn}` }, title, this.said, this.body, this.end);
        this.drawSaid();
    }

    update(isLast: boolean): void {
        if (this.version === this.turn.version && this.wasLast === isLast) return;
        this.version = this.turn.version;
        this.wasLast = isLast;
        const views = this.turn.steps.map((step) => {
            const view = this.steps.get(step) ?? new StepView(step, this.actions);
            this.steps.set(step, view);
            view.update();
            return view.node;
        });
        arrange(this.body, this.turn.end === "" && this.isThinking() ? [...views, waiting] : views);
        this.node.classList.toggle("running", this.turn.end === "");
        for (const each of this.said.querySelectorAll<HTMLButtonElement>(".tools .button.changes")) each.disabled = this.turn.end === "";
        this.drawEnd(isLast);
        this.tell();
    }

    /** The model has begun nothing that could be seen. */
    private isThinking(): boolean {
        const last = this.turn.steps.at(-1)?.blocks.at(-1);
        return !last || (last.kind === "output" && last.end !== "") || last.kind === "note" || (last.kind === "approval" && last.decision === "denied");
    }

    /** One sentence when something new begins, never the pieces it comes in. */
    private tell(): void {
        const blocks = this.turn.steps.flatMap((step) => step.blocks);
        const last = blocks.at(-1);
        const question = blocks.findLast((block) => block.kind === "approval" && block.decision === "");
        let [key, text, isUrgent] = ["", "", false];
        if (this.turn.end !== "") {
            const answer = blocks.findLast((block) => block.kind === "answer");
            [key, text] = ["end", ending(this.turn.end)?.text ?? (answer?.kind === "answer" ? `Answer: ${answer.text}` : "The turn has ended.")];
        } else if (question?.kind === "approval") {
            const what = question.tool === "" ? "its code may run" : `it may call ${question.tool}`;
            [key, text, isUrgent] = [question.approval, `The agent asks whether ${what}.`, true];
        } else if (last?.kind === "output" && last.end === "") {
            [key, text] = [`run ${blocks.length}`, "Code is running."];
        } else if (last?.kind === "output" && last.end !== "finished") {
            [key, text] = [`failed ${blocks.length}`, "The code failed."];
        } else if (last?.kind === "thought") {
            [key, text] = [`thought ${this.turn.steps.length}`, "The agent is thinking."];
        }
        if (key === "" || key === this.heard) return;
        this.heard = key;
        this.say(text, isUrgent);
    }

    private drawSaid(): void {
        this.isEditing = false;
        const tools = h(
            "div",
            { class: "tools" },
            copyButton("your message", () => this.turn.content),
            button({ icon: "edit", label: "Edit your message and send it again" }, () => this.edit(), { class: "quiet changes" }),
        );
        this.said.replaceChildren(h("div", { class: "label" }, "You"), h("div", { class: "spoken" }, h("div", { class: "bubble" }, this.turn.content), tools));
    }

    edit(): void {
        if (this.isEditing || this.turn.end === "") return;
        this.isEditing = true;
        const id = `edit-${this.turn.turn}`;
        const area = h("textarea", { id, rows: Math.min(12, this.turn.content.split("\n").length + 1) });
        area.value = this.turn.content;
        const place = h("div", {});
        const done = (): void => {
            this.drawSaid();
            this.said.querySelector<HTMLButtonElement>(".changes")?.focus();
        };
        const go = (how: "branch" | "undo"): void => {
            if (area.value.trim() === "") return area.focus();
            for (const each of form.querySelectorAll("button")) each.disabled = true;
            this.actions.resend(this.turn.turn, area.value, how).then(() => this.drawSaid(), (error: unknown) => {
                for (const each of form.querySelectorAll("button")) each.disabled = false;
                place.replaceChildren(failureBox(error));
            });
        };
        area.addEventListener("keydown", (event) => {
            event.stopPropagation();
            if (event.key === "Escape") done();
            if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
                event.preventDefault();
                go("branch");
            }
        });
        const form = h(
            "div",
            { class: "editing" },
            h("label", { for: id }, "Edit your message"),
            area,
            h("div", { class: "line" }, button({ icon: "branch", text: "Send in a branch" }, () => go("branch"), { class: "primary", title: "Keeps this conversation and goes on in a new one" }), button({ icon: "undo", text: "Undo to here and send" }, () => go("undo"), { title: "Takes back this turn and all behind it, with variables and files" }), button({ text: "Cancel" }, done, { class: "quiet" })),
            place,
        );
        this.said.replaceChildren(h("div", { class: "label" }, "You"), form);
        area.focus();
        area.setSelectionRange(area.value.length, area.value.length);
    }

    private drawEnd(isLast: boolean): void {
        const { end, totals, turn } = this.turn;
        if (end === "") return this.end.replaceChildren();
        const how = ending(end);
        const parts: Node[] = [];
        if (how) {
            const remark = h("div", { class: `ending ${how.isBad ? "bad" : ""}` }, icon(how.isBad ? "warn" : "info"), h("p", {}, how.text));
            if (isLast && how.canContinue) remark.append(button({ text: "Continue" }, () => this.actions.send("Continue."), { class: "small" }));
            if (isLast && end === "error") remark.append(button({ text: "Try again" }, () => void this.actions.resend(turn, this.turn.content, "undo").catch(tell), { class: "small" }));
            parts.push(remark);
        }
        const tools = h(
            "div",
            { class: "tools" },
            button({ icon: "branch", text: "Branch here" }, () => this.actions.branch(turn), { class: "quiet small", title: "Goes on from here in a session of its own" }),
            button({ icon: "undo", text: isLast ? "Undo" : "Undo to before this" }, () => this.actions.undo(turn), { class: "quiet small", title: "Takes back this turn and all behind it, with variables and files" }),
        );
        if (this.turn.steps.flatMap((step) => step.blocks).some((block) => block.kind === "output")) tools.prepend(this.workToggle());
        const sums = totals ? `${plural(totals.steps, "step")} · ${number(totals.prompt_tokens)} + ${number(totals.completion_tokens)} tokens · ${seconds(totals.seconds)}` : "";
        parts.push(h("div", { class: "turn-foot" }, tools, h("p", { class: "muted sums", title: "Tokens read + written" }, sums)));
        this.end.replaceChildren(...parts);
    }

    /** Leaves only the answer. */
    private workToggle(): HTMLButtonElement {
        const isHidden = (): boolean => this.node.classList.contains("brief");
        const toggle = button({ icon: "chevron", text: isHidden() ? "Show work" : "Hide work" }, () => {
            this.node.classList.toggle("brief");
            toggle.setAttribute("aria-expanded", String(!isHidden()));
            toggle.lastElementChild?.replaceChildren(isHidden() ? "Show work" : "Hide work");
        }, { class: "quiet small", "aria-expanded": String(!isHidden()) });
        return toggle;
    }
}

const plural = (count: number, word: string): string => `${number(count)} ${word}${count === 1 ? "" : "s"}`;

/** Stands below a turn whose next piece has not come yet. */
const waiting = h("div", { class: "block waiting" }, h("div", { class: "label" }), h("div", { class: "body" }, h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i")), h("span", { class: "hidden" }, "The agent is thinking")));

class StepView {
    readonly node: HTMLElement;
    private blocks = new Map<Block, Drawn>();
    private readonly usage = h("span", { class: "usage" });
    private readonly body = h("div", { class: "blocks" });
    private version = -1;

    constructor(
        private readonly step: Step,
        private readonly actions: Actions,
    ) {
        const head = h("div", { class: "step-head" }, h("h3", {}, `Step ${step.step}`), h("span", { class: "line-rule" }), this.usage);
        this.node = h("section", { class: "step", "aria-label": `Step ${step.step}` }, head, this.body);
    }

    update(): void {
        if (this.version === this.step.version) return;
        this.version = this.step.version;
        const nodes = this.step.blocks.map((block) => {
            let drawn = this.blocks.get(block);
            if (!drawn) {
                drawn = { view: blockView(block, this.step.step, this.actions), version: -1 };
                this.blocks.set(block, drawn);
            }
            if (drawn.version !== block.version) drawn.view.update();
            drawn.version = block.version;
            return drawn.view.node;
        });
        arrange(this.body, nodes);
        this.node.classList.toggle("has-answer", this.step.blocks.some((block) => block.kind === "answer"));
        const { usage } = this.step;
        if (usage) {
            this.usage.textContent = `${number(usage.prompt_tokens)} + ${number(usage.completion_tokens)} tokens · ${seconds(usage.seconds)}`;
            this.usage.title = `${number(usage.prompt_tokens)} tokens in the prompt, ${number(usage.cached_tokens)} of them known from before; ${number(usage.completion_tokens)} written, in ${seconds(usage.seconds)}`;
        }
    }
}
