//! Looking at the data without training: `preview` and `stats`.

use std::process::Command;

use serde_json::Value;

use crate::tiny::{Ended, Tiny};

/// A subcommand with the settings of the tiny run.
fn look(tiny: &Tiny, what: &str, arguments: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_codeact-train"));
    command.arg(what).arg("--config").arg(tiny.path("settings.toml")).args(arguments).current_dir(tiny.path(""));
    Ended::new(command.output().unwrap())
}

#[test]
fn a_conversation_is_shown_by_number_by_id_and_at_random() {
    let tiny = Tiny::new();
    let by_number = look(&tiny, "preview", &["--index", "3"]).expect_code(0).stdout;
    assert!(by_number.contains("conversation 3, id \"row 3\", 2 turns"), "{by_number}");
    assert!(by_number.contains("train.jsonl` line 4"), "{by_number}");
    assert!(by_number.contains("<|im_start|>assistant\n⟦3 and one is 4<|im_end|>⟧"), "{by_number}");
    // The same id is in the training file and in the held-out one.
    let by_id = look(&tiny, "preview", &["--id", "row 3"]).expect_code(0).stdout;
    assert!(by_id.contains("held out, ") && by_id.matches("⟦3 and one is 4").count() == 2, "{by_id}");
    let drawn = look(&tiny, "preview", &["--random", "5"]).expect_code(0).stdout;
    assert_eq!(drawn.matches("conversation ").count(), 5, "{drawn}");
    let first = look(&tiny, "preview", &[]).expect_code(0).stdout;
    assert!(first.contains("learned text stands between") && !first.contains('\x1b'), "{first}");
    let colored = look(&tiny, "preview", &["--index", "3", "--color", "always"]).expect_code(0).stdout;
    assert!(colored.contains("\x1b[32m3 and one is 4<|im_end|>"), "{colored:?}");
    look(&tiny, "preview", &["--index", "24"]).expect_code(2).says("no conversation 24, they are numbered 0 to 23");
    look(&tiny, "preview", &["--id", "nobody"]).expect_code(2).says("no conversation has the id \"nobody\"");
    look(&tiny, "preview", &["--id", "x", "--index", "1"]).expect_code(2).says("cannot be used with");
    assert!(!tiny.path("run").exists());
}

#[test]
fn ids_are_listed_and_a_page_is_written() {
    let tiny = Tiny::new();
    let ids = look(&tiny, "preview", &["--index", "0", "--ids"]).expect_code(0).stdout;
    assert!(ids.contains("     0       1   \"<|im_start|>\"") && ids.contains(" + \"<|im_end|>\""), "{ids}");
    look(&tiny, "preview", &["--random", "2", "--html", "page.html"]).expect_code(0).says("wrote `page.html`");
    let page = String::from_utf8(tiny.read("page.html")).unwrap();
    assert_eq!(page.matches("<section>").count(), 2);
    assert!(page.starts_with("<!doctype html>") && page.contains("&lt;|im_start|&gt;"), "{page}");
}

#[test]
fn numbers_of_the_data_are_drawn_and_given_as_json() {
    let tiny = Tiny::new();
    let text = look(&tiny, "stats", &[]).expect_code(0).stdout;
    for part in
        ["24 rows, messages", "24 conversations an epoch, 100.0% of the rows", "held out", "this run takes 6", "2: 24"]
    {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
    let json = look(&tiny, "stats", &["--json"]).expect_code(0).stdout;
    let stats: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(stats["conversations"], 24);
    assert_eq!(stats["plan"]["steps_of_run"], 6);
    // Without weights the tokenizer is enough.
    std::fs::remove_file(tiny.path("model/model.safetensors")).unwrap();
    look(&tiny, "stats", &[]).expect_code(0);
    look(&tiny, "stats", &["--set", "data.0.path=no.jsonl"]).expect_code(2).says("there is no such file");
    look(&tiny, "stats", &["--set", "data.0.pth=x"]).expect_code(2).says("did you mean `path`?");
}

#[test]
fn the_plan_is_stored_with_the_run() {
    let tiny = Tiny::new();
    tiny.run(&[]).expect_code(0);
    let text = String::from_utf8(tiny.read("run/plan.jsonl")).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 7);
    assert_eq!((&lines[0]["steps"], &lines[0]["conversations"]), (&6.into(), &24.into()));
    let metrics = String::from_utf8(tiny.read("run/metrics.jsonl")).unwrap();
    let steps = metrics.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    for (planned, taken) in lines[1..].iter().zip(steps.filter(|row| row["loss"].is_f64())) {
        for key in ["step", "epoch", "tokens", "supervised_tokens"] {
            assert_eq!(planned[key], taken[key], "{key}");
        }
    }
}

#[test]
fn rows_that_cannot_be_used_are_skipped_where_asked_and_told() {
    let tiny = Tiny::new();
    let good = String::from_utf8(tiny.read("train.jsonl")).unwrap();
    tiny.write("train.jsonl", &format!("{{\"conversations\": []}}\n{good}[1]\n"));
    tiny.run(&["--dry-run"]).expect_code(2).says("train.jsonl` line 1: the conversation has no messages");
    let ended = tiny.run(&["--dry-run", "--set", "data.0.on_bad_row=skip"]).expect_code(0);
    for part in
        ["26 conversations", "2 rejected", "1 rejected, no messages; the first in line 1", "the first in line 26"]
    {
        assert!(ended.stdout.contains(part), "no `{part}` in:\n{}", ended.stdout);
    }
}
