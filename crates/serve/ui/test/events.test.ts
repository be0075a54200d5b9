// The stream of events, cut anywhere and told twice, comes to the same conversation.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Conversation } from "../src/conversation";
import { FrameParser } from "../src/sse";
import type { WireEvent } from "../src/wire";

function events(...payloads: object[]): WireEvent[] {
    return payloads.map((payload, index) => ({ id: index + 1, turn: 1, time: 0, ...payload }) as WireEvent);
}

const TURN = events(
    { type: "turn.start", content: "Add." },
    { type: "step.start", step: 1 },
    { type: "token", text: "I " },
    { type: "token", text: "add." },
    { type: "code.delta", text: "print(1" },
    { type: "code.delta", text: ")" },
    { type: "code.end", step: 1, code: "print(1)" },
    { type: "usage", step: 1, prompt_tokens: 5, completion_tokens: 7, seconds: 0.5 },
    { type: "exec.start", step: 1, code: "print(1)" },
    { type: "exec.stdout", stream: "stdout", text: "1" },
    { type: "exec.stdout", stream: "stdout", text: "\n" },
    { type: "exec.end", step: 1, observation: "1", end: "finished", state: "kept", seconds: 0.1, value: { "text/plain": "2" } },
    { type: "step.start", step: 2 },
    { type: "solution.delta", text: "It is " },
    { type: "solution.delta", text: "1." },
    { type: "answer", text: "It is 1." },
    { type: "turn.end", end: "solution", steps: 2, executions: 1, prompt_tokens: 5, completion_tokens: 7, seconds: 1 },
);

function conversation(...all: WireEvent[]): Conversation {
    const made = new Conversation();
    for (const event of all) made.apply(event);
    return made;
}

const shape = (made: Conversation): unknown => made.turns.map((turn) => [turn.content, turn.end, turn.steps.map((step) => step.blocks.map(({ version: _, ...block }) => block))]);

test("events become turns, steps and blocks", () => {
    const made = conversation(...TURN);
    const kinds = made.turns[0]?.steps.map((step) => step.blocks.map((block) => block.kind).join(" "));
    assert.deepEqual(kinds, ["thought code output", "answer"]);
    const output = made.turns[0]?.steps[0]?.blocks[2];
    assert.deepEqual(output?.kind === "output" && [output.parts, output.rest], [[{ kind: "text", stream: "stdout", text: "1\n", isLate: false }], "2"]);
    assert.equal(made.running, null);
});

test("events that come again change nothing", () => {
    for (let cut = 0; cut <= TURN.length; cut += 1) {
        const twice = conversation(...TURN.slice(0, cut), ...TURN);
        assert.deepEqual(shape(twice), shape(conversation(...TURN)), `cut behind ${cut}`);
    }
});

test("a reply without a tag is the answer and not a thought too", () => {
    const made = conversation(...events({ type: "turn.start", content: "Hi." }, { type: "step.start", step: 1 }, { type: "token", text: "Hello. " }, { type: "answer", text: "Hello." }));
    assert.equal(made.turns[0]?.steps[0]?.blocks.map((block) => block.kind).join(" "), "answer");
});

test("undone turns are gone, and their numbers come again", () => {
    const second = { ...TURN[0], id: 18, turn: 2, content: "More." } as WireEvent;
    const undone = { id: 19, turn: 2, time: 0, type: "undone", turns: 1 } as WireEvent;
    const again = { ...TURN[0], id: 20, turn: 2, content: "Other." } as WireEvent;
    assert.deepEqual(conversation(...TURN, second, undone).turns.map((turn) => turn.content), ["Add."]);
    assert.deepEqual(conversation(...TURN, second, undone, again).turns.map((turn) => turn.content), ["Add.", "Other."]);
    assert.deepEqual(conversation(...TURN, { ...undone, id: 18, turns: 5 } as WireEvent).turns, []);
});

test("a question waits until it is answered, and edited code is what ran", () => {
    const asked = events(
        { type: "turn.start", content: "Add." },
        { type: "step.start", step: 1 },
        { type: "code.end", step: 1, code: "print(1)" },
        { type: "approval.required", approval: "a", step: 1, code: "print(1)" },
        { type: "approval.resolved", approval: "a", decision: "edited", code: "print(2)" },
        { type: "exec.start", step: 1, code: "print(2)" },
    );
    assert.equal(conversation(...asked.slice(0, 4)).pending?.approval, "a");
    const made = conversation(...asked);
    assert.equal(made.pending, null);
    const code = made.turns[0]?.steps[0]?.blocks[0];
    assert.deepEqual(code?.kind === "code" && [code.code, code.isEdited], ["print(2)", true]);
});

test("an event of a kind that is new is passed over", () => {
    const made = conversation({ id: 1, turn: 1, time: 0, type: "weather" } as unknown as WireEvent, ...TURN.map((event) => ({ ...event, id: event.id + 1 })));
    assert.deepEqual(shape(made), shape(conversation(...TURN)));
});

test("frames come out whole however the stream is cut", () => {
    const text = ": hello\r\n\r\nid: 1\r\nevent: token\r\ndata: {\"a\":1}\r\n\r\nid:2\ndata: x\ndata: y\n\n\n\ndata\n\nid: 3\rdata: z\r\r";
    const whole = new FrameParser().push(text + "\n");
    assert.deepEqual(whole.map((frame) => [frame.id, frame.event, frame.data]), [["1", "token", '{"a":1}'], ["2", "message", "x\ny"], ["", "message", ""], ["3", "message", "z"]]);
    for (let size = 1; size < 9; size += 1) {
        const parser = new FrameParser();
        const cut = (text + "\n").match(new RegExp(`[\\s\\S]{1,${size}}`, "g")) ?? [];
        assert.deepEqual(cut.flatMap((piece) => parser.push(piece)), whole, `pieces of ${size}`);
    }
});
