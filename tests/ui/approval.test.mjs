// Code that waits for somebody: let run, denied, changed, and let run from then on.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { KEY, ask, assertClean, last, openPage, repository, say, startBrowser, startServer, turnEnds } from "./harness.mjs";

const script = join(repository, "crates/serve/tests/terminal/mcp_server.py");
const settings = `[mcp.small]\ncommand = "python3"\nargs = [${JSON.stringify(script)}]\napproval = "ask"\n`;

let server, browser;
before(async () => {
    [server, browser] = await Promise.all([startServer({ settings }), startBrowser()]);
});
after(async () => {
    await browser?.close();
    await server?.stop();
});

async function asking(page, text) {
    await page.check("#ask-first", { force: true });
    await say(page, text);
    await page.waitForSelector(".ask:focus");
}

test("denied code does not run, and the model reads why", async () => {
    const page = await openPage(browser, server);
    await asking(page, "Remember nothing.");
    assert.equal(await last(page, ".output").count(), 0);
    await page.keyboard.press("d");
    await page.keyboard.type("it is a secret");
    await page.keyboard.press("Enter");
    await turnEnds(page, 1);
    assert.equal(await last(page, ".verdict").innerText(), "You did not let this code run: it is a secret");
    assert.equal(await last(page, ".output").count(), 0);
    await page.uncheck("#ask-first", { force: true });
    await ask(page, "What did you keep?", 2);
    assert.match(await last(page, ".printed").innerText(), /it is None/);
    await assertClean(page);
});

test("approved code runs", async () => {
    const page = await openPage(browser, server);
    await asking(page, "Remember blue.");
    await page.click(".ask .primary");
    await turnEnds(page, 1);
    assert.equal(await last(page, ".verdict").innerText(), "You let this code run.");
    assert.match(await last(page, ".printed").innerText(), /^blue/);
    await assertClean(page);
});

test("edited code runs instead, and is what the page shows", async () => {
    const page = await openPage(browser, server);
    await asking(page, "Remember green.");
    await page.keyboard.press("e");
    assert.equal(await page.inputValue(".ask textarea"), "kept = 'green'\nprint(kept)");
    await page.fill(".ask textarea", "kept = 'yellow'\nprint(kept)");
    await page.keyboard.press("Control+Enter");
    await turnEnds(page, 1);
    assert.match(await last(page, ".code .state").innerText(), /edited by you/);
    assert.match(await last(page, ".code pre").innerText(), /yellow/);
    assert.match(await last(page, ".printed").innerText(), /^yellow/);
    await assertClean(page);
});

test("always lets this code and all that follows run", async () => {
    const page = await openPage(browser, server);
    await asking(page, "Remember red.");
    await page.click("text=Always run");
    await turnEnds(page, 1);
    assert.equal(await page.isChecked("#ask-first"), false);
    await ask(page, "What did you keep?", 2);
    assert.match(await last(page, ".printed").innerText(), /it is red/);
    await assertClean(page);
});

test("escape stops a turn that waits for an answer", async () => {
    const page = await openPage(browser, server);
    await asking(page, "Remember black.");
    await page.keyboard.press("Escape");
    await turnEnds(page, 1);
    assert.match(await last(page, ".ending").innerText(), /^This turn was stopped/);
    await assertClean(page);
});

test("a question is still there after a reload, and one tab's answer is the other's too", async () => {
    const page = await openPage(browser, server);
    await asking(page, "Remember white.");
    const hash = new URL(page.url()).hash.slice(1);
    await page.reload();
    await page.waitForSelector(".ask:focus");
    const other = await openPage(browser, server, { context: page.context(), hash: `#key=${encodeURIComponent(KEY)}&${hash}` });
    await other.waitForSelector(".ask");
    await other.click(".ask .primary");
    await Promise.all([turnEnds(page, 1), turnEnds(other, 1)]);
    assert.equal(await last(page, ".verdict").innerText(), "You let this code run.");
    assert.equal(await page.locator(".ask").count(), 0);
    await assertClean(page);
    await assertClean(other);
});

test("a call of a tool is asked about while its code runs", async () => {
    const page = await openPage(browser, server);
    await say(page, "Add with the tool.");
    await page.waitForSelector(".ask:focus");
    assert.match(await page.innerText(".ask"), /Call add\?[\s\S]*add\(a=2, b=40\)/);
    assert.equal(await page.locator(".ask button", { hasText: "Edit" }).count(), 0);
    assert.equal(await page.locator(".ask pre").evaluate((node) => getComputedStyle(node).whiteSpace), "pre-wrap");
    assert.equal(await last(page, ".output").count(), 1);
    await assertClean(page);
    await page.click(".ask .primary");
    await turnEnds(page, 1);
    assert.equal(await last(page, ".verdict").innerText(), "You allowed this call.");
    assert.match(await last(page, ".printed").innerText(), /begun\s+42/);
    assert.equal(await last(page, ".output").count(), 1);

    await say(page, "Add with the tool.");
    await page.waitForSelector(".ask:focus");
    await page.keyboard.press("d");
    await page.keyboard.press("Enter");
    await turnEnds(page, 2);
    assert.equal(await last(page, ".verdict").innerText(), "You did not allow this call.");
    assert.match(await last(page, ".output").innerText(), /was not approved/);
    await assertClean(page);
});
