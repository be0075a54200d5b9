// A server with a scripted model, a browser, and what the tests do with a page: one that is served, or a file.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const here = dirname(fileURLToPath(import.meta.url));
export const repository = join(here, "../..");
export const KEY = "a-key-of-the-browser-tests";
const PATIENCE_MS = 30_000;

/** The interpreter that has the libraries of tests/sandbox-requirements.txt, where somebody installed it. */
export const python = [process.env.CODEACT_SANDBOX_PYTHON, join(repository, "target/sandbox-libraries/bin/python")].find((path) => path && existsSync(path)) ?? "python3";
export const hasLibraries = spawnSync(python, ["-c", "import matplotlib"]).status === 0;

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Starts a program and waits for the line that says where it listens. */
async function listening(program, options) {
    const child = spawn(program, options, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, CODEACT_ENDPOINT_KEY: "" } });
    let said = "";
    const address = await new Promise((resolve, reject) => {
        const hear = (data) => {
            said += data;
            const found = /listening on (http:\S+)/.exec(said);
            if (found) resolve(found[1]);
        };
        child.stdout.on("data", hear);
        child.stderr.on("data", hear);
        child.on("exit", (code) => reject(new Error(`${program} ended with ${code}: ${said}`)));
    });
    return { child, address, said: () => said };
}

async function freePort() {
    const server = createServer();
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address();
    await new Promise((resolve) => server.close(resolve));
    return port;
}

const ended = (child) => new Promise((resolve) => (child.exitCode !== null || child.signalCode !== null ? resolve() : child.on("exit", resolve)));

/** The scripted model behind an address, saying what the scenarios in `file` tell it to. */
export async function startEndpoint(file) {
    const { child, address } = await listening("python3", [join(repository, "tests/scripted_endpoint.py"), "--scenarios", file]);
    return {
        url: `${address}/v1`,
        async stop() {
            child.removeAllListeners("exit");
            child.kill("SIGKILL");
            await ended(child);
        },
    };
}

/** The server, with the scripted model or with `model`; `settings`: what its settings file says. */
export async function startServer({ model, settings = "" } = {}) {
    const folder = mkdtempSync(join(tmpdir(), "codeact-ui-"));
    const scenarios = spawnSync("python3", [join(here, "scenarios.py")]);
    assert.equal(scenarios.status, 0, String(scenarios.stderr));
    writeFileSync(join(folder, "scenarios.json"), scenarios.stdout);
    writeFileSync(join(folder, "keys.txt"), `${KEY}\n`);
    writeFileSync(join(folder, "serve.toml"), settings);
    const endpoint = await startEndpoint(join(folder, "scenarios.json"));
    const port = await freePort();
    const source = model ? ["--model", model] : ["--endpoint", endpoint.url];
    const options = [...source, "--port", String(port), "--api-keys", join(folder, "keys.txt"), "--config", join(folder, "serve.toml"), "--state-dir", join(folder, "state"), "--python", python, ...(hasLibraries ? [] : ["--preimport="])];
    const start = () => listening(join(repository, "target/release/codeact-serve"), options);
    let server = await start();
    return {
        url: `http://127.0.0.1:${port}`,
        /** Ends it as a crash would. */
        async crash() {
            server.child.removeAllListeners("exit");
            server.child.kill("SIGKILL");
            await ended(server.child);
        },
        async restart() {
            server = await start();
        },
        async stop() {
            await this.crash();
            await endpoint.stop();
            rmSync(folder, { recursive: true, force: true });
        },
    };
}

/** A way to the server that can be cut, and that remembers what was asked: also by frames, which hide from the tests. */
export async function startWire(server) {
    const open = new Set();
    const asked = [];
    let isCut = false;
    const wire = createServer((near) => {
        if (isCut) return near.destroy();
        near.on("data", (data) => asked.push(...String(data).matchAll(/^[A-Z]+ (\S+) HTTP[\s\S]*?^sec-fetch-dest: (\w+)/gim)));
        const far = connect(Number(new URL(server.url).port), "127.0.0.1");
        for (const [socket, other] of [[near, far], [far, near]]) {
            open.add(socket);
            socket.on("error", () => {});
            socket.on("close", () => (open.delete(socket), other.destroy()));
            socket.pipe(other);
        }
    });
    await new Promise((resolve) => wire.listen(0, "127.0.0.1", resolve));
    return {
        url: `http://127.0.0.1:${wire.address().port}`,
        /** Paths by what the browser wanted them for. */
        asked: (use) => asked.filter(([, , wanted]) => wanted === use).map(([, path]) => path),
        cut() {
            isCut = true;
            for (const socket of open) socket.destroy();
        },
        mend() {
            isCut = false;
        },
        stop() {
            this.cut();
            wire.close();
        },
    };
}

/** A browser; `evil.test` is `evilPort` of this machine. */
export async function startBrowser(evilPort = 9) {
    return chromium.launch({
        executablePath: process.env.CODEACT_CHROMIUM ?? "/usr/bin/chromium",
        headless: true,
        args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", `--host-resolver-rules=MAP evil.test 127.0.0.1:${evilPort}`],
    });
}

/** A page of its own browser profile that has the key; remembers what must not happen. */
export async function openPage(browser, server, { hash = `#key=${encodeURIComponent(KEY)}`, context, ...options } = {}) {
    const home = context ?? (await browser.newContext({ viewport: { width: 1280, height: 860 }, reducedMotion: "reduce", ...options }));
    const page = await home.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    const problems = [];
    page.on("pageerror", (error) => problems.push(`error: ${error.message}`));
    page.on("dialog", (dialog) => (problems.push(`dialog: ${dialog.message()}`), dialog.dismiss()));
    page.on("popup", () => problems.push("a window opened"));
    page.on("request", (request) => {
        if (!/^(?:blob|data):/.test(request.url()) && !request.url().startsWith(`${server.url}/`)) problems.push(`asked ${request.url()}`);
    });
    // Chromium tells of what its parser found ahead, and in the same moment that the page's policy refused it.
    page.on("requestfailed", (request) => {
        const index = problems.indexOf(`asked ${request.url()}`);
        if (request.failure()?.errorText === "csp" && index >= 0) problems.splice(index, 1);
    });
    await page.addInitScript(() => {
        document.addEventListener("securitypolicyviolation", (event) => {
            (window.violations ??= []).push(`${event.violatedDirective} ${event.blockedURI}`);
        });
    });
    page.problems = problems;
    await page.goto(`${server.url}/${hash}`);
    await page.waitForFunction(() => document.querySelector(".chip.good, .chip.warn, .chip.bad, dialog[open]"));
    return page;
}

/** Nothing ran that was not ours, and nothing was asked of anybody else. */
export async function assertClean(page) {
    const [violations, hacked] = await page.evaluate(() => [window.violations ?? [], window.hacked ?? null]);
    assert.deepEqual({ problems: page.problems, violations, hacked }, { problems: [], violations: [], hacked: null });
}

export async function say(page, text) {
    await page.fill("#message", text);
    await page.press("#message", "Enter");
}

/** Waits until the turn that stands last has ended. */
export async function turnEnds(page, count) {
    await page.waitForFunction((count) => document.querySelectorAll(".turn").length === count && document.querySelector(".turn:last-child .turn-foot"), count);
}

export async function ask(page, text, count) {
    await say(page, text);
    await turnEnds(page, count);
}

export const last = (page, selector) => page.locator(`.turn:last-child >> ${selector}`);

export async function texts(page, selector) {
    return (await page.locator(selector).allInnerTexts()).map((text) => text.trim());
}

/** What axe finds serious or worse, with the places. */
export async function axe(page) {
    if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(axeSource);
    const { violations } = await page.evaluate(() => window.axe.run(document, { iframes: false, resultTypes: ["violations"] }));
    const serious = violations.filter((violation) => ["serious", "critical"].includes(violation.impact));
    return serious.flatMap((violation) => violation.nodes.map((node) => `${violation.id}: ${node.target.join(" ")} ${node.any[0]?.message ?? ""}`));
}

/** Whether something is wider than the window. */
export const isTooWide = (page) => page.evaluate(() => document.documentElement.scrollWidth > innerWidth || document.querySelector(".scroller").scrollWidth > document.querySelector(".scroller").clientWidth);

/** Ways to look at a page that is a file. */
export const LOOKS = [
    ["light", { viewport: { width: 1280, height: 900 }, colorScheme: "light" }],
    ["dark", { viewport: { width: 1280, height: 900 }, colorScheme: "dark" }],
    ["phone", { viewport: { width: 360, height: 740 }, colorScheme: "light", hasTouch: true, isMobile: true }],
];

/** `evil.test` for a browser: a port of this machine that counts who comes. */
export async function startTrap() {
    let visits = 0;
    const server = createServer((socket) => {
        visits += 1;
        socket.on("error", () => {});
        socket.destroy();
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    return { port: server.address().port, visits: () => visits, stop: () => server.close() };
}

/** A page that is a file, in a browser profile of its own; remembers what must not happen. */
export async function openFile(browser, path, options) {
    const page = await (await browser.newContext(options)).newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    const [problems, address] = [[], pathToFileURL(path).href];
    page.on("pageerror", (error) => problems.push(`error: ${error.message}`));
    page.on("console", (message) => problems.push(`console: ${message.text()}`));
    page.on("dialog", (dialog) => (problems.push(`dialog: ${dialog.message()}`), dialog.dismiss()));
    page.on("popup", () => problems.push("a window opened"));
    page.on("request", (request) => request.url() !== address && problems.push(`asked ${request.url()}`));
    await page.addInitScript(() => document.addEventListener("securitypolicyviolation", (event) => (window.violations ??= []).push(event.violatedDirective)));
    await page.goto(address);
    return { page, problems };
}

/** Everything that is folded, opened. */
export const unfold = (page) => page.evaluate(() => document.querySelectorAll("details").forEach((details) => (details.open = true)));

/** A page that is a file is by itself: nothing in it can run, load or lead away, it fits the window, and axe finds nothing serious. */
export async function assertAlone({ page, problems }) {
    const found = await page.evaluate(() => {
        const elements = [...document.querySelectorAll("*")];
        const kinds = ["a", "animate", "audio", "base", "button", "embed", "foreignobject", "form", "frame", "iframe", "image", "img", "input", "link", "object", "script", "set", "source", "template", "use", "video"];
        const attributes = ["action", "background", "data", "formaction", "href", "ping", "poster", "src", "srcdoc", "srcset", "style", "xlink:href"];
        const strange = elements.filter((element) => kinds.includes(element.localName.toLowerCase())).map((element) => element.outerHTML.slice(0, 200));
        const told = elements.flatMap((element) => element.getAttributeNames().filter((name) => name.startsWith("on") || attributes.includes(name)).map((name) => `${element.localName} ${name}`));
        return { strange, told, styles: document.querySelectorAll("style").length, violations: window.violations ?? [], hacked: window.hacked ?? null };
    });
    assert.deepEqual({ problems, ...found }, { problems: [], strange: [], told: [], styles: 1, violations: [], hacked: null });
    // On a phone the window grows with what does not fit into it.
    const { width } = page.viewportSize();
    const wide = () => page.evaluate(() => Math.max(document.documentElement.scrollWidth, innerWidth));
    assert.ok((await wide()) <= width, `${await wide()} wide, and ${width} are there`);
    await unfold(page);
    assert.ok((await wide()) <= width, `opened, ${await wide()} wide, and ${width} are there`);
    const narrow = await page.evaluate(() => [...document.querySelectorAll("th[scope=row]")].filter((head) => head.getBoundingClientRect().width < 96).map((head) => head.textContent));
    assert.deepEqual(narrow, [], "what heads a row cannot be read");
    assert.deepEqual(await axe(page), []);
}

/** A text as pages show it: what commands a terminal or turns the direction of text as symbols, and the end left out. */
export function shown(text, characters = text.length) {
    const all = Array.from(text.slice(0, 2 * characters + 2));
    const visible = (character) => {
        const code = character.codePointAt(0);
        if (code < 0x20) return character === "\n" || character === "\t" ? character : String.fromCodePoint(0x2400 + code);
        if (code === 0x7f) return "\u2421";
        return /[\x80-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/u.test(character) ? `<U+${code.toString(16).toUpperCase().padStart(4, "0")}>` : character;
    };
    return all.slice(0, characters).map(visible).join("") + (all.length > characters ? "…" : "");
}

/** How far two colours, as `rgb(..)`, are apart: from 1 to 21, by WCAG 2. */
export function contrast(...colors) {
    const [light, dark] = colors
        .map((color) => {
            const [red, green, blue] = color.match(/[\d.]+/g).map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
            return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
        })
        .sort((one, other) => other - one);
    return (light + 0.05) / (dark + 0.05);
}
