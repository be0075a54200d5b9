// What a session's events come to: turns, their steps, and the blocks in them. Knows nothing of the page.
//
// Events are applied once each, by their ids, so a stream that begins again doubles nothing. Whatever changes gets a new
// `version`, which is what the page looks at.

import type { Bundle, WireEvent } from "./wire";

export type Part =
    | { kind: "text"; stream: "stdout" | "stderr"; text: string; isLate: boolean }
    | { kind: "display"; data: Bundle };

export interface Thought {
    kind: "thought";
    text: string;
}

export interface Code {
    kind: "code";
    code: string;
    /** The model still writes it. */
    isOpen: boolean;
    /** What the user made of it. */
    isEdited: boolean;
}

/** What the model is told where there is nothing to show. */
export const NO_OUTPUT = "[Executed Successfully with No Output]";

export interface Output {
    kind: "output";
    parts: Part[];
    /** `finished`, `raised`, ..; empty while it runs. */
    end: string;
    /** Of variables and files: `kept`, `rolled_back`, `lost`. */
    state: string;
    seconds: number;
    observation: string;
    /** A plain value and a traceback, which the code did not print. */
    rest: string;
}

export interface ApprovalBlock {
    kind: "approval";
    approval: string;
    code: string;
    /** The code is one call of this tool; empty: it is what the agent wrote. */
    tool: string;
    /** Empty while the user is asked. */
    decision: string;
    reason: string;
}

export interface Answer {
    kind: "answer";
    text: string;
    isOpen: boolean;
}

export interface Note {
    kind: "note";
    tone: "hint" | "context" | "error";
    text: string;
}

export type Block = (Thought | Code | Output | ApprovalBlock | Answer | Note) & { version: number };

export interface Step {
    step: number;
    blocks: Block[];
    usage: { prompt_tokens: number; cached_tokens: number; completion_tokens: number; seconds: number } | null;
    version: number;
}

export interface Turn {
    turn: number;
    content: string;
    steps: Step[];
    /** Empty while it runs. */
    end: string;
    time: number;
    totals: { steps: number; executions: number; prompt_tokens: number; completion_tokens: number; seconds: number } | null;
    version: number;
}

export class Conversation {
    turns: Turn[] = [];
    /** Id of the newest event. */
    last = 0;

    get running(): Turn | null {
        const turn = this.turns.at(-1);
        return turn && turn.end === "" ? turn : null;
    }

    /** What the user is asked right now. */
    get pending(): ApprovalBlock | null {
        const blocks = this.running?.steps.at(-1)?.blocks ?? [];
        const open = blocks.findLast((block) => block.kind === "approval" && block.decision === "");
        return open?.kind === "approval" ? open : null;
    }

    /** `false`: it is known already. */
    apply(event: WireEvent): boolean {
        if (event.id <= this.last) return false;
        this.last = event.id;
        if (event.type === "undone") {
            this.turns.splice(Math.max(0, this.turns.length - event.turns));
        } else if (event.type === "turn.start") {
            // A number that comes again stands for what was taken back.
            this.turns = this.turns.filter((turn) => turn.turn < event.turn);
            this.turns.push(newTurn(event.turn, event.content, event.time));
        } else if (event.type !== "branched" && event.type !== "updated") {
            // Code left running may still print after its turn.
            const turn = this.turns.findLast((turn) => turn.turn === event.turn) ?? this.turns.at(-1);
            if (turn) applyToTurn(turn, event);
        }
        return true;
    }
}

function newTurn(turn: number, content: string, time: number): Turn {
    return { turn, content, steps: [], end: "", time, totals: null, version: 0 };
}

function stepOf(turn: Turn, number?: number): Step {
    const last = turn.steps.at(-1);
    if (last && (number === undefined || last.step === number)) return last;
    const step: Step = { step: number ?? 1, blocks: [], usage: null, version: 0 };
    turn.steps.push(step);
    turn.version += 1;
    return step;
}

function push(step: Step, block: Block): Block {
    step.blocks.push(block);
    step.version += 1;
    return block;
}

/** The block that is being written, if it is of this kind, or else a new one. */
function open<K extends Block["kind"]>(step: Step, kind: K, make: () => Extract<Block, { kind: K }>): Extract<Block, { kind: K }> {
    const last = step.blocks.at(-1);
    const block = last?.kind === kind ? last : push(step, make());
    block.version += 1;
    step.version += 1;
    return block as Extract<Block, { kind: K }>;
}

const newCode = (code = "", isOpen = true): Code & { version: number } => ({ kind: "code", code, isOpen, isEdited: false, version: 0 });
const newOutput = (): Output & { version: number } => ({ kind: "output", parts: [], end: "", state: "kept", seconds: 0, observation: "", rest: "", version: 0 });
function note(step: Step, tone: Note["tone"], text: string): void {
    push(step, { kind: "note", tone, text, version: 0 });
}

const newAnswer = (): Answer & { version: number } => ({ kind: "answer", text: "", isOpen: true, version: 0 });

function closeBlocks(turn: Turn): void {
    for (const block of turn.steps.flatMap((step) => step.blocks)) {
        if (block.kind === "code" || block.kind === "answer") block.isOpen = false;
        if (block.kind === "output" && block.end === "") block.end = "interrupted";
        if (block.kind === "approval" && block.decision === "") block.decision = "interrupted";
        block.version += 1;
    }
    for (const step of turn.steps) step.version += 1;
}

function applyToTurn(turn: Turn, event: WireEvent): void {
    turn.version += 1;
    switch (event.type) {
        case "step.start":
            stepOf(turn, event.step);
            return;
        case "turn.end": {
            const { steps, executions, prompt_tokens, completion_tokens, seconds } = event;
            turn.end = event.end;
            turn.totals = { steps, executions, prompt_tokens, completion_tokens, seconds };
            closeBlocks(turn);
            return;
        }
        case "usage": {
            const step = turn.steps.find((step) => step.step === event.step) ?? stepOf(turn);
            const { prompt_tokens, cached_tokens = 0, completion_tokens, seconds } = event;
            step.usage = { prompt_tokens, cached_tokens, completion_tokens, seconds };
            step.version += 1;
            return;
        }
        default:
            applyToStep(stepOf(turn), event);
    }
}

function applyToStep(step: Step, event: WireEvent): void {
    step.version += 1;
    switch (event.type) {
        case "token":
            open(step, "thought", () => ({ kind: "thought", text: "", version: 0 })).text += event.text;
            return;
        case "code.delta":
            open(step, "code", newCode).code += event.text;
            return;
        case "code.end": {
            const block = open(step, "code", newCode);
            block.code = event.code;
            block.isOpen = false;
            return;
        }
        case "solution.delta":
            open(step, "answer", newAnswer).text += event.text;
            return;
        case "answer":
            return answer(step, event.text);
        case "approval.required":
            return asked(step, event);
        case "approval.resolved":
            return resolve(step, event);
        case "hint":
            return note(step, "hint", event.text);
        case "context.shortened": {
            const what = event.observations === 1 ? "The oldest output was" : `The ${event.observations} oldest outputs were`;
            const now = event.tokens === undefined || event.tokens_max === undefined ? "." : `: it now reads ${event.tokens} of at most ${event.tokens_max} tokens.`;
            return note(step, "context", `${what} shortened for the model${now}`);
        }
        case "restored": {
            const count = event.differences?.length ?? 0;
            const how = count === 0 ? "with the same results" : `with different results in ${count} place${count === 1 ? "" : "s"}:\n${event.differences?.join("\n")}`;
            return note(step, "context", `Python was started again, and the code until here has run once more (${event.cells} times), ${how}.`);
        }
        case "error":
            return note(step, "error", event.message);
        case "exec.start":
        case "exec.stdout":
        case "exec.display":
        case "exec.end":
            return applyOutput(step, event);
    }
}

type Executed = Extract<WireEvent, { type: "exec.start" | "exec.stdout" | "exec.display" | "exec.end" }>;

function applyOutput(step: Step, event: Executed): void {
    if (event.type === "exec.start") {
        const code = step.blocks.findLast((block) => block.kind === "code");
        if (code?.kind !== "code") push(step, newCode(event.code, false));
        else if (code.code.trim() !== event.code.trim()) editCode(code, event.code);
        push(step, newOutput());
        return;
    }
    const output = open(step, "output", newOutput);
    if (event.type === "exec.display") {
        output.parts.push({ kind: "display", data: event.data });
    } else if (event.type === "exec.stdout") {
        const last = output.parts.at(-1);
        const isLate = event.late === true;
        if (last?.kind === "text" && last.stream === event.stream && last.isLate === isLate) last.text += event.text;
        else output.parts.push({ kind: "text", stream: event.stream, text: event.text, isLate });
    } else {
        output.end = event.end;
        output.state = event.state;
        output.seconds = event.seconds;
        output.observation = event.observation;
        const value = event.value ?? {};
        const formats = Object.keys(value);
        const isPlain = formats.length === 1 && formats[0] === "text/plain";
        output.rest = [isPlain ? (value["text/plain"] ?? "") : "", event.error?.traceback ?? ""].filter((text) => text !== "").join("\n");
        if (formats.length > 0 && !isPlain) output.parts.push({ kind: "display", data: value });
    }
}

function editCode(block: Block & Code, code: string): void {
    block.code = code;
    block.isEdited = true;
    block.isOpen = false;
    block.version += 1;
}

/** A reply without tag is the answer itself: what was shown as a thought becomes one. */
function answer(step: Step, text: string): void {
    const last = step.blocks.at(-1);
    if (last?.kind === "thought" && last.text.trim() === text.trim()) step.blocks.pop();
    const block = open(step, "answer", newAnswer);
    block.text = text;
    block.isOpen = false;
}

/** A call is asked about while its code runs: what that shows stays in one block, behind the question. */
function asked(step: Step, event: Extract<WireEvent, { type: "approval.required" }>): void {
    const { approval, code, tool = "" } = event;
    const block: Block = { kind: "approval", approval, code, tool, decision: "", reason: "", version: 0 };
    const last = step.blocks.at(-1);
    if (last?.kind === "output" && last.end === "") step.blocks.splice(-1, 0, block);
    else push(step, block);
}

function resolve(step: Step, event: Extract<WireEvent, { type: "approval.resolved" }>): void {
    const asked = step.blocks.findLast((block) => block.kind === "approval" && block.approval === event.approval);
    if (asked?.kind !== "approval") return;
    asked.decision = event.decision;
    asked.reason = event.reason ?? "";
    asked.version += 1;
    const code = step.blocks.findLast((block) => block.kind === "code");
    if (event.code !== undefined && code?.kind === "code" && code.code.trim() !== event.code.trim()) editCode(code, event.code);
}
