// What an empty session shows: what this is, and how to begin.

import { h } from "./dom";

const EXAMPLES = ["What is the 50th prime number?", "Draw a sine and a cosine in one figure.", "Make a table of the planets with their radii, as a CSV file."];

export function welcome(use: (text: string) => void): HTMLElement {
    const steps: [string, string, string][] = [
        ["thought", "Thought", "what the agent wants to do"],
        ["code", "Code", "Python it writes and runs on this machine, in a sandbox"],
        ["output", "Output", "what the code printed and drew, which the agent reads"],
        ["answer", "Answer", "what it found, when it has no more to do"],
    ];
    return h(
        "div",
        { class: "welcome" },
        h("h2", {}, "What should the agent do?"),
        h("p", {}, "The agent works by writing Python. You see every step:"),
        h("ol", { class: "legend" }, ...steps.map(([kind, name, text]) => h("li", { class: kind }, h("strong", {}, name), h("span", {}, text)))),
        h("p", { class: "muted" }, "Begin with a message, or with one of these:"),
        h("div", { class: "examples" }, ...EXAMPLES.map((text) => h("button", { type: "button", class: "example", onclick: () => use(text) }, text))),
    );
}
