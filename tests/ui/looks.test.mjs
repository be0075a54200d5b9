// For everybody: by keyboard, read out, in both themes, on a phone; and the screenshots of docs/.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ask, assertClean, axe, hasLibraries, isTooWide, last, openPage, repository, say, startBrowser, startServer, turnEnds } from "./harness.mjs";

let server, browser;
before(async () => {
    [server, browser] = await Promise.all([startServer(), startBrowser()]);
});
after(async () => {
    await browser?.close();
    await server?.stop();
});

const PHONE = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };
const LOOKS = [["light", { colorScheme: "light" }], ["dark", { colorScheme: "dark" }], ["phone", { colorScheme: "light", ...PHONE }]];

for (const [name, options] of LOOKS) {
    test(`axe finds nothing serious, and nothing is too wide: ${name}`, async () => {
        const page = await openPage(browser, server, options);
        const found = {};
        const look = async (where) => {
            const serious = await axe(page);
            if (await isTooWide(page)) serious.push("too wide");
            if (serious.length > 0) found[where] = serious;
        };
        await look("welcome");
        await ask(page, "Sum the column.", 1);
        await ask(page, "Draw something, and a very_long_word_".padEnd(200, "x"), 2);
        await ask(page, "Make squares.", 3);
        await look("conversation");
        await ask(page, "Please fail.", 4);
        await page.check("#ask-first", { force: true });
        await say(page, "Remember this.");
        await page.waitForSelector(".ask:focus");
        await look("question");
        await page.keyboard.press("e");
        await look("editing code");
        await page.keyboard.press("Escape");
        await page.keyboard.press("r");
        await turnEnds(page, 5);
        await page.click(".turn:last-child [aria-label='Edit your message and send it again']");
        await look("editing a message");
        await page.click(".editing >> text=Cancel");
        await page.click("header >> text=Files");
        for (const tab of ["files", "branches", "sandbox", "session"]) {
            await page.click(`#tab-${tab}`);
            await page.waitForSelector("#panel-body > *");
            await look(tab);
        }
        await page.click('[aria-label="Close the panel"]');
        if (name === "phone") {
            await page.click('button[aria-label="Sessions"]');
            await page.waitForTimeout(300); // it slides in
            await look("list of sessions");
        }
        await page.click('[aria-label="New session with settings"]');
        await page.click("dialog summary");
        await look("settings");
        await page.keyboard.press("Escape");
        if (name !== "phone") {
            await page.click('[aria-label="Keyboard shortcuts"]');
            await look("shortcuts");
        }
        assert.deepEqual(found, {});
        await assertClean(page);
    });
}

test("everything goes by keyboard", async () => {
    const page = await openPage(browser, server);
    const press = async (...keys) => {
        for (const key of keys) await page.keyboard.press(key);
    };
    await page.keyboard.type("Remember keys.");
    await press("Shift+Enter");
    await page.keyboard.type("Please.");
    await press("Enter");
    await turnEnds(page, 1);
    assert.equal(await page.innerText(".bubble"), "Remember keys.\nPlease.");
    await press("Escape", "?");
    await page.waitForSelector("dialog[open]");
    await press("Escape");
    await page.waitForSelector("dialog", { state: "detached" });
    await press("f");
    assert.equal(await page.evaluate(() => document.activeElement.id), "tab-files");
    await press("ArrowRight", "ArrowRight");
    assert.equal(await page.evaluate(() => document.activeElement.id), "tab-sandbox");
    await page.waitForSelector(".layers");
    await press("s");
    assert.equal(await page.isHidden(".panel"), true);
    await press("n");
    await page.waitForSelector(".welcome");
    assert.equal(await page.evaluate(() => document.activeElement.id), "message");
    await press("Escape", "j");
    await turnEnds(page, 1);
    // A menu takes the focus, and gives it back.
    await page.focus('[aria-label="Export"]');
    await press("Enter", "ArrowDown", "ArrowDown", "ArrowDown");
    assert.match(await page.evaluate(() => document.activeElement.textContent), /^Jupyter/);
    await press("Escape");
    assert.equal(await page.evaluate(() => document.activeElement.ariaLabel), "Export");
    // From the top of the page: past the list into the field.
    await page.evaluate(() => document.querySelector("a, button, input, select, textarea").focus());
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "To the message field");
    await press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.id), "message");
    await assertClean(page);
});

test("whoever listens hears what happens, and not every word", async () => {
    const page = await openPage(browser, server);
    await page.evaluate(() => {
        window.heard = [];
        for (const place of document.querySelectorAll("[role=status], [role=alert]")) {
            new MutationObserver(() => place.textContent && window.heard.push(place.textContent)).observe(place, { childList: true, characterData: true, subtree: true });
        }
    });
    await ask(page, "Tell a story of 300 words.", 1);
    await page.check("#ask-first", { force: true });
    await say(page, "Remember this.");
    await page.waitForSelector(".ask:focus");
    await page.waitForFunction(() => window.heard.some((text) => text.includes("asks whether")));
    await page.keyboard.press("r");
    await turnEnds(page, 2);
    await page.waitForFunction(() => window.heard.at(-1) === "Answer: I keep this.");
    const heard = await page.evaluate(() => window.heard);
    assert.equal(heard.filter((text) => text.startsWith("Answer: word1 ")).length, 1);
    assert.ok(heard.length <= 8, heard.map((text) => text.slice(0, 40)).join("\n"));
    await assertClean(page);
});

test("the theme is the system's until another is chosen, and is kept", async () => {
    const page = await openPage(browser, server, { colorScheme: "dark" });
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const dark = await ground();
    await page.emulateMedia({ colorScheme: "light" });
    const light = await ground();
    assert.notEqual(dark, light);
    await page.click('[aria-label="Light or dark"]');
    await page.click("[role=menuitem]:has-text('Dark')");
    assert.equal(await ground(), dark);
    await page.reload();
    await page.waitForSelector(".welcome");
    assert.equal(await ground(), dark);
    await page.click('[aria-label="Light or dark"]');
    await page.click("[role=menuitem]:has-text('system')");
    assert.equal(await ground(), light);
    await assertClean(page);
});

test("who wants no motion gets none", async () => {
    const page = await openPage(browser, server);
    await say(page, "Wait 60.");
    await page.waitForSelector(".spinner");
    const moving = await page.evaluate(() => document.getAnimations().filter((animation) => animation.playState === "running" && animation.effect.getTiming().duration > 10).length);
    assert.equal(moving, 0);
    await page.keyboard.press("Escape");
    await turnEnds(page, 1);
    await assertClean(page);
});

test("on a phone the list of sessions comes and goes", async () => {
    const page = await openPage(browser, server, PHONE);
    await ask(page, "Hello!", 1);
    assert.equal(await page.isVisible(".sessions"), false);
    await page.click('button[aria-label="Sessions"]');
    await page.waitForSelector(".sessions a:has-text('Hello!')");
    await page.click('[aria-label="New session"], .make .new');
    await page.waitForSelector(".welcome");
    await page.waitForFunction(() => getComputedStyle(document.querySelector(".sidebar")).visibility === "hidden");
    await assertClean(page);
});

test("the page looks as in docs", { skip: !process.env.CODEACT_SCREENSHOTS && "CODEACT_SCREENSHOTS=1 writes docs/*.png" }, async () => {
    assert.ok(hasLibraries, "the screenshots need matplotlib: CODEACT_SANDBOX_PYTHON");
    mkdirSync(join(repository, "docs"), { recursive: true });
    const shot = (page, name) => page.screenshot({ path: join(repository, `docs/ui-${name}.png`) });
    const light = await openPage(browser, server, { colorScheme: "light", viewport: { width: 1280, height: 1030 } });
    await ask(light, "Draw both curves of one period.", 1);
    await shot(light, "light");
    const dark = await openPage(browser, server, { colorScheme: "dark", viewport: { width: 1280, height: 860 } });
    await ask(dark, "Sum the column.", 1);
    await dark.check("#ask-first", { force: true });
    await say(dark, "Remember the result.");
    await dark.waitForSelector(".ask:focus");
    await dark.keyboard.press("e");
    await shot(dark, "dark");
    const phone = await openPage(browser, server, { colorScheme: "light", deviceScaleFactor: 2, ...PHONE });
    await ask(phone, "Make squares.", 1);
    await shot(phone, "phone");
    for (const page of [light, dark, phone]) assert.equal(await last(page, ".said").count(), 1);
});
