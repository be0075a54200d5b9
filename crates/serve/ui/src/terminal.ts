// Output as a terminal would show it: colours kept, lines that were overwritten left out, everything that steers dropped.

export interface Run {
    text: string;
    /** Names of classes: `red`, `bold`, .. */
    classes: string[];
}

const COLOURS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
// CSI and OSC sequences, and escapes of one character.
const ESCAPES = /\x1b(?:\[([0-9;:?<=>]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])/g;
// What commands a terminal, turns around what stands beside it, or is not seen: in texts, and in names of one line. As in
// crates/chat/src/disguise.rs, which a test of the server compares with these two lines.
const DISGUISES_TEXT = /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;
const DISGUISES_NAME = /[\0-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufffb\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]/gu;

export function runs(text: string): Run[] {
    const found: Run[] = [];
    let classes: string[] = [];
    let from = 0;
    const add = (piece: string): void => {
        if (piece !== "") found.push({ text: piece.replace(DISGUISES_TEXT, "\ufffd"), classes });
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
    return name.replace(DISGUISES_NAME, (character) => {
        const digits = (character.codePointAt(0) ?? 0).toString(16);
        return digits.length > 4 ? `\\u{${digits}}` : `\\u${digits.padStart(4, "0")}`;
    });
}
