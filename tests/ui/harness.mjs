// A server with a scripted model, a browser, and what the tests do with a page.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
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

/** The server, with the scripted model or with `model`; `settings`: what its settings file says. */
export async function startServer({ model, settings = "" } = {}) {
    const folder = mkdtempSync(join(tmpdir(), "codeact-ui-"));
    const scenarios = spawnSync("python3", [join(here, "scenarios.py")]);
    assert.equal(scenarios.status, 0, String(scenarios.stderr));
    writeFileSync(join(folder, "scenarios.json"), scenarios.stdout);
    writeFileSync(join(folder, "keys.txt"), `${KEY}\n`);
    writeFileSync(join(folder, "serve.toml"), settings);
    const endpoint = await listening("python3", [join(repository, "tests/scripted_endpoint.py"), "--scenarios", join(folder, "scenarios.json")]);
    const port = await freePort();
    const source = model ? ["--model", model] : ["--endpoint", `${endpoint.address}/v1`];
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
            for (const { child } of [server, endpoint]) {
                child.removeAllListeners("exit");
                child.kill("SIGKILL");
                await ended(child);
            }
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
