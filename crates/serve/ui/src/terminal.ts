// Output as a terminal would show it: colours kept, lines that were overwritten left out, everything that steers dropped.

export interface Run {
    text: string;
    /** Names of classes: `red`, `bold`, .. */
    classes: string[];
}

const COLOURS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
// CSI and OSC sequences, and escapes of one character.
const ESCAPES = /\x1b(?:\[([0-9;:?<=>]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])/g;
const CONTROLS = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069]/g;

export function runs(text: string): Run[] {
    const found: Run[] = [];
    let classes: string[] = [];
    let from = 0;
    const add = (piece: string): void => {
        if (piece !== "") found.push({ text: piece.replace(CONTROLS, "\ufffd"), classes });
    };
    const source = overwritten(text);
    for (const match of source.matchAll(ESCAPES)) {
        add(source.slice(from, match.index));
        from = match.index + match[0].length;
        if (match[2] === "m") classes = styled(classes, match[1] ?? "");
    }
    add(source.slice(from));
    return found;
}

/** A progress bar writes its line again and again behind `\r`: what counts is the last time. */
function overwritten(text: string): string {
    if (!text.includes("\r")) return text;
    return text.split("\n").map(lastWritten).join("\n");
}

function lastWritten(line: string): string {
    let end = line.length;
    while (line[end - 1] === "\r") end -= 1;
    return line.slice(line.lastIndexOf("\r", end - 1) + 1, end);
}

function styled(before: string[], codes: string): string[] {
    let classes = before;
    for (const code of codes.split(/[;:]/).map(Number)) {
        const colour = COLOURS[code % 10];
        if (code === 0) classes = [];
        else if (code === 1) classes = [...classes, "bold"];
        else if (code === 2) classes = [...classes, "dim"];
        else if (code === 39) classes = classes.filter((name) => !COLOURS.includes(name));
        else if (((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) && colour) {
            classes = [...classes.filter((name) => !COLOURS.includes(name)), colour];
        }
    }
    return classes;
}

/** A name or title of somebody else in one line, with what would hide or turn around its letters made visible. */
export function visible(name: string): string {
    return name.replace(/[\0-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g, (character) => {
        return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
    });
}
