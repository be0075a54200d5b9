// The page about a flywheel, as a file in a browser. The program writes it from what flywheel.json says, so that is
// written here, by somebody who means harm: nothing is loaded or trained for a round that collected nothing.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { LOOKS, assertAlone, contrast, openFile, repository, shown, startBrowser, startTrap } from "./harness.mjs";

const HOSTILE = "</td></style></title></script><script>window.hacked = 1</script><img src=\"http://evil.test/\" onerror=\"window.hacked = 1\">\u202e\u061c\u001b[2J";
// Folders: what stands between slashes is one each.
const MODEL = "</title></style></script><script>window.hacked = 1</script><img src=x onerror=\"window.hacked = 1\">";
const DIR = "<img src=x onerror=\"window.hacked = 1\">\u202e";
const LONG = "w".repeat(200);

/** A folder with a tokenizer of bytes and settings of a model, in which weights are a file that nothing can load. */
function writeModel(folder) {
    mkdirSync(folder, { recursive: true });
    const controls = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
    const range = (first, last) => Array.from({ length: last - first + 1 }, (_, index) => String.fromCodePoint(first + index));
    const tokens = [...controls, ...range(33, 126), ...range(161, 172), ...range(174, 255), ...range(0x100, 0x143)];
    const bytes = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
    const write = (name, value) => writeFileSync(join(folder, name), JSON.stringify(value));
    write("tokenizer.json", {
        version: "1.0", truncation: null, padding: null, normalizer: null, pre_tokenizer: bytes, post_processor: bytes, decoder: bytes,
        added_tokens: controls.map((content, id) => ({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true })),
        model: { type: "BPE", dropout: null, unk_token: null, fuse_unk: false, byte_fallback: false, vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges: [] },
    });
    write("tokenizer_config.json", { eos_token: "<|im_end|>", chat_template: "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}" });
    write("config.json", { architectures: ["LlamaForCausalLM"], model_type: "llama", hidden_act: "silu", hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, num_attention_heads: 4, num_key_value_heads: 2, vocab_size: tokens.length, max_position_embeddings: 512, rms_norm_eps: 1e-5, rope_theta: 10000, tie_word_embeddings: true, torch_dtype: "float32", bos_token_id: 1, eos_token_id: 2 });
    writeFileSync(join(folder, "model.safetensors"), "no weights");
}

function writeRoom(folder) {
    writeModel(join(folder, MODEL));
    const write = (name, rows) => writeFileSync(join(folder, name), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    const chat = (id) => ({ id, conversations: [{ role: "user", content: "hi" }, { role: "assistant", content: "hello" }] });
    const task = (id, group) => ({ id, family: `${group}/f`, prompt: `go ${id}`, answer: 7 });
    write("train.jsonl", [chat("a"), chat("b")]);
    write("validation.jsonl", [chat("chat/0")]);
    write("practice.jsonl", [task("p", "old")]);
    write("held.jsonl", [task("h", "new")]);
    writeFileSync(
        join(folder, "settings.toml"),
        `[model]\nname = ${JSON.stringify(MODEL)}\n[lora]\nrank = 4\nalpha = 16\n[[data]]\npath = "train.jsonl"\n[[data]]\npath = "validation.jsonl"\nheld_out = true\n` +
            `[train]\nsteps = 1\npack_tokens = 220\ndtype = "f32"\nthreads = 1\n[optimizer]\nlearning_rate = 1e-3\n[output]\ndir = ${JSON.stringify(DIR)}\nprofile = "quickstart"\n` +
            `[flywheel]\nrounds = 3\nlicence = "CC0-1.0"\npractice = ["practice.jsonl"]\nheld_out = ["held.jsonl"]\nmetric = "new"\nchat = "chat/*"\nmeasure_base = false\n`,
    );
}

/** Wilson's interval. */
function rate(solved, tasks) {
    const [p, z] = [solved / tasks, 1.959964];
    const [middle, half] = [p + (z * z) / (2 * tasks), z * Math.sqrt((p * (1 - p)) / tasks + (z * z) / (4 * tasks * tasks))];
    return { solved, tasks, low: (middle - half) / (1 + (z * z) / tasks), high: (middle + half) / (1 + (z * z) / tasks) };
}

const figures = (name, solved, chat_loss, versus = null) => ({ name, adapter: name === "base" ? null : `${name}/adapter`, attempts: name, metric: rate(solved, 60), groups: { new: rate(solved, 60), [HOSTILE]: rate(3, 4), [LONG]: rate(0, 4) }, chat_loss, versus, seconds: 61 });
// What is read again is held against its hash.
const CONVERSATIONS = "round-1/conversations.jsonl";
const sha256 = createHash("sha256").update("{}\n").digest("hex");
const collected = (kept, dropped) => ({ teacher: HOSTILE, file: CONVERSATIONS, sha256, tasks: 1200, solved: 700, attempts: 4321, right: 1500, kept, dropped, seconds: 3600 });
const trained = { adapter: "adapter", sha256: {}, steps: 99, conversations: 500, seconds: 1800 };
const versus = { before: HOSTILE, lost: 3, won: 15, p: 0.008, difference: 0.2, low: 0.0667, high: 0.3333 };
const MEASURED = [figures("base", 0, 2.5), figures("start", 18, 2), figures("round 1", 30, 1.99, versus), figures("round 2", 60, 2.5, { ...versus, lost: 0, won: 30 })];
const ROUNDS = [
    { number: 1, collected: collected(1400, { wrong: 2821, [HOSTILE]: 12 }), trained, figures: MEASURED[2], verdict: { is_kept: true, why: HOSTILE } },
    { number: 2, collected: collected(120, { wrong: 7, [LONG]: 1 }), trained, figures: MEASURED[3], verdict: { is_kept: false, why: LONG } },
    { number: 3, collected: collected(0, {}), trained: null, figures: null, verdict: null },
];

let browser, trap, folder, path;
before(async () => {
    trap = await startTrap();
    browser = await startBrowser(trap.port);
    folder = mkdtempSync(join(tmpdir(), "codeact-flywheel-"));
    writeRoom(folder);
    const train = (...options) => spawnSync(join(repository, "target/release/codeact-train"), ["--config", "settings.toml", ...options], { cwd: folder });
    // What the settings are called in the state: written before anything is loaded, and then there is nothing to load.
    const begun = train();
    const file = join(folder, DIR, "flywheel.json");
    assert.ok(begun.status !== 0 && existsSync(file), String(begun.stderr));
    const state = JSON.parse(readFileSync(file, "utf8"));
    assert.deepEqual([state.start, state.rounds], [null, []], String(begun.stderr));
    const [base, start] = MEASURED;
    writeFileSync(file, JSON.stringify({ ...state, base, start, start_seconds: 600, rounds: ROUNDS }));
    mkdirSync(join(folder, DIR, "round-1"), { recursive: true });
    writeFileSync(join(folder, DIR, CONVERSATIONS), "{}\n");
    const { status, stderr } = train("--resume");
    assert.equal(status, 0, String(stderr));
    path = join(folder, DIR, "flywheel.html");
});
after(async () => {
    await browser?.close();
    trap?.stop();
    if (folder) rmSync(folder, { recursive: true, force: true });
});

for (const [look, options] of LOOKS) {
    test(`${look}: nothing runs or is asked for, nothing is too wide, and axe finds nothing serious`, async () => {
        const file = await openFile(browser, path, options);
        await assertAlone(file);
        assert.equal(trap.visits(), 0, "somebody came to evil.test");
        await file.page.context().close();
    });
}

for (const [look, options] of LOOKS.slice(0, 2)) {
    test(`dots and intervals are drawn where the numbers are: ${look}`, async () => {
        const { page } = await openFile(browser, path, options);
        const { rows, background } = await page.evaluate(() => {
            const figure = document.querySelector("figure");
            const number = (element, name) => Number(element.getAttribute(name));
            const grid = [...figure.querySelectorAll(".grid")].map((line) => number(line, "x1"));
            const ticks = [...figure.querySelectorAll(".x")].map((label) => parseFloat(label.textContent));
            const part = (x) => (ticks[0] + ((x - grid[0]) / (grid.at(-1) - grid[0])) * (ticks.at(-1) - ticks[0])) / 100;
            const names = [...figure.querySelectorAll(".y")].map((label) => label.textContent);
            const dots = [...figure.querySelectorAll(".dot")].map((dot) => ({ rate: part(number(dot, "cx")), at: number(dot, "cy"), fill: getComputedStyle(dot).fill, pixels: dot.getBoundingClientRect().width }));
            const lines = [...figure.querySelectorAll(".line")].map((line) => ({ low: part(number(line, "x1")), high: part(number(line, "x2")), at: number(line, "y1"), stroke: getComputedStyle(line).stroke }));
            return { rows: names.map((name, index) => ({ name, dot: dots[index], line: lines[index] })), background: getComputedStyle(figure).backgroundColor };
        });
        assert.deepEqual(rows.map((row) => row.name), MEASURED.map((each) => each.name));
        for (const [index, { dot, line }] of rows.entries()) {
            const { solved, tasks, low, high } = MEASURED[index].metric;
            const about = JSON.stringify(rows[index]);
            for (const [is, wanted] of [[dot.rate, solved / tasks], [line.low, low], [line.high, high]]) assert.ok(Math.abs(is - wanted) < 2e-4, about);
            assert.equal(dot.at, line.at, about);
            assert.ok(dot.pixels > 3 && contrast(dot.fill, background) >= 3 && contrast(line.stroke, background) >= 3, about);
        }
        await page.context().close();
    });
}

test("without scripts every number is there, and texts of strangers are texts", async () => {
    const { page, problems } = await openFile(browser, path, { ...LOOKS[0][1], javaScriptEnabled: false });
    assert.equal(await page.title(), `Flywheel ${shown(DIR)}`);
    assert.equal(await page.innerText("header p"), `finished ${shown(MODEL, 80)} · ${shown(DIR)}`);
    const tiles = await page.locator(".tiles dd").allTextContents();
    assert.deepEqual(tiles.slice(0, 5), ["0.0% → 30.0% → 50.0%", "base, start, and round 1", "2 → 1.99", "nats per token, -0.5% of the start", "1,520"]);
    const [measured, rounds, dropped] = await Promise.all((await page.locator("section table").all()).map(async (table) => Promise.all((await table.locator("tr").all()).map((row) => row.locator("th, td").allTextContents()))));
    const percent = (part) => `${(100 * part).toFixed(1)}%`;
    const cell = ({ solved, tasks, low, high }) => `${percent(solved / tasks)} ${solved} of ${tasks}, ${percent(low)} to ${percent(high)}`;
    assert.deepEqual(measured[0], ["Adapter", "Decides", shown(HOSTILE, 40), "new", shown(LONG, 40), "Chat loss", "Against the best before"]);
    for (const [index, each] of MEASURED.entries()) {
        const row = measured[index + 1];
        assert.deepEqual(row.slice(0, 5), [each.name, ...[each.metric, each.groups[HOSTILE], each.groups.new, each.groups[LONG]].map(cell)]);
        assert.equal(row[5], `${each.chat_loss} ${(each.chat_loss / 2).toFixed(3)} of the start`);
        const { versus } = each;
        const signed = (part) => `${part < 0 ? "-" : "+"}${Math.abs(100 * part).toFixed(1)}`;
        assert.equal(row[6], versus ? `${signed(versus.difference)} points ${signed(versus.low)} to ${signed(versus.high)}; ${versus.won} won, ${versus.lost} lost against ${shown(HOSTILE, 40)}, p = ${versus.p.toFixed(3)}` : "");
    }
    assert.deepEqual(rounds.slice(1).map((row) => row.slice(0, 5)), [["1", "700 of 1,200", "1,500 of 4,321", "1,400", "99"], ["2", "700 of 1,200", "1,500 of 4,321", "120", "99"], ["3", "700 of 1,200", "1,500 of 4,321", "0", ""]]);
    assert.deepEqual(rounds.slice(1).map((row) => row[6]), [`kept ${shown(HOSTILE, 200)}`, `rejected ${LONG}`, "rejected nothing was collected that was not known"]);
    assert.deepEqual(dropped, [["Why", "Round 1", "Round 2", "Round 3"], [shown(HOSTILE, 100), "12", "", ""], ["wrong", "2,821", "7", ""], [shown(LONG, 100), "", "1", ""]]);
    assert.deepEqual(problems, []);
    await page.context().close();
});

test("whoever goes by keyboard or listens is told which table it is", async () => {
    const { page } = await openFile(browser, path, LOOKS[2][1]);
    for (const name of ["What was measured", "What each round did", "Attempts that were not kept"]) {
        await page.keyboard.press("Tab");
        const focused = await page.evaluate(() => ({ role: document.activeElement.getAttribute("role"), name: document.activeElement.ariaLabel, outline: getComputedStyle(document.activeElement).outlineStyle }));
        assert.deepEqual(focused, { role: "group", name, outline: "solid" });
    }
    await page.context().close();
});
