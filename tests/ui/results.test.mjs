// The page of `codeact-eval run` and `report`, as a file in a browser: what is drawn and told is what summary.json says,
// what was said is there as text, and nothing of it runs. The results are real: two scripted models, three forms of action.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { LOOKS, assertAlone, contrast, openFile, repository, shown, startBrowser, startEndpoint, startTrap, unfold } from "./harness.mjs";

// What turns the direction of text around, and what commands a terminal.
const MARKS = "\u202e\u2067\u200f\u061c";
const HOSTILE = `</pre></style></title></script><script>window.hacked = 1</script><img src="http://evil.test/" onerror="window.hacked = 1">${MARKS}\u001b[2J`;
/** Names have no control characters, a contestant's no `=`, and a file's no `/`. */
const NAME = `</td><script>window.hacked++</script>${MARKS}`;
const ID = `<img src=x onerror="window.hacked = 1">${MARKS}`;
/** As wide as letters are, and nowhere to break. */
const WIDE = "\u0174".repeat(40);
const FILE = `${ID} and "quotes" & 'more'`;
const LONG = 900_000;
const STRONG = "x".repeat(60);
const FORMATS = ["code", "json", "text"];

const execute = (code) => `<execute>\n${code}\n</execute>`;
const observed = { kind: "regex", pattern: "Observation:\\s+0\\.3" };
const PRICE = {
    tools: [{ name: "price", signature: "(item: str) -> float", doc: `What it costs. ${HOSTILE}` }],
    setup: "def price(item):\n    return {'nut': 0.3, 'bolt': 0.3}[item]",
};

/** Tasks, and by whom they are solved: one in code and JSON, one as text, one in code, one by knowing, two never. */
const TASKS = [
    { id: "nuts", family: "shop/price", prompt: "Price of nuts?", grader: observed, ...PRICE },
    { id: "bolts", family: "shop/price", prompt: "Price of bolts?", grader: observed, ...PRICE },
    { id: "half", family: `${WIDE}/half`, prompt: "Half of both prices?", grader: observed, ...PRICE },
    { id: "yes", family: `${WIDE}/yes`, prompt: "\n  Say yes.", answer: "yes" },
    { id: ID, family: `${ID}/${ID}`, prompt: `Say evil things. ${HOSTILE}`, answer: HOSTILE },
    { id: WIDE, family: "long", prompt: `Repeat the long line. ${"<".repeat(LONG)}`, answer: "&" },
];

/** What models say. A reply acts in code and as JSON; where it does not act, it is the answer. */
function scenarios(isStrong) {
    // Known by its class: the failure is counted by that name.
    const raise = `raise type(${JSON.stringify(ID)}, (Exception,), {})(${JSON.stringify(HOSTILE)})`;
    return [
        { when: "Price of nuts", replies: isStrong ? [`I look.\n${execute("price('nut')")}\nAction: {"tool": "price", "args": {"item": "nut"}}\n`, "<solution>{{last}}</solution>"] : ["I do not know."] },
        { when: "Price of bolts", replies: ["Action: price, bolt\n", "<solution>{{last}}</solution>"] },
        { when: "Half of both", replies: [execute("(price('nut') + price('bolt')) / 2"), "<solution>{{last}}</solution>"] },
        { when: "Say yes", replies: [`\n\n<solution>${isStrong ? "yes" : "no"}</solution>`] },
        { when: "Say evil", replies: [`${HOSTILE}\n${execute(raise)}`, HOSTILE] },
        { when: "Repeat the long", replies: ["&".repeat(LONG)] },
    ];
}

/** Runs the program; this process must not wait for it, because the trap is here. */
async function evaluate(...options) {
    const child = spawn(join(repository, "target/release/codeact-eval"), options, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, CODEACT_ENDPOINT_KEY: "" } });
    const said = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"]) child[name].on("data", (data) => (said[name] += data));
    const code = await new Promise((resolve) => child.on("close", resolve));
    assert.equal(code, 0, said.stderr);
    return said.stdout;
}

let browser, trap, folder, summary, records;
const endpoints = [];
const pages = {};
before(async () => {
    trap = await startTrap();
    browser = await startBrowser(trap.port);
    folder = mkdtempSync(join(tmpdir(), "codeact-results-"));
    const suite = join(folder, `${FILE}.jsonl`);
    writeFileSync(suite, TASKS.map((task) => `${JSON.stringify(task)}\n`).join(""));
    for (const isStrong of [true, false]) {
        const file = join(folder, `${isStrong}.json`);
        writeFileSync(file, JSON.stringify(scenarios(isStrong)));
        endpoints.push(await startEndpoint(file));
    }
    const [one, other] = ["run", ID].map((name) => join(folder, "out", name));
    mkdirSync(join(folder, "out"));
    const common = ["run", suite, "--preimport=", "--profile", "quickstart"];
    const contestants = [STRONG, NAME].flatMap((name, index) => ["--contestant", `${name}=${endpoints[index].url},model=${HOSTILE.replaceAll("\u001b", "")}`]);
    await evaluate(...common, "--out", one, ...contestants, "--action-format", FORMATS.join(","));
    await evaluate(...common, "--out", other, ...contestants.slice(0, 2), "--action-format", "code", "--samples", "2", "--limit", "4");
    pages.results = join(one, "report.html");
    pages.comparison = join(folder, "comparison.html");
    await evaluate("report", one, other, "--out", pages.comparison);
    summary = JSON.parse(readFileSync(join(one, "summary.json"), "utf8"));
    records = readFileSync(join(one, "results.jsonl"), "utf8").trimEnd().split("\n").slice(1).map((line) => JSON.parse(line));
});
after(async () => {
    await browser?.close();
    trap?.stop();
    await Promise.all(endpoints.map((endpoint) => endpoint.stop()));
    if (folder) rmSync(folder, { recursive: true, force: true });
});

const percent = (part) => `${(100 * part).toFixed(1)}%`;
const inBytes = (one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other));

test("the results are what the script of the models makes them", () => {
    const solved = summary.columns.map(({ contestant, format, all }) => [contestant, format, all.solved, all.tasks]);
    const expected = [[NAME, [1, 0, 1]], [STRONG, [3, 2, 2]]].flatMap(([name, counts]) => counts.map((count, index) => [name, FORMATS[index], count, TASKS.length]));
    assert.deepEqual(solved, expected);
    // What turns or hides text is left out of the name of an error.
    const name = [...ID].filter((character) => !MARKS.includes(character)).join("");
    assert.ok(name in summary.columns[0].all.failures, JSON.stringify(summary.columns[0].all.failures));
});

for (const [look, options] of LOOKS) {
    for (const name of look === "phone" ? ["results", "comparison"] : ["results"]) {
        test(`${name}, ${look}: nothing runs or is asked for, nothing is too wide, and axe finds nothing serious`, async () => {
            const file = await openFile(browser, pages[name], options);
            await assertAlone(file);
            assert.equal(trap.visits(), 0, "somebody came to evil.test");
            await file.page.context().close();
        });
    }
}

test("what the page was given would run if it were not text, and the policy would still stop it", async () => {
    const page = readFileSync(pages.results, "utf8");
    const asMarkup = page.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&quot;", '"').replaceAll("&#39;", "'").replaceAll("&amp;", "&");
    const withoutPolicy = asMarkup.replace(/<meta http-equiv="Content-Security-Policy"[^>]*>/, "");
    assert.ok(withoutPolicy.length < asMarkup.length && asMarkup.length < page.length);
    const hacked = [];
    for (const [name, text] of Object.entries({ asMarkup, withoutPolicy })) {
        const path = join(folder, `${name}.html`);
        writeFileSync(path, text);
        const visits = trap.visits();
        const { page, problems } = await openFile(browser, path, LOOKS[0][1]);
        hacked.push([await page.evaluate(() => window.hacked !== undefined), trap.visits() > visits]);
        assert.ok(problems.length > 0, "what must not happen would not be seen");
        await page.context().close();
    }
    assert.deepEqual(hacked, [[false, false], [true, true]]);
});

/** What the figures draw, in the units of the ticks that they have. */
const drawn = (page) =>
    page.evaluate(() =>
        [...document.querySelectorAll("figure")].map((figure) => {
            const box = (element) => element && (({ y, height }) => [y, y + height])(element.getBBox());
            const ticks = [...figure.querySelectorAll(".chart .y")].map((label) => [box(label.previousElementSibling)[0], parseFloat(label.textContent.replace(/,/g, ""))]);
            const [[zero, first], [end, last]] = [ticks[0], ticks.at(-1)];
            const value = (y) => first + ((y - zero) / (end - zero)) * (last - first);
            const bars = [...figure.querySelectorAll(".chart g")].map((group) => {
                const [bar, whisker] = [".bar", ".whisker"].map((part) => group.querySelector(part));
                const interval = whisker && box(whisker).map(value).reverse();
                const { fill, visibility, opacity } = getComputedStyle(bar);
                const stroke = whisker && getComputedStyle(whisker).stroke;
                return { says: group.querySelector("title").textContent, value: value(box(bar)[0]), base: value(box(bar)[1]), interval, label: group.querySelector(".value").textContent, fill, stroke, isSeen: visibility === "visible" && opacity === "1", pixels: bar.getBoundingClientRect().height };
            });
            const places = [...figure.querySelectorAll(".value")].map((label) => label.getBoundingClientRect());
            const meet = (one, other) => one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;
            const overlaps = places.flatMap((one, index) => places.slice(index + 1).filter((other) => meet(one, other))).length;
            const cells = [...figure.querySelectorAll("tbody tr")].map((row) => [...row.children].map((cell) => cell.textContent));
            const { backgroundColor } = getComputedStyle(figure);
            return { title: figure.querySelector("h3").textContent, words: figure.querySelector("desc").textContent, legend: [...figure.querySelectorAll(".legend li")].map((item) => item.textContent), bars, cells, overlaps, last, backgroundColor };
        }),
    );

/** The figures that the numbers ask for: their groups, each with a value and perhaps an interval for each form. */
function wanted() {
    const contestants = [NAME, STRONG];
    const column = (contestant, format) => summary.columns.find((each) => each.contestant === contestant && each.format === format);
    const of = (pick) => contestants.map((name) => [name, FORMATS.map((format) => pick(column(name, format).all))]);
    const rate = (tally) => [tally.rate, tally.interval];
    const suite = (contestant, format) => column(contestant, format).suites[FILE];
    const groups = (contestant) => Object.keys(suite(contestant, "code").groups).sort(inBytes);
    return [
        ["Success rate by form of action", of(rate)],
        ["Turns by form of action", of((tally) => [tally.steps, null])],
        ...contestants.map((name) => [`Success rate of ${name} by kind of task`, groups(name).map((group) => [group, FORMATS.map((format) => rate(suite(name, format).groups[group]))])]),
    ];
}

for (const [look, options] of LOOKS.slice(0, 2)) {
    test(`bars and intervals are drawn where the numbers are, and told in words and in a table: ${look}`, async () => {
        const { page } = await openFile(browser, pages.results, options);
        const [figures, expected] = [await drawn(page), wanted()];
        assert.deepEqual(figures.map((figure) => figure.title), expected.map(([title]) => shown(title, 120)));
        assert.equal(expected[2][1].length, 3, "the figure of kinds has three of them");
        for (const [index, figure] of figures.entries()) {
            const [title, groups] = expected[index];
            const isRate = figure.last === 100;
            assert.equal(isRate, title.startsWith("Success"), title);
            assert.deepEqual(figure.legend, FORMATS);
            assert.equal(figure.overlaps, 0, `numbers of ${title} lie on each other`);
            const bars = groups.flatMap(([group, of]) => of.map(([value, interval], place) => ({ group, format: FORMATS[place], value, interval })));
            assert.equal(figure.bars.length, bars.length, title);
            for (const [place, bar] of bars.entries()) {
                const [is, unit] = [figure.bars[place], isRate ? 100 : 1];
                const about = `${title}, ${bar.group}, ${bar.format}: ${JSON.stringify(is)}`;
                // Places are written with one digit, of a picture that is 224 high.
                const isNear = (one, other) => Math.abs(one - other * unit) <= (0.06 / 224) * figure.last;
                assert.ok(isNear(is.value, bar.value) && isNear(is.base, 0), about);
                assert.equal(is.interval !== null, isRate, about);
                if (is.interval) assert.ok(is.interval.every((end, side) => isNear(end, bar.interval[side])), about);
                assert.ok(is.isSeen && (bar.value === 0 || is.pixels > 3), about);
                for (const color of [is.fill, is.stroke].filter(Boolean)) assert.ok(contrast(color, figure.backgroundColor) >= 3, `${color} on ${figure.backgroundColor}`);
                const told = isRate ? `${percent(bar.value)} (${percent(bar.interval[0])} to ${percent(bar.interval[1])})` : is.says.split(": ")[1];
                if (!isRate) assert.ok(Math.abs(Number(told) - bar.value) <= 5e-4 * bar.value, about);
                assert.equal(is.says, `${bar.format}: ${told}`);
                assert.equal(is.label, isRate ? (100 * bar.value).toFixed(0) : bar.value.toFixed(1));
                assert.ok(figure.words.includes(`${shown(bar.group, 60)}, ${bar.format}: ${told}.`), about);
                const row = figure.cells[Math.floor(place / FORMATS.length)];
                assert.deepEqual([row[0], row[1 + (place % FORMATS.length)]], [shown(bar.group, 60), told]);
            }
            assert.equal(new Set(figure.bars.slice(0, FORMATS.length).map((bar) => bar.fill)).size, FORMATS.length, "forms look the same");
        }
        await page.context().close();
    });
}

/** The tables as texts, as a reader sees them who opens everything: a list of rows for each name. */
async function tables(page) {
    const found = {};
    for (const table of await page.locator("section > .wide").all()) {
        const rows = await table.locator("tr").all();
        found[await table.getAttribute("aria-label")] = await Promise.all(rows.map((row) => row.locator("th, td").allTextContents()));
    }
    return found;
}

const inRate = ({ rate, interval: [low, high] }) => `${percent(rate)}${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)}`;
const signed = (part) => `${part < 0 || Object.is(part, -0) ? "-" : "+"}${Math.abs(100 * part).toFixed(1)}`;

test("without scripts every number is there, and it is that of summary.json", async () => {
    const { page, problems } = await openFile(browser, pages.results, { ...LOOKS[0][1], javaScriptEnabled: false });
    const found = await tables(page);
    const names = summary.columns.map(({ contestant, format }) => shown(`${contestant}, ${format}`, 60));

    const [head, ...rows] = found["Contestants in numbers"];
    assert.equal(rows.length, summary.columns.length);
    for (const [index, { contestant, format, all }] of summary.columns.entries()) {
        const row = Object.fromEntries(head.map((name, place) => [name, rows[index][place]]));
        const share = (part, whole) => `${whole > 0 ? percent(part / whole) : "–"}${part} of ${whole}`;
        const exact = { Contestant: shown(contestant, 60), Format: format, Tasks: `${all.tasks}`, Tries: `${all.tries}`, Solved: inRate(all), "By actions": `${all.solved_by_actions}`, "Invalid actions": share(all.invalid_actions, all.actions), "Self-repair": share(all.repaired, all.tries_with_failure) };
        for (const [name, value] of Object.entries(exact)) assert.equal(row[name], value, `${contestant}, ${format}: ${name}`);
        const measured = { Turns: all.steps, "Tokens read": all.prompt_tokens, "Tokens written": all.completion_tokens, Seconds: all.seconds };
        for (const [name, value] of Object.entries(measured)) assert.ok(Math.abs(Number(row[name].replaceAll(",", "")) - value) <= 5.1e-4 * value, `${name}: ${row[name]} is ${value}`);
    }

    const pairs = summary.comparisons.map((pair) => [pair.first, pair.second].map(([contestant, format]) => `${shown(contestant, 60)}, ${format}`).concat(`${pair.tasks}`, `${signed(pair.difference)}${pair.interval.map(signed).join(" to ")}`, `${pair.only_first}`, `${pair.only_second}`));
    assert.deepEqual(found["The same tasks, pair by pair"].slice(1).map((row) => row.slice(0, 6)), pairs);
    assert.equal(pairs.length, 9, "three forms of two contestants");

    const parts = (kind) => Object.keys(summary.columns[0].suites[FILE][kind]).sort(inBytes);
    const row = (name, pick) => [name, ...summary.columns.map((column) => inRate(pick(column.suites[FILE])))];
    const bySuite = [["Tasks", ...names], row("all", (suite) => suite.all), ...parts("groups").map((name) => row(`${shown(name, 60)}/`, (suite) => suite.groups[name])), ...parts("families").map((name) => row(shown(name, 60), (suite) => suite.families[name]))];
    assert.deepEqual(found[shown(FILE, 60)], bySuite);

    const why = Object.fromEntries(found["Why tasks were not solved"].slice(1).map(([name, ...counts]) => [name, counts]));
    const kinds = [...new Set(summary.columns.flatMap((column) => Object.keys(column.all.failures)))];
    assert.deepEqual(why, Object.fromEntries(kinds.map((kind) => [shown(kind, 60), summary.columns.map((column) => `${column.all.failures[kind] ?? 0}`)])));

    const settings = Object.fromEntries(found.Settings.slice(1));
    assert.deepEqual(settings, Object.fromEntries(Object.entries(summary.runs.run).map(([key, value]) => [shown(key, 60), shown(value, 300)])));

    // What is folded opens without scripts, too.
    const details = page.locator("article details").first();
    assert.equal(await details.locator("pre").first().isVisible(), false);
    await details.locator("summary").click();
    assert.equal(await details.locator("pre").first().isVisible(), true);
    assert.deepEqual(problems, []);
    await page.context().close();
});

test("every transcript is there, word for word, and long lines end where they must", async () => {
    const { page } = await openFile(browser, pages.results, LOOKS[0][1]);
    const found = await page.evaluate(() =>
        [...document.querySelectorAll("article.sample")].flatMap((article) =>
            [...article.querySelectorAll("details")].map((details) => [article.querySelector("h3"), details.querySelector("summary"), ...details.querySelectorAll("h4, pre")].map((element) => element.textContent)),
        ),
    );
    const expected = records.map((record) => {
        const verdict = record.is_solved ? "solved" : `not solved: ${shown(record.failure, 80)}`;
        const head = `${shown(record.contestant, 80)}, ${record.format}: ${verdict}, ${record.steps} turns, ${record.completion_tokens} tokens, ${record.seconds.toFixed(1)} s`;
        const reason = record.reason === null ? [] : [["grader", record.reason]];
        const messages = [...record.transcript.map(({ role, content }) => [role, content]), ...reason];
        return [`${shown(record.suite, 80)}: ${shown(record.task, 80)}`, head, ...messages.flatMap(([role, content]) => [role, shown(content, 6000)])];
    });
    const inOrder = (list) => list.map((each) => JSON.stringify(each)).sort();
    assert.deepEqual(inOrder(found), inOrder(expected));
    const said = records.flatMap((record) => record.transcript.map((message) => message.content));
    for (const [what, is] of [["a long line", (text) => text.length >= LONG], ["a payload", (text) => text.includes(HOSTILE)], ["a first line that is empty", (text) => text.startsWith("\n")]]) assert.ok(said.some(is), `nobody said ${what}`);
    assert.ok(readFileSync(pages.results).length < 2 << 20);

    // What stands there is what is seen: direction and markup of a text change nothing.
    await unfold(page);
    const evil = page.locator("article").filter({ hasText: "Say evil things" }).first();
    assert.equal(await evil.locator("h3").innerText(), `${shown(FILE, 80)}: ${shown(ID)}`);
    assert.ok((await evil.locator("pre").allInnerTexts()).includes(shown(TASKS[4].prompt)));
    const widths = await page.locator("pre").evaluateAll((all) => all.map((each) => each.scrollWidth - each.clientWidth));
    assert.deepEqual(widths.filter((width) => width > 0), [], "a line sticks out");
    await page.context().close();
});

test("everything is reached, seen, opened and scrolled by keyboard", async () => {
    const { page } = await openFile(browser, pages.results, LOOKS[2][1]);
    const places = await page.evaluate(() => {
        const all = [...document.querySelectorAll("summary, .wide")].filter((element) => element.localName === "summary" || !element.closest("details"));
        return all.map((element, index) => (element.dataset.place = index));
    });
    const reached = [];
    for (const _ of places) {
        await page.keyboard.press("Tab");
        reached.push(await page.evaluate(() => ({ place: Number(document.activeElement.dataset.place), outline: getComputedStyle(document.activeElement).outlineStyle })));
    }
    assert.deepEqual(reached, places.map((place) => ({ place, outline: "solid" })));

    // The last of them folds a try.
    const last = page.locator(":focus").locator("xpath=..");
    for (const [key, isOpen] of [["Enter", true], ["Space", false], ["Enter", true]]) {
        await page.keyboard.press(key);
        assert.equal(await last.evaluate((details) => details.open), isOpen);
    }
    assert.equal(await last.locator("pre").first().isVisible(), true);

    const wide = page.getByRole("group", { name: "Contestants in numbers" });
    await wide.focus();
    await page.keyboard.press("ArrowRight");
    await page.waitForFunction((element) => element.scrollLeft > 0, await wide.elementHandle());
    await page.context().close();
});

test("several runs stand beside each other under their names, and what they do not share is said", async () => {
    const { page } = await openFile(browser, pages.comparison, LOOKS[0][1]);
    assert.equal(await page.locator("h1").innerText(), await page.title());
    const title = await page.title();
    assert.ok(title.startsWith("Results of 2 runs: ") && title.includes("run") && title.includes(shown(ID)), title);
    const notes = await page.locator(".notes li").allInnerTexts();
    assert.equal(notes.length, 2, notes.join("\n"));
    assert.ok(notes.every((note) => note.includes(shown(FILE))), notes.join("\n"));
    const [head, ...rows] = (await tables(page))["Contestants in numbers"];
    assert.ok(head.includes("pass@2"));
    assert.equal(rows.length, 7);
    assert.ok(rows.some(([name]) => name === shown(`${ID}: ${STRONG}`, 60)), JSON.stringify(rows));
    await page.context().close();
});
