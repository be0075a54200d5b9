// Back and on: undo, branches, edited messages; and streams that break, reload and go on without doubling anything.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { KEY, ask, assertClean, last, openPage, say, startBrowser, startServer, startWire, texts, turnEnds } from "./harness.mjs";

let server, browser;
before(async () => {
    [server, browser] = await Promise.all([startServer(), startBrowser()]);
});
after(async () => {
    await browser?.close();
    await server?.stop();
});

const STORY = Array.from({ length: 300 }, (_, index) => `word${index + 1}`).join(" ");

test("undo takes back messages and variables", async () => {
    const page = await openPage(browser, server);
    await ask(page, "Remember one.", 1);
    await ask(page, "Remember two.", 2);
    await page.keyboard.press("Escape");
    await page.keyboard.press("u");
    await page.click("dialog >> text=Undo >> nth=-1");
    await page.waitForFunction(() => document.querySelectorAll(".turn").length === 1);
    await page.waitForSelector(".toast:has-text('taken back')");
    await ask(page, "What did you keep?", 2);
    assert.match(await last(page, ".printed").innerText(), /it is one/);
    await page.reload();
    await turnEnds(page, 2);
    assert.deepEqual(await texts(page, ".bubble"), ["Remember one.", "What did you keep?"]);
    await assertClean(page);
});

test("a branch goes on from a turn, and the tree shows both", async () => {
    const page = await openPage(browser, server);
    await ask(page, "Remember one.", 1);
    await ask(page, "Remember two.", 2);
    await page.click(".turn >> nth=0 >> text=Branch here");
    await page.waitForSelector(".toast:has-text('in a branch')");
    await turnEnds(page, 1);
    await ask(page, "What did you keep?", 2);
    assert.match(await last(page, ".printed").innerText(), /it is one/);
    await page.click('[aria-label="Branches"]');
    await page.waitForFunction(() => document.querySelectorAll(".leaf").length === 3);
    assert.deepEqual(await texts(page, ".leaf bdi"), ["Remember one.", "What did you keep?", "Remember two."]);
    assert.equal(await page.locator(".tree .tree").count(), 1);
    // Back to the turn that the branch does not have.
    await page.click(".leaf:has-text('Remember two.')");
    await turnEnds(page, 2);
    assert.deepEqual(await texts(page, ".bubble"), ["Remember one.", "Remember two."]);
    await assertClean(page);
});

test("an edited message is sent in a branch, and the old conversation stays", async () => {
    const page = await openPage(browser, server);
    await ask(page, "Remember one.", 1);
    await ask(page, "Remember two.", 2);
    const old = page.url();
    await page.click(".turn >> nth=1 >> [aria-label='Edit your message and send it again']");
    await page.fill(".editing textarea", "What did you keep?");
    await page.click("text=Send in a branch");
    await page.waitForFunction((old) => location.href !== old, old);
    await turnEnds(page, 2);
    assert.deepEqual(await texts(page, ".bubble"), ["Remember one.", "What did you keep?"]);
    assert.match(await last(page, ".printed").innerText(), /it is one/);
    await page.goBack();
    await turnEnds(page, 2);
    assert.deepEqual(await texts(page, ".bubble"), ["Remember one.", "Remember two."]);
    await assertClean(page);
});

test("an edited message takes the place of the old one", async () => {
    const page = await openPage(browser, server);
    await ask(page, "Remember one.", 1);
    await ask(page, "Remember two.", 2);
    await page.press("#message", "ArrowUp");
    assert.equal(await page.inputValue(".editing textarea"), "Remember two.");
    await page.keyboard.press("Escape");
    await page.click(".turn >> nth=0 >> [aria-label='Edit your message and send it again']");
    await page.fill(".editing textarea", "What did you keep?");
    await page.click("text=Undo to here and send");
    await page.waitForFunction(() => document.querySelector(".bubble")?.textContent === "What did you keep?");
    await turnEnds(page, 1);
    assert.deepEqual(await texts(page, ".bubble"), ["What did you keep?"]);
    assert.match(await last(page, ".printed").innerText(), /it is None/);
    await assertClean(page);
});

const inStory = (page) => page.waitForFunction(() => document.querySelector(".turn:last-child .answer .prose")?.textContent.includes("word30 "));

test("a reload in mid-stream goes on and doubles nothing", async () => {
    const page = await openPage(browser, server);
    await say(page, "Tell a story of 300 words.");
    await inStory(page);
    await page.reload();
    await inStory(page);
    assert.equal(await page.locator(".turn-foot").count(), 0, "it still runs");
    await turnEnds(page, 1);
    assert.equal(await last(page, ".answer .prose").innerText(), STORY);
    assert.equal(await page.locator(".answer").count(), 1);
    await assertClean(page);
});

test("a connection that breaks in mid-stream goes on and doubles nothing", async () => {
    const wire = await startWire(server);
    const page = await openPage(browser, wire);
    const asked = [];
    page.on("request", (request) => request.url().endsWith("/events") && asked.push(request.headers()["last-event-id"]));
    await say(page, "Tell a story of 300 words.");
    await inStory(page);
    wire.cut();
    await page.waitForSelector(".link:has-text('connection is lost')");
    wire.mend();
    await turnEnds(page, 1);
    assert.equal(await last(page, ".answer .prose").innerText(), STORY);
    assert.ok(Number(asked.at(-1)) > 30, `it went on behind an event: ${asked}`);
    assert.equal(await page.locator(".link > *").count(), 0);
    await assertClean(page);
    await page.close();
    wire.stop();
});

test("where the server lost events in a crash the page begins again", async () => {
    const wire = await startWire(server);
    const page = await openPage(browser, wire);
    await ask(page, "Remember one.", 1);
    const asked = [];
    page.on("request", (request) => request.url().endsWith("/events") && asked.push(request.headers()["last-event-id"]));
    await page.route(/\/sessions\/[^/]+$/, async (route) => {
        const response = await route.fetch();
        await route.fulfill({ response, json: { ...(await response.json()), last_event: asked.length > 1 ? 99 : 1 } });
    });
    wire.cut();
    await page.waitForSelector(".link:has-text('connection is lost')");
    wire.mend();
    await page.waitForFunction(() => document.querySelectorAll(".turn").length === 1 && !document.querySelector(".link > *"));
    while (!asked.includes("0")) await page.waitForEvent("request");
    await turnEnds(page, 1);
    assert.deepEqual(await texts(page, ".bubble"), ["Remember one."]);
    await page.close();
    wire.stop();
});

test("after a crash of the server the page comes back, and the session with it", async () => {
    const page = await openPage(browser, server);
    await ask(page, "Remember one.", 1);
    await say(page, "Wait 60.");
    await page.waitForFunction(() => document.querySelector(".turn:last-child .printed")?.textContent.includes("0"));
    await server.crash();
    await page.waitForSelector(".link:has-text('connection is lost')");
    await server.restart();
    await page.click("text=Try now", { timeout: 1_000 }).catch(() => null);
    await turnEnds(page, 2);
    assert.ok((await last(page, ".ending").innerText()).length > 0);
    await ask(page, "What did you keep?", 3);
    assert.match(await last(page, ".printed").innerText(), /it is one/);
    await assertClean(page);
});

test("two tabs of one session stay in step", async () => {
    const page = await openPage(browser, server);
    await ask(page, "Remember one.", 1);
    const hash = new URL(page.url()).hash.slice(1);
    const other = await openPage(browser, server, { context: page.context(), hash: `#key=${encodeURIComponent(KEY)}&${hash}` });
    await turnEnds(other, 1);
    await say(other, "Tell a story of 300 words.");
    await Promise.all([inStory(page), inStory(other)]);
    // A message of the first tab has to wait, and is not lost.
    await page.fill("#message", "Later.");
    await page.press("#message", "Enter");
    assert.equal(await page.inputValue("#message"), "Later.");
    await Promise.all([turnEnds(page, 2), turnEnds(other, 2)]);
    assert.deepEqual(await texts(page, ".answer .prose"), await texts(other, ".answer .prose"));
    await page.click(".title");
    await page.fill("#prompt", "Shared");
    await page.keyboard.press("Enter");
    await other.waitForFunction(() => document.querySelector(".title")?.textContent === "Shared");
    await page.check("#ask-first", { force: true });
    await other.waitForFunction(() => document.querySelector("#ask-first").checked);
    await assertClean(page);
    await assertClean(other);
});
