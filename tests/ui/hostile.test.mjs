// What a model, its code and its files say is shown and never believed; and the key stays where it belongs.

import assert from "node:assert/strict";
import { createServer } from "node:net";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { KEY, ask, assertClean, last, openPage, say, startBrowser, startServer, startWire, texts, turnEnds } from "./harness.mjs";

let server, browser, evil;
let visits = 0;
before(async () => {
    evil = createServer((socket) => ((visits += 1), socket.destroy()));
    await new Promise((resolve) => evil.listen(0, "127.0.0.1", resolve));
    [server, browser] = await Promise.all([startServer(), startBrowser(evil.address().port)]);
});
after(async () => {
    evil.close();
    await browser?.close();
    await server?.stop();
});

const EVIL = '<img src=x onerror="top.hacked=1;alert(1)">';

test("nothing of a hostile model runs, loads or leads away", async () => {
    const wire = await startWire(server);
    const page = await openPage(browser, wire);
    await ask(page, `Be evil. ${EVIL}`, 1);
    await page.click("header >> text=Files");
    await page.waitForSelector(".files li");
    for (const frame of await page.locator("iframe").all()) await frame.scrollIntoViewIfNeeded();
    await page.waitForFunction(() => document.querySelectorAll("iframe").length === 2);
    await page.waitForTimeout(1_000); // a refresh of no seconds, or an image, would have come by then

    // Everything is there to be read.
    assert.match(await page.innerText(".bubble"), /<img src=x onerror/);
    assert.match(await last(page, ".thought").innerText(), /<img src=x onerror[\s\S]*<script>/);
    assert.match(await last(page, ".printed").innerText(), /<script>top\.hacked=2[\s\S]*red .*gpj\.exe/);
    assert.match(await last(page, ".text.bad").innerText(), /ValueError: <img/);
    assert.match(await last(page, ".answer").innerText(), /\[x\]\(javascript:top\.hacked=10\)/);
    assert.equal(await page.locator("main img[onerror], main script, main svg[onload]").count(), 0);
    assert.deepEqual(await page.locator("main a").evaluateAll((links) => links.map((link) => link.protocol)), ["http:"], "an image of elsewhere is a link");
    assert.deepEqual((await texts(page, ".file .name")).sort(), ["<img src=x onerror=top.hacked=9>.txt", "\\xe2\\x80\\xaegpj.exe"]);

    // The frames may nothing, and have no style but ours.
    for (const frame of await page.locator("iframe").all()) assert.equal(await frame.getAttribute("sandbox"), "");
    const inside = page.frameLocator("iframe >> nth=0");
    assert.equal((await inside.locator("#go").boundingBox()).x - (await page.locator("iframe >> nth=0").boundingBox()).x, 10, "the margin is that of our style, and not the 8 of none");
    await inside.locator("#away").click({ force: true });
    await inside.locator("#go").click({ force: true });
    await page.waitForTimeout(300);
    assert.ok(page.url().startsWith(`${wire.url}/#session=`), page.url());
    assert.equal(visits, 0, "nobody came to evil.test");
    const loaded = ["image", "style", "script", "iframe", "object", "video", "document"].map((use) => [use, wire.asked(use)]);
    assert.deepEqual(loaded.filter(([, paths]) => paths.length > 0), [["style", ["/ui/style.css"]], ["script", ["/ui/app.js"]], ["document", ["/"]]]);
    await page.click('.file .name:has-text("onerror")');
    await page.waitForSelector("pre.preview");
    const [download] = await Promise.all([page.waitForEvent("download"), page.click('[aria-label$="gpj.exe"][aria-label^="Download"]')]);
    assert.equal(await readFile(await download.path(), "utf8"), "x");
    await assertClean(page);
    assert.equal(visits, 0, "nor did anybody come later");
    await page.close();
    wire.stop();
});

test("titles are text in the page, in the list and in the tab", async () => {
    const page = await openPage(browser, server);
    await ask(page, "Hello!", 1);
    await page.click(".title");
    await page.fill("#prompt", `${EVIL}\u202e`);
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.title.includes("onerror"));
    assert.equal(await page.innerText(".current .row-title"), `${EVIL}\\u202e`);
    await page.click('[aria-label="Branches"]');
    await page.waitForSelector(".branch-title");
    assert.equal(await page.innerText(".branch-title"), `${EVIL}\\u202e`);
    await page.click(".current [aria-haspopup=menu]");
    await page.click("[role=menuitem]:has-text('Delete')");
    assert.match(await page.innerText("dialog"), /<img src=x/);
    await assertClean(page);
});

test("the key leaves the address bar and is kept for the tab", async () => {
    const page = await openPage(browser, server);
    assert.equal(page.url(), `${server.url}/`);
    assert.equal(await page.evaluate(() => sessionStorage.getItem("codeact.key")), KEY);
    assert.equal(await page.evaluate(() => JSON.stringify(localStorage) + document.cookie), "{}");
    await page.reload();
    await page.waitForFunction(() => document.querySelector(".chip.good, .chip.warn, .chip.bad"));
    await assertClean(page);
});

test("without a key it is asked for, and a wrong one is asked for again", async () => {
    const page = await openPage(browser, server, { hash: "" });
    await page.fill("#key", "a-wrong-key-of-the-tests");
    await page.click("text=Use this key");
    await page.waitForFunction(() => document.querySelector("#key")?.value === "");
    await page.fill("#key", KEY);
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelector(".chip.good, .chip.warn, .chip.bad"));
    await ask(page, "Hello!", 1);
    await assertClean(page);
});

test("paths cannot leave the files of a session", async () => {
    const page = await openPage(browser, server);
    await page.setInputFiles(".composer input[type=file]", { name: "a", mimeType: "text/plain", buffer: Buffer.from("x") });
    await page.waitForSelector(".files li");
    // A list that lies: its folder leads to the session itself.
    const deleted = [];
    page.on("request", (request) => request.method() === "DELETE" && deleted.push(request.url()));
    await page.route("**/files?*", (route) => route.continue());
    await page.route("**/files", (route) => route.fulfill({ json: { path: "", is_cut: false, entries: [{ name: "..", kind: "file", bytes: 1, modified: 1 }, { name: "a/../..", kind: "file", bytes: 1, modified: 1 }] } }));
    await page.click('[aria-label="Look again"]');
    await page.waitForSelector('[aria-label="Delete .."]');
    for (const name of ["..", "a/../.."]) {
        await page.click(`[aria-label="Delete ${name}"]`);
        await page.click("dialog .danger");
        await page.waitForSelector("dialog .failure");
        await page.click("dialog >> text=Cancel");
    }
    assert.deepEqual(deleted, []);
    await assertClean(page);
});

test("a session that is gone says so, with a way on", async () => {
    const page = await openPage(browser, server, { hash: `#key=${encodeURIComponent(KEY)}&session=..%2f..%2fmodels` });
    await page.waitForSelector(".failure");
    await page.click(".failure >> text=New session");
    await page.waitForSelector(".welcome");
    await say(page, "Hello!");
    await turnEnds(page, 1);
    await assertClean(page);
});
