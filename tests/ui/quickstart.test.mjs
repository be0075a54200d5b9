// The page with a real model: the one that the quickstart trains, where it was trained.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ask, assertClean, last, openPage, repository, startBrowser, startServer } from "./harness.mjs";

const model = join(repository, "checkpoints/runs/quickstart/merged");
const skip = existsSync(join(model, "config.json")) ? false : "skipped: 1 test with the quickstart's model, which is not in checkpoints/runs";

test("the quickstart's model runs code and answers", { skip }, async () => {
    const [server, browser] = await Promise.all([startServer({ model }), startBrowser()]);
    try {
        const page = await openPage(browser, server);
        await ask(page, 'How many vowels are in "the quick brown fox"?', 1);
        assert.ok((await last(page, ".code").count()) > 0);
        assert.ok((await last(page, ".output").count()) > 0);
        assert.match(await last(page, ".usage >> nth=0").innerText(), /tokens/);
        await assertClean(page);
    } finally {
        await browser.close();
        await server.stop();
    }
});
