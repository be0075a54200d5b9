// The page about a run, as a file in a browser: it needs nothing, runs nothing, fits a phone, and can be read out.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { LOOKS, assertAlone, openFile, repository, startBrowser } from "./harness.mjs";

const HOSTILE = "</pre></style></title></script><script>window.hacked = 1</script><img src=x onerror=\"window.hacked = 1\">";
const STEPS = 3000;

const lines = (rows) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

/** A run that measured everything, written by somebody who means harm. */
function writeRun(folder, rate) {
    mkdirSync(folder);
    const rows = [];
    for (let step = 0; step <= STEPS; step += 1) {
        const wave = Math.sin(step * 12.9898) * 0.2;
        if (step > 0) rows.push({ step, epoch: 0, loss: 0.3 + 2 * Math.exp(-step / 300) + wave * 0.2, loss_by_source: { "data/quickstart/codeact.jsonl": 0.3 + wave * 0.1, [HOSTILE]: 1.2 + wave }, learning_rate: rate * (1 - step / STEPS), gradient_norm: Math.exp(wave * 12), tokens: 700, supervised_tokens: 300, seconds: 1.2 + wave, memory_bytes: 1.5e9 + step * 1e4 });
        if (step % 300 === 0) {
            const loss = 0.2 + 1.6 * Math.exp(-step / 300);
            rows.push({ step, held_out_loss: loss, held_out_by_source: { "data/quickstart/validation.jsonl": loss * 0.9, [HOSTILE]: loss * 1.2 } });
            rows.push({ step, success_rate: step / STEPS / 1.2, solved: step / 60, tasks: 60 });
        }
    }
    rows.push({ step: 2400, checkpoint: HOSTILE, best: true });
    writeFileSync(join(folder, "metrics.jsonl"), `${lines(rows)}{"step":NaN}\n{"step":30`);
    const file = (path) => ({ path, sha256: "2a204b38272c92ed", is_held_out: false, rows: 1200, conversations: 1180, held_out: 20, tokens: 150321, supervised_tokens: 70122, planned_tokens: 75160 });
    writeFileSync(join(folder, "plan.jsonl"), lines([{ steps: STEPS, epochs: 1, files: [file("data/quickstart/codeact.jsonl"), file(`${HOSTILE}${"x".repeat(300)}`)] }]));
    const sample = (step) => ({ step, prompt: `What is 17 * 23? ${HOSTILE}`, text: `I run it.\n<execute>\nprint(17 * 23)\n</execute>\n${HOSTILE}`, source: HOSTILE });
    writeFileSync(join(folder, "samples.jsonl"), lines([sample(0), sample(1500), sample(3000)]));
    writeFileSync(join(folder, "config.toml"), `[model]\nname = '${HOSTILE}'\n[lora]\nrank = 16\nalpha = 32\n[optimizer]\nlearning_rate = ${rate}\nclip_norm = 1.0\n`);
}

let browser, folder;
const pages = {};
before(async () => {
    browser = await startBrowser();
    folder = mkdtempSync(join(tmpdir(), "codeact-report-"));
    const runs = ["first <b>", "second"].map((name) => join(folder, name));
    runs.forEach((run, index) => writeRun(run, 1e-3 / (1 + index)));
    for (const [name, folders] of [["one run", runs.slice(0, 1)], ["two runs", runs]]) {
        pages[name] = join(folder, `${name}.html`);
        const { status, stderr } = spawnSync(join(repository, "target/release/codeact-train"), ["report", ...folders, "--out", pages[name]]);
        assert.equal(status, 0, String(stderr));
    }
});
after(async () => {
    await browser?.close();
    if (folder) rmSync(folder, { recursive: true, force: true });
});

for (const [look, options] of LOOKS) {
    for (const name of ["one run", "two runs"]) {
        test(`${name}, ${look}: nothing runs or is asked for, nothing is too wide, and axe finds nothing serious`, async () => {
            const file = await openFile(browser, pages[name], options);
            await assertAlone(file);
            await file.page.context().close();
        });
    }
}

test("every chart has a picture with words, a table, and reads itself out under the mouse", async () => {
    const { page } = await openFile(browser, pages["one run"], LOOKS[0][1]);
    const titles = await page.locator("figure h3").allInnerTexts();
    assert.deepEqual(titles, ["Training loss", "Training loss by source", "Held-out loss", "Success rate", "Learning rate", "Gradient norm", "Speed", "Memory"]);
    for (let index = 0; index < titles.length; index += 1) {
        const figure = page.locator("figure").nth(index);
        assert.match(await figure.locator("svg[role=img] > desc").textContent(), /at step .* lowest .* highest/);
        assert.ok((await figure.locator("tbody tr").count()) > 2);
    }
    const tip = page.locator("#chart-0 .hit").nth(20);
    const isShown = () => tip.locator(".tip").evaluate((element) => getComputedStyle(element).visibility);
    assert.equal(await isShown(), "hidden");
    await tip.locator(".area").hover();
    assert.equal(await isShown(), "visible");
    assert.match(await tip.locator("text").first().textContent(), /^step [\d,]+$/);
    await page.context().close();
});

test("the style sheet is let through, the texts of strangers are there as texts, and the page is small", async () => {
    const { page } = await openFile(browser, pages["one run"], LOOKS[0][1]);
    assert.equal(await page.evaluate(() => getComputedStyle(document.querySelector("main")).maxWidth), "1216px");
    const text = await page.evaluate(() => document.body.innerText);
    for (const part of ["Run first <b>", "window.hacked = 1</script>", "all steps taken", "last line is incomplete"]) {
        assert.ok(text.includes(part), part);
    }
    assert.ok(statSync(pages["one run"]).size < 500_000);
    await page.context().close();
});
