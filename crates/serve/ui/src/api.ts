// Requests to this server: the key, errors with their way out, and the stream of a session's events.

import { FrameParser } from "./sse";
import type { FileEntry, Protection, Restored, Session, WireEvent } from "./wire";

const KEY = "codeact.key";
/** Without a byte for this long (the server sends comments in between) a stream counts as dead. */
const SILENCE_MS_MAX = 60_000;
const RETRY_MS_FIRST = 400;
const RETRY_MS_MAX = 8_000;

/** An answer that is an error, or none at all (status 0). */
export class Failure extends Error {
    constructor(
        readonly status: number,
        message: string,
        /** What can be done about it. */
        readonly hint: string,
    ) {
        super(message);
    }
}

export interface Named {
    name: string;
    signature?: string;
    doc?: string;
}

/** Asks for a key; `false`: the user gave none. Set by the page. */
let askForKey: () => Promise<boolean> = () => Promise.resolve(false);

export function onUnauthorized(ask: () => Promise<boolean>): void {
    askForKey = ask;
}

/** Only what can stand in a header is a key. */
export function setKey(key: string): void {
    if (/^[!-~]+$/.test(key)) sessionStorage.setItem(KEY, key);
}

/** Takes the key out of the address bar, where it would be seen, copied and kept in the history. */
export function takeKeyFromAddress(): void {
    const fields = new URLSearchParams(location.hash.slice(1));
    const key = fields.get("key");
    if (key === null) return;
    setKey(key);
    fields.delete("key");
    const hash = fields.toString();
    history.replaceState(null, "", location.pathname + location.search + (hash && `#${hash}`));
}

/**
 * A path whose fields cannot leave their place: ids and names of files are what somebody else wrote.
 *
 * @throws Failure for `.` and `..`, which a browser resolves even when they are escaped.
 */
export function path(parts: TemplateStringsArray, ...fields: string[]): string {
    return parts.reduce((before, part, index) => before + encode(fields[index - 1] ?? "") + part);
}

/** The path of a file of a session: every folder a field of its own. */
export function filePath(session: string, file: string): string {
    return path`v1/agent/sessions/${session}/files/` + file.split("/").map(encode).join("/");
}

function encode(field: string): string {
    if (field === "." || field === ".." || field === "") {
        throw new Failure(0, `\`${field}\` cannot be asked for`, "Rename it from Python and try again.");
    }
    return encodeURIComponent(field);
}

function headers(more: Record<string, string>): Headers {
    const all = new Headers(more);
    const key = sessionStorage.getItem(KEY);
    if (key !== null) all.set("Authorization", `Bearer ${key}`);
    return all;
}

/** One request. A 401 asks for a key and tries again. */
export async function request(
    method: string,
    address: string,
    { body, type, signal, more }: { body?: BodyInit; type?: string; signal?: AbortSignal; more?: Record<string, string> } = {},
): Promise<Response> {
    for (;;) {
        const all = headers({ ...more, ...(type ? { "Content-Type": type } : {}) });
        let response: Response;
        try {
            response = await fetch(address, { method, headers: all, body, signal, cache: "no-store", credentials: "omit" });
        } catch (error) {
            if (signal?.aborted) throw error;
            throw new Failure(0, "The server does not answer.", "Look whether codeact-serve is still running.");
        }
        if (response.ok) return response;
        if (response.status === 401 && (await askForKey())) continue;
        throw await failure(response);
    }
}

async function failure(response: Response): Promise<Failure> {
    const text = await response.text().catch(() => "");
    let message = `The server answered ${response.status}.`;
    try {
        const said: unknown = JSON.parse(text)?.error?.message;
        if (typeof said === "string") message = said;
    } catch {
        // Not the server's own error: a proxy's, for example.
    }
    const [first, ...rest] = message.split(/\n\s*hint:\s*/);
    return new Failure(response.status, first ?? message, rest.join(" "));
}

async function ask<T>(method: string, address: string, body?: unknown): Promise<T> {
    const sent = body === undefined ? {} : { body: JSON.stringify(body), type: "application/json" };
    const response = await request(method, address, sent);
    return (response.status === 204 ? undefined : await response.json()) as T;
}

const list = async <T>(address: string): Promise<T[]> => {
    const answer = await ask<{ data?: T[] } | T[]>("GET", address);
    return Array.isArray(answer) ? answer : (answer.data ?? []);
};

/** Models that a session can have; what is served as an agent already is none. */
export const models = async (): Promise<string[]> => (await list<{ id: string }>("v1/models")).map((model) => model.id).filter((id) => !/^codeact-agent(?::|$)/.test(id));
export const tools = (): Promise<Named[]> => list("v1/agent/tools");
export const skills = (): Promise<Named[]> => list("v1/agent/skills");
export const sandbox = (): Promise<Protection> => ask("GET", "v1/sandbox");
export const sessions = (): Promise<Session[]> => list("v1/agent/sessions");
export const createSession = (settings: object): Promise<Session> => ask("POST", "v1/agent/sessions", settings);
export const session = (id: string): Promise<Session> => ask("GET", path`v1/agent/sessions/${id}`);
export const deleteSession = (id: string): Promise<void> => ask("DELETE", path`v1/agent/sessions/${id}`);
export const updateSession = (id: string, change: object): Promise<Session> =>
    ask("PATCH", path`v1/agent/sessions/${id}`, change);
export const say = (id: string, content: string): Promise<{ turn: number; event: number }> =>
    ask("POST", path`v1/agent/sessions/${id}/messages`, { content });
export const interrupt = (id: string): Promise<unknown> => ask("POST", path`v1/agent/sessions/${id}/interrupt`, {});
export const undo = (id: string, turns: number): Promise<{ session: Session; restored?: Restored }> =>
    ask("POST", path`v1/agent/sessions/${id}/undo`, { turns });
export const branch = (id: string, turn: number): Promise<{ session: Session; restored?: Restored }> =>
    ask("POST", path`v1/agent/sessions/${id}/branch`, { turn });
export const decide = (id: string, approval: string, decision: object): Promise<unknown> =>
    ask("POST", path`v1/agent/sessions/${id}/approvals/${approval}`, decision);
export const files = (id: string, folder: string): Promise<{ path: string; entries: FileEntry[]; is_cut: boolean }> =>
    ask("GET", path`v1/agent/sessions/${id}/files` + (folder && `?path=${encodeURIComponent(folder)}`));
/** A backslash in the name of a file of the user's is one, and begins no escape as in the names that the server gives. */
export const upload = (id: string, folder: string, name: string, body: Blob): Promise<Response> =>
    request("PUT", filePath(id, [folder, name.replaceAll("\\", "\\\\")].filter((part) => part !== "").join("/")), { body, type: "application/octet-stream" });
export const removeFile = (id: string, file: string): Promise<Response> => request("DELETE", filePath(id, file));

/** Saves what the address gives. The key travels in a header, which a plain link cannot send. */
export async function download(address: string, name: string): Promise<void> {
    const response = await request("GET", address);
    // Never a type that the browser would show as a page of this origin.
    save(new Blob([await response.arrayBuffer()], { type: "application/octet-stream" }), name);
}

export function save(blob: Blob, name: string): void {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** How a stream is doing, for the user. */
export type Link = "open" | "lost" | "gone";

/**
 * Follows the events of a session until `signal` says stop: when the connection breaks it goes on behind the last event
 * that came.
 */
export async function follow(
    id: string,
    after: number,
    signal: AbortSignal,
    onEvent: (event: WireEvent) => void,
    onLink: (link: Link, failure?: Failure) => void,
): Promise<void> {
    let last = after;
    let wait = RETRY_MS_FIRST;
    while (!signal.aborted) {
        try {
            await readEvents(id, last, signal, (event) => {
                last = Math.max(last, event.id);
                wait = RETRY_MS_FIRST;
                onEvent(event);
            }, () => onLink("open"));
        } catch (error) {
            if (signal.aborted) return;
            if (error instanceof Failure && [401, 403, 404].includes(error.status)) return onLink("gone", error);
        }
        if (signal.aborted) return;
        onLink("lost");
        await pause(wait, signal);
        wait = Math.min(wait * 2, RETRY_MS_MAX);
    }
}

async function readEvents(
    id: string,
    last: number,
    signal: AbortSignal,
    onEvent: (event: WireEvent) => void,
    onOpen: () => void,
): Promise<void> {
    const silent = new AbortController();
    const stop = (): void => silent.abort();
    signal.addEventListener("abort", stop);
    let timer = setTimeout(stop, SILENCE_MS_MAX);
    try {
        const more = { Accept: "text/event-stream", "Last-Event-ID": String(last) };
        const response = await request("GET", path`v1/agent/sessions/${id}/events`, { signal: silent.signal, more });
        if (!response.body) return;
        onOpen();
        const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
        const parser = new FrameParser();
        for (;;) {
            const { done, value } = await reader.read();
            if (done) return;
            clearTimeout(timer);
            timer = setTimeout(stop, SILENCE_MS_MAX);
            for (const frame of parser.push(value)) {
                const event = JSON.parse(frame.data) as WireEvent;
                if (typeof event.id === "number") onEvent(event);
            }
        }
    } finally {
        clearTimeout(timer);
        signal.removeEventListener("abort", stop);
    }
}

/** Waits, or not any longer once the network or the page comes back. */
function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
        const done = (): void => {
            clearTimeout(timer);
            for (const [target, name] of ends) target.removeEventListener(name, done);
            resolve();
        };
        const ends: [EventTarget, string][] = [[window, "online"], [document, "visibilitychange"], [window, "codeact:retry"], [signal, "abort"]];
        const timer = setTimeout(done, milliseconds);
        for (const [target, name] of ends) target.addEventListener(name, done);
    });
}
