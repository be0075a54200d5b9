//! Bad input: one clear error, exit code 2, nothing written.

use crate::tiny::Tiny;

/// Runs with a fault: exit code 2, the text, and nothing written.
#[track_caller]
fn refused(tiny: &Tiny, arguments: &[&str], texts: &[&str]) {
    let mut ended = tiny.run(arguments).expect_code(2);
    for text in texts {
        ended = ended.says(text);
    }
    assert!(ended.stdout.is_empty(), "{}", ended.stdout);
    assert!(!tiny.path("run").exists(), "something was written");
}

const GOOD_ROW: &str =
    r#"{"id":"a","conversations":[{"role":"user","content":"x"},{"role":"assistant","content":"y"}]}"#;

#[test]
fn faults_of_the_settings_are_refused() {
    let tiny = Tiny::new();
    refused(&tiny, &["--set", "train.stpes=3"], &["`train.stpes` is not a setting", "did you mean `steps`?"]);
    refused(&tiny, &["--set", "train.device=cuda"], &["hint: ", "`--device cpu`"]);
    refused(&tiny, &["--set", "train.threads=100000"], &["`train.threads` is 100000, expected 1 to 1024"]);
    refused(&tiny, &["--set", "lora.dropout=1"], &["`lora.dropout` is 1.0, expected 0 or more and less than 1"]);
    std::fs::remove_file(tiny.path("settings.toml")).unwrap();
    refused(&tiny, &[], &["cannot read settings", "settings.toml"]);
}

#[test]
fn a_missing_model_is_refused() {
    let tiny = Tiny::new();
    refused(&tiny, &["--set", "model.name=./nowhere"], &["`./nowhere` does not exist"]);
}

#[test]
fn faults_of_the_data_are_refused_with_file_and_line() {
    let tiny = Tiny::new();
    let cases = [
        ("{\"id\": \"b\", ", "line 2: column"),
        (
            r#"{"id":"b","conversations":[{"role":"user","content":"x"},{"role":"user","content":"y"}]}"#,
            "repeats role `user`",
        ),
        (r#"{"id":"b","conversations":[{"role":"user","content":"x"}]}"#, "nothing to learn from"),
        (r#"{"id":"b","conversations":[{"role":"tol","content":"x"}]}"#, "unknown role `tol`"),
        (r#"{"id":"b","conversation":[]}"#, "has no `conversations`, only `conversation`"),
    ];
    for (row, what) in cases {
        tiny.write("train.jsonl", &format!("{GOOD_ROW}\n{row}\n"));
        refused(&tiny, &[], &["train.jsonl` line 2", what, "hint: ", "`on_bad_row = \"skip\"`"]);
    }
}

#[test]
fn missing_and_empty_data_is_refused() {
    let tiny = Tiny::new();
    refused(&tiny, &["--set", "data.0.path=no.jsonl"], &["data `no.jsonl`: there is no such file"]);
    tiny.write("train.jsonl", "\n");
    refused(&tiny, &[], &["train.jsonl` holds no conversations"]);
    std::fs::create_dir(tiny.path("empty")).unwrap();
    refused(
        &tiny,
        &["--set", "data.0.path=empty"],
        &["data `empty`: the folder has no .jsonl, .json or .parquet file"],
    );
}

#[test]
fn too_long_conversations_are_dropped_cut_or_refused_and_counted() {
    let tiny = Tiny::new();
    let long = GOOD_ROW.replace("\"y\"", &format!("{:?}", "y".repeat(300)));
    // Its answer begins beyond the bound: nothing supervised is left when it is cut.
    let long_question = GOOD_ROW.replace("\"x\"", &format!("{:?}", "x".repeat(300)));
    tiny.write("train.jsonl", &format!("{GOOD_ROW}\n{long}\n{GOOD_ROW}\n{long_question}\n"));
    let dry = |policy: &str| {
        let ended = tiny.run(&["--dry-run", "--set", &format!("train.too_long={policy}")]).expect_code(0);
        ended.stdout
    };
    let dropped = dry("drop");
    assert!(dropped.contains("4 conversations, 2 dropped as too long, 0 truncated"), "{dropped}");
    let cut = dry("truncate");
    assert!(cut.contains("4 conversations, 1 dropped as too long, 1 truncated"), "{cut}");
    refused(&tiny, &["--set", "train.too_long=error"], &["train.jsonl` line 2: the conversation has", "the 220 of"]);
    tiny.write("train.jsonl", &format!("{long}\n"));
    refused(
        &tiny,
        &[],
        &["no conversation of train data is left: 1 read, 0 filtered out, 1 longer than the 220 tokens"],
    );
}

#[test]
fn conversations_beyond_the_context_of_the_model_are_refused() {
    let tiny = Tiny::new();
    let long = GOOD_ROW.replace("\"y\"", &format!("{:?}", "y".repeat(600)));
    tiny.write("train.jsonl", &format!("{long}\n"));
    refused(
        &tiny,
        &["--set", "train.pack_tokens=1000"],
        &["was made for at most 512", "train.sequence_tokens_max=512"],
    );
}

#[test]
fn a_folder_of_files_is_read_in_order_of_name() {
    let tiny = Tiny::new();
    std::fs::create_dir(tiny.path("many")).unwrap();
    tiny.write_data("many/b.jsonl", 2);
    tiny.write_data("many/a.jsonl", 3);
    tiny.write("many/notes.txt", "not data");
    let ended = tiny.run(&["--dry-run", "--set", "data.0.path=many"]).expect_code(0);
    let (a, b) = (ended.stdout.find("a.jsonl").unwrap(), ended.stdout.find("b.jsonl").unwrap());
    assert!(a < b && ended.stdout.contains("train      3 conversations"), "{}", ended.stdout);
}

#[test]
fn a_tokenizer_larger_than_the_model_is_refused() {
    let tiny = Tiny::new();
    let config = String::from_utf8(tiny.read("model/config.json")).unwrap();
    tiny.write("model/config.json", &config.replace("\"vocab_size\":259", "\"vocab_size\":200"));
    refused(&tiny, &[], &["has 259 tokens, but its embedding only 200 rows"]);
}

#[test]
fn chatml_tokens_on_frozen_rows_are_refused() {
    let padded = Tiny::padded();
    let chatml = ["--set", "model.chat_format=chatml"];
    refused(
        &padded,
        &chatml,
        &["`<|im_start|>` would get id 257", "the 259 embedding rows that stay frozen", "hint: take"],
    );
    // A tokenizer that brings the tokens has rows for them.
    Tiny::new().run(&[&chatml[..], &["--dry-run"]].concat()).expect_code(0);
}
