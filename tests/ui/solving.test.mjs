// A turn from message to answer: thought, code, output, figure, table, error, stop, files, exports.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { ask, assertClean, last, openPage, say, startBrowser, startServer, texts, turnEnds } from "./harness.mjs";

let server, browser;
before(async () => {
    [server, browser] = await Promise.all([startServer(), startBrowser()]);
});
after(async () => {
    await browser?.close();
    await server?.stop();
});

test("a task is solved with code and a figure", async () => {
    const page = await openPage(browser, server);
    await ask(page, "Draw something.", 1);
    assert.deepEqual(await texts(page, ".bubble"), ["Draw something."]);
    assert.equal(await last(page, ".thought strong").innerText(), "one");
    assert.match(await last(page, ".code pre").innerText(), /^import struct, zlib\n/);
    assert.ok((await last(page, ".code .py-keyword").count()) > 3, "code has colours");
    assert.match(await last(page, ".output .state").innerText(), /^ran in /);
    assert.equal(await last(page, ".output figure img").evaluate((image) => image.decode().then(() => image.naturalWidth)), 240);
    assert.equal(await last(page, ".answer .prose").innerText(), "There it is.");
    assert.match(await last(page, ".usage >> nth=0").innerText(), /^[\d,]+ \+ [\d,]+ tokens · [\d.]+ s$/);
    assert.match(await last(page, ".sums").innerText(), /^2 steps · /);
    // The session is called after the message, here and in the list.
    assert.deepEqual([await page.innerText(".title"), await page.innerText(".sessions .current .row-title")], ["Draw something.", "Draw something."]);
    await assertClean(page);
});

test("tables of output and of answers are tables of the page", async () => {
    const page = await openPage(browser, server);
    await ask(page, "Make squares.", 1);
    assert.deepEqual(await last(page, ".output tbody tr:last-child > *").allInnerTexts(), ["2", "4", "a < b"]);
    assert.deepEqual(await last(page, ".answer td").allInnerTexts(), ["2", "4"]);
    assert.equal(await page.locator("iframe").count(), 0);
    await assertClean(page);
});

test("an error stands in the place where it happened, and the repair below it", async () => {
    const page = await openPage(browser, server);
    await ask(page, "Sum the column.", 1);
    const outputs = last(page, ".output");
    assert.match(await outputs.nth(0).locator(".text.bad").innerText(), /^Traceback[\s\S]*TypeError/);
    assert.match(await outputs.nth(0).locator(".state").innerText(), /^Error after/);
    assert.equal((await outputs.nth(0).locator(".printed").innerText()).trim(), "reading");
    assert.equal((await outputs.nth(1).locator(".printed").innerText()).trim(), "42");
    assert.equal(await last(page, ".answer .prose").innerText(), "The sum is 42.");
    assert.equal(await last(page, ".step").count(), 3);
    // "Hide work" leaves the answer.
    await last(page, "text=Hide work").click();
    assert.deepEqual([await last(page, ".code").first().isVisible(), await last(page, ".answer").isVisible()], [false, true]);
    await assertClean(page);
});

test("long output is folded, and is all there", async () => {
    const page = await openPage(browser, server);
    await ask(page, "Print 200 lines.", 1);
    const shown = last(page, ".printed pre");
    const folded = (await shown.boundingBox()).height;
    await last(page, "text=Show all 200 lines").click();
    assert.ok((await shown.boundingBox()).height > 4 * folded);
    assert.match(await shown.innerText(), /line 0\n[\s\S]*line 199/);
    await last(page, "text=Show less").click();
    assert.equal((await shown.boundingBox()).height, folded);
    await assertClean(page);
});

test("escape stops code that runs, and the session goes on", async () => {
    const page = await openPage(browser, server);
    await say(page, "Wait 60.");
    await page.waitForFunction(() => document.querySelector(".printed")?.textContent.includes("1"));
    await page.keyboard.press("Escape");
    await turnEnds(page, 1);
    assert.match(await last(page, ".ending").innerText(), /^This turn was stopped\./);
    assert.match(await last(page, ".output .state").innerText(), /^Stopped after/);
    await ask(page, "Hello!", 2);
    assert.equal(await last(page, ".answer .prose").innerText(), "Hello. What shall I do?");
    assert.equal(await last(page, ".thought").count(), 0, "the answer is not shown as a thought too");
    await assertClean(page);
});

test("a model that cannot be reached is an error in the turn, with a way out", async () => {
    const page = await openPage(browser, server);
    await ask(page, "Please fail.", 1);
    assert.match(await last(page, ".remark.bad").innerText(), /400/);
    assert.equal(await last(page, "text=Try again").isVisible(), true);
    await ask(page, "Hello!", 2);
    await assertClean(page);
});

test("files are uploaded, shown, downloaded and deleted", async () => {
    const page = await openPage(browser, server);
    const content = "a,b\n1,2\n";
    await page.setInputFiles(".composer input[type=file]", { name: "räume & co.csv", mimeType: "text/csv", buffer: Buffer.from(content) });
    await page.waitForSelector(".files li");
    assert.deepEqual(await texts(page, ".file .name"), ["räume & co.csv"]);
    await page.click(".file .name");
    assert.equal(await page.innerText("pre.preview"), content);
    const [download] = await Promise.all([page.waitForEvent("download"), page.click('[aria-label="Download räume & co.csv"]')]);
    assert.equal(await readFile(await download.path(), "utf8"), content);
    assert.equal(download.suggestedFilename(), "räume & co.csv");
    // A backslash is no escape in a name of the user's.
    await page.setInputFiles(".composer input[type=file]", { name: "a\\x41", mimeType: "text/plain", buffer: Buffer.from("x") });
    await page.waitForFunction(() => document.querySelectorAll(".files li").length === 2);
    assert.equal(await page.innerText(".file .name >> nth=0"), "a\\\\x41");
    // Dropped onto the page.
    const dropped = await page.evaluateHandle(() => {
        const data = new DataTransfer();
        data.items.add(new File(["dropped"], "dropped.txt"));
        return data;
    });
    await page.dispatchEvent("main", "drop", { dataTransfer: dropped });
    await page.waitForSelector("text=dropped.txt is uploaded");
    await page.click('[aria-label="Delete dropped.txt"]');
    await page.click("dialog .danger");
    await page.waitForFunction(() => document.querySelectorAll(".files li").length === 2);
    await assertClean(page);
});

test("sessions are exported as notebook, markdown and training data", async () => {
    const page = await openPage(browser, server);
    await ask(page, "Sum the column.", 1);
    const found = {};
    for (const [item, extension] of [["Jupyter notebook", "ipynb"], ["Markdown", "md"], ["Training data", "jsonl"]]) {
        await page.click('[aria-label="Export"]');
        const [download] = await Promise.all([page.waitForEvent("download"), page.click(`[role=menuitem]:has-text("${item}")`)]);
        assert.equal(download.suggestedFilename(), `Sum-the-column.${extension}`);
        found[extension] = await readFile(await download.path(), "utf8");
    }
    assert.equal(JSON.parse(found.ipynb).nbformat, 4);
    assert.match(found.md, /sum\(rows\)/);
    assert.match(found.jsonl, /Sum the column/);
    await assertClean(page);
});

test("a session with settings is made in a dialog, where its errors stand too", async () => {
    const page = await openPage(browser, server);
    await page.click('[aria-label="New session with settings"]');
    await page.fill("dialog [name=title]", "With settings");
    await page.check("dialog [name=approval][value=ask]");
    await page.click("dialog summary");
    await page.fill("dialog [name=system_prompt]", "Be brief.");
    await page.fill("dialog [name=packages]", "json, nowhere_to_be_found");
    await page.fill('dialog [name="limits.steps"]', "3");
    await page.click("dialog >> text=Create session");
    assert.match(await page.innerText("dialog .failure:has-text('nowhere')"), /nowhere_to_be_found/);
    await page.fill("dialog [name=packages]", "json");
    await page.click("dialog >> text=Create session");
    await page.waitForSelector("dialog", { state: "detached" });
    assert.equal(await page.innerText(".title"), "With settings");
    assert.equal(await page.isChecked("#ask-first"), true);
    await page.click('[aria-label="Branches"]');
    await page.click("#tab-session");
    assert.match(await page.innerText(".facts"), /steps 3/);
    assert.match(await page.innerText(".facts"), /json/);
    await assertClean(page);
});

test("sessions are renamed and deleted", async () => {
    const page = await openPage(browser, server);
    await ask(page, "Hello!", 1);
    await page.click(".title");
    await page.fill("#prompt", "Another name");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelector(".current .row-title")?.textContent === "Another name");
    await page.click('[aria-label="More for Another name"]');
    await page.click("[role=menuitem]:has-text('Delete')");
    await page.click("dialog .danger");
    await page.waitForSelector(".welcome");
    assert.equal((await texts(page, ".row-title")).includes("Another name"), false);
    await assertClean(page);
});
