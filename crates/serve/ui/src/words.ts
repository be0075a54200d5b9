// What the states of the server are called on the page.

import type { Restored } from "./wire";

export interface Ending {
    text: string;
    isBad: boolean;
    /** Whether "Continue" is a way out. */
    canContinue: boolean;
}

const ENDINGS: Record<string, Ending> = {
    step_limit: { text: "No answer: all steps of this turn are used.", isBad: true, canContinue: true },
    execution_limit: { text: "No answer: code ran as often as it may in one turn.", isBad: true, canContinue: true },
    token_limit: { text: "Stopped: the turn used all its tokens.", isBad: true, canContinue: true },
    time_limit: { text: "Stopped: the turn used all its time.", isBad: true, canContinue: true },
    repeated: { text: "Stopped: the same code came again and again. Other words may help: edit your message.", isBad: true, canContinue: false },
    interrupted: { text: "This turn was stopped.", isBad: false, canContinue: true },
    context: { text: "Stopped: the conversation no longer fits into what the model can read. Branch from an earlier turn or start a new session.", isBad: true, canContinue: false },
    error: { text: "This turn failed.", isBad: true, canContinue: false },
};

/** `null`: the turn ended with an answer, and nothing has to be said. */
export function ending(end: string): Ending | null {
    if (end === "" || end === "solution" || end === "answer") return null;
    return ENDINGS[end] ?? { text: `The turn ended: ${end}.`, isBad: true, canContinue: true };
}

const CELL_ENDS: Record<string, string> = {
    finished: "",
    raised: "Error",
    timed_out: "Out of time",
    interrupted: "Stopped",
    exited: "Python ended",
};

export const cellEnd = (end: string): string => CELL_ENDS[end] ?? end;

export function cellState(state: string): string {
    if (state === "rolled_back") return "Python had to be stopped. Variables and files are as they were before this code.";
    return state === "lost" ? "Python had to be started again: its variables are lost." : "";
}

/** What did not come back after an undo; empty: all did. */
export function restoredDetail(restored: Restored | undefined): string {
    const reason = restored?.reason ?? "";
    if (restored?.how === "without_files") return `Variables are back, files are not: ${reason}`;
    if (restored?.how === "replayed") {
        const count = restored.differences?.length ?? 0;
        const came = count === 0 ? "with the same results" : `with ${count} different result${count === 1 ? "" : "s"}`;
        return `The code before it was run again, ${came} (${reason}).`;
    }
    return "";
}

export const number = (count: number): string => count.toLocaleString("en-US");

export function bytes(count: number): string {
    const units = ["B", "KiB", "MiB", "GiB"];
    let value = count;
    let unit = 0;
    for (; value >= 1024 && unit < units.length - 1; unit += 1) value /= 1024;
    return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

export function seconds(count: number): string {
    if (count >= 60) return `${Math.floor(count / 60)} min ${Math.round(count % 60)} s`;
    return count >= 10 ? `${Math.round(count)} s` : `${count.toFixed(count < 0.1 ? 3 : 1)} s`;
}

/** How long ago, in the fewest letters that say it. */
export function ago(unixSeconds: number, now = Date.now() / 1000): string {
    const past = Math.max(0, now - unixSeconds);
    if (past < 60) return "now";
    if (past < 3600) return `${Math.floor(past / 60)} min`;
    if (past < 86_400) return `${Math.floor(past / 3600)} h`;
    if (past < 30 * 86_400) return `${Math.floor(past / 86_400)} d`;
    return new Date(unixSeconds * 1000).toISOString().slice(0, 10);
}

const TITLE_CHARS = 60;

/** What a session is called after its first message. */
export function titleFrom(content: string): string {
    const characters = [...content.trim().replace(/\s+/g, " ")];
    return characters.length > TITLE_CHARS ? `${characters.slice(0, TITLE_CHARS - 1).join("")}…` : characters.join("");
}
