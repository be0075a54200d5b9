//! The page about a run: of whole and broken folders, of several runs, and never anything but a page.

use std::process::Command;

use codeact_train::report::Run;

use crate::tiny::{Ended, Tiny, names};

fn report(tiny: &Tiny, arguments: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_codeact-train"));
    Ended::new(command.arg("report").args(arguments).current_dir(tiny.path("")).output().unwrap())
}

fn page(tiny: &Tiny, name: &str) -> String {
    let page = String::from_utf8(tiny.read(name)).unwrap();
    assert_is_harmless(&page);
    page
}

/// Elements of the page; none of them runs, loads or leads elsewhere.
const ELEMENTS: [&str; 42] = [
    "!doctype", "html", "head", "meta", "title", "style", "body", "main", "header", "footer", "section", "article",
    "h1", "h2", "h3", "p", "span", "code", "small", "br", "pre", "ul", "li", "dl", "dt", "dd", "div", "figure",
    "details", "summary", "table", "thead", "tbody", "tr", "th", "td", "svg", "desc", "g", "path", "circle", "text",
];

/// Only elements and attributes of the page's own, a policy, and every number a number.
#[track_caller]
fn assert_is_harmless(page: &str) {
    assert!(page.contains("content=\"default-src 'none'; style-src 'sha256-"), "no policy");
    // Texts have no bare angle brackets, so these are the tags, and between is text.
    for part in page.split('<').skip(1) {
        let (tag, text) = part.split_once('>').unwrap_or_else(|| panic!("no end: {part}"));
        let name = tag.trim_start_matches('/').split([' ', '\n']).next().unwrap();
        assert!(ELEMENTS.contains(&name), "<{tag}>");
        for attribute in [" on", " src=", " href=", " style=", " action=", "javascript:"] {
            assert!(!tag.contains(attribute), "<{tag}>");
        }
        assert!(!["NaN", "inf"].iter().any(|word| tag.contains(word) || text.trim() == *word), "<{tag}>{text}");
    }
    let style = page.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    assert!(!style.contains("url(") && !style.contains("@import"));
    for name in ["svg", "main", "table", "figure", "details", "pre", "title", "style"] {
        let opened = page.matches(&format!("<{name}>")).count() + page.matches(&format!("<{name} ")).count();
        assert_eq!(opened, page.matches(&format!("</{name}>")).count(), "{name}");
    }
}

#[test]
fn a_finished_run_has_a_page_with_all_there_is() {
    let tiny = Tiny::new();
    tiny.run(&[]).expect_code(0);
    report(&tiny, &["run"]).expect_code(0).says("wrote `run/report.html`");
    let page = page(&tiny, "run/report.html");
    for text in [
        "<h1>Run run</h1>",
        "finished",
        "6 of 6",
        "Training loss",
        "Held-out loss",
        "Learning rate",
        "Gradient norm",
        "Speed",
        "train.jsonl",
        "validation.jsonl",
        "measured only",
        "100.0%",
        "pack_tokens = 220",
        "clipped beyond",
    ] {
        assert!(page.contains(text), "no {text:?}");
    }
    assert!(!page.contains("Success rate"), "a chart of nothing");
    // The page belongs to the run: it may be continued and replaced.
    tiny.run(&["--set", "output.overwrite=true", "--set", "train.steps=1"]).expect_code(0);
    assert!(!names(&tiny.path("run")).contains(&"report.html".to_owned()));
}

#[test]
fn a_run_that_goes_on_or_was_killed_has_a_page_too() {
    let tiny = Tiny::new();
    std::fs::create_dir(tiny.path("run")).unwrap();
    tiny.write("run/metrics.jsonl", "{\"step\":1,\"loss\":2.5}\n{\"step\":2,\"loss\":NaN}\n{\"step\":3,\"lo");
    tiny.write("run/plan.jsonl", "{\"steps\":9}\n");
    report(&tiny, &["run", "--out", "page.html"]).expect_code(0);
    let page = page(&tiny, "page.html");
    for text in ["step 1 of 9: going on, or stopped", "line 2 is not a JSON object", "last line is incomplete"] {
        assert!(page.contains(text), "no {text:?}");
    }
    assert_eq!(names(&tiny.path("run")), ["metrics.jsonl", "plan.jsonl"]);
}

#[test]
fn a_run_is_finished_whatever_kind_of_results_it_leaves() {
    let tiny = Tiny::new();
    std::fs::create_dir(tiny.path("run")).unwrap();
    tiny.write("run/metrics.jsonl", "{\"step\":1,\"loss\":2.5}\n");
    tiny.write("run/plan.jsonl", "{\"steps\":1}\n");
    let state = || Run::load(&tiny.path("run")).unwrap().state();
    assert_eq!(state(), "all steps taken, no results yet");
    // Of an adapter, and of all weights.
    for results in ["adapter", "merged", "model"] {
        std::fs::create_dir(tiny.path("run").join(results)).unwrap();
        assert_eq!(state(), "finished", "{results}");
        std::fs::remove_dir(tiny.path("run").join(results)).unwrap();
    }
}

#[test]
fn several_runs_are_compared() {
    let tiny = Tiny::new();
    tiny.run(&["--set", "train.steps=2"]).expect_code(0);
    tiny.run(&["--set", "train.steps=2", "--set", "lora.rank=2", "--set", "output.dir=other"]).expect_code(0);
    report(&tiny, &["run", "other"]).expect_code(0).says("wrote `run/comparison.html`");
    let page = page(&tiny, "run/comparison.html");
    for text in ["2 runs: run, other", "Settings that differ", "<code>lora.rank</code>", "Data of other"] {
        assert!(page.contains(text), "no {text:?}");
    }
    assert!(!page.contains("<code>lora.alpha</code>"));
}

#[test]
fn what_strangers_wrote_is_never_markup() {
    const HOSTILE: &str = "</pre></style></title></script><script>alert(1)</script><img src=x onerror=alert(1)>";
    let tiny = Tiny::new();
    let folder = "a<b>&\"'run";
    std::fs::create_dir(tiny.path(folder)).unwrap();
    let write = |name: &str, content: String| tiny.write(&format!("{folder}/{name}"), &content);
    let line = |value: serde_json::Value| format!("{value}\n");
    let losses = serde_json::json!({HOSTILE: 1.0, format!("{HOSTILE}2"): 2.0});
    let rows = [
        serde_json::json!({"step": 1, "loss": 1.0, "loss_by_source": losses}),
        serde_json::json!({"step": 1, "held_out_loss": 1.0, "held_out_by_source": losses}),
        serde_json::json!({"step": 1, "checkpoint": HOSTILE, "best": true}),
    ];
    write("metrics.jsonl", rows.into_iter().map(line).collect());
    write("plan.jsonl", line(serde_json::json!({"steps": 1, "files": [{"path": HOSTILE, "sha256": HOSTILE}, 5]})));
    write("samples.jsonl", line(serde_json::json!({"step": 1, "prompt": HOSTILE, "text": HOSTILE, "source": HOSTILE})));
    write("config.toml", format!("[model]\nname = '{HOSTILE}'\n[lora]\nrank = 1\nalpha = {HOSTILE:?}\n"));
    report(&tiny, &[folder, "--out", "page.html"]).expect_code(0);
    let text = page(&tiny, "page.html");
    assert!(text.matches("&lt;script&gt;alert(1)").count() >= 6, "the texts are there, escaped");
}

#[test]
fn a_hundred_thousand_steps_are_a_small_page() {
    let tiny = Tiny::new();
    std::fs::create_dir(tiny.path("run")).unwrap();
    let rows = (1..=100_000).map(|step| {
        let noise = f64::from(step * 7919 % 1000) / 1000.0;
        format!(
            "{{\"step\":{step},\"loss\":{},\"learning_rate\":{},\"gradient_norm\":{},\"tokens\":700,\
             \"supervised_tokens\":300,\"seconds\":{},\"memory_bytes\":{}}}\n",
            2.0 + noise,
            1e-3 * noise,
            1e3 * noise + 1e-3,
            1.0 + noise,
            1_000_000_000 + step
        )
    });
    tiny.write("run/metrics.jsonl", &rows.collect::<String>());
    report(&tiny, &["run"]).expect_code(0);
    let page = page(&tiny, "run/report.html");
    assert!(page.len() < 500_000, "{} bytes", page.len());
    assert!(page.contains("100,000") && page.contains("logarithmic scale"));
}

#[test]
fn folders_without_a_run_and_too_many_runs_are_refused() {
    let tiny = Tiny::new();
    report(&tiny, &["model"]).expect_code(2).says("`model` holds no run").says("hint: ");
    report(&tiny, &["missing"]).expect_code(2).says("`missing` holds no run");
    report(&tiny, &["run"; 9]).expect_code(2).says("9 runs, but a page can tell at most 8 apart");
    report(&tiny, &[]).expect_code(2);
}
