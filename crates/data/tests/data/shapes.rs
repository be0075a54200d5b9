//! Rows as their publishers write them, and files as people have them.

use std::io::Write;

use codeact_data::{DataError, LengthPolicy, LoadOptions, OnBadRow, Role, RowFormat, Shape, Source, TooLong};
use serde_json::{Value, json};

use crate::room::{Room, options, row, skipping, source};
use crate::tables;

/// The text of a conversation in the tiny ChatML format.
fn chatml(turns: &[(&str, &str)]) -> String {
    turns.iter().map(|(role, text)| format!("<|im_start|>{role}\n{text}<|im_end|>\n")).collect()
}

#[track_caller]
fn becomes(row: Value, turns: &[(&str, &str)], learned: &[&str], shape: Shape) {
    let room = Room::new();
    let path = room.lines("a.jsonl", &[row]);
    let (text, found) = room.one(&path).unwrap();
    assert_eq!(text, chatml(turns));
    let wanted: Vec<String> = learned.iter().map(|text| format!("{text}<|im_end|>")).collect();
    assert_eq!(found, wanted);
    assert_eq!(room.load(&[source(&[&path])]).unwrap().reports[0].shape, shape);
}

#[test]
fn published_rows_load_as_they_are() {
    let said = &[("user", "Hi"), ("assistant", "Yes")];
    let told = &[("system", "Be kind"), ("user", "Hi"), ("assistant", "Yes")];
    becomes(
        json!({"id": "x", "conversations": [{"role": "user", "content": "Hi"}, {"content": "Yes", "role": "assistant"}]}),
        said,
        &["Yes"],
        Shape::Messages,
    );
    // UltraChat-200k.
    let ultra = json!({"prompt": "Hi", "prompt_id": "f00", "messages": [
        {"content": "Hi", "role": "user"}, {"content": "Yes", "role": "assistant"}]});
    becomes(ultra, said, &["Yes"], Shape::Messages);
    // ShareGPT, unfiltered and as others export it.
    let share = json!({"id": "QWJ_0", "conversations": [
        {"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yes", "markdown": null, "text": null}]});
    becomes(share, said, &["Yes"], Shape::ShareGpt);
    let system = json!({"conversations": [
        {"from": "system", "value": "Be kind"}, {"from": "user", "value": "Hi"}, {"from": "bard", "value": "Yes"}]});
    becomes(system, told, &["Yes"], Shape::ShareGpt);
    let orca = json!({"id": "flan.1", "system_prompt": "Be kind", "question": "Hi", "response": "Yes"});
    becomes(orca, told, &["Yes"], Shape::OpenOrca);
    let orca = json!({"id": "flan.2", "system_prompt": "", "question": "Hi", "response": "Yes"});
    becomes(orca, said, &["Yes"], Shape::OpenOrca);
    let capybara = json!({"source": "Dove", "conversation": [
        {"input": "Hi", "output": "Yes"}, {"input": "So?", "output": "No"}]});
    let twice = [said[0], said[1], ("user", "So?"), ("assistant", "No")];
    becomes(capybara, &twice, &["Yes", "No"], Shape::Capybara);
    becomes(json!({"id": "0", "data": ["Hi", "Yes", "So?", "No"]}), &twice, &["Yes", "No"], Shape::UltraChat);
    let alpaca = json!({"instruction": "Add", "input": "1 2", "output": "3"});
    becomes(alpaca, &[("user", "Add\n\n1 2"), ("assistant", "3")], &["3"], Shape::Alpaca);
    let history = json!({"instruction": "So?", "input": "", "output": "No", "history": [["Hi", "Yes"]]});
    becomes(history, &twice, &["Yes", "No"], Shape::Alpaca);
}

#[test]
fn what_tools_say_is_an_observation_of_the_user() {
    let turn = |role: &str, content: &str| json!({"role": role, "content": content});
    let used = |role: &str| json!({"messages": [turn("user", "Hi"), turn("assistant", "<execute>1</execute>"), turn(role, "1"), turn("assistant", "One")]});
    let turns =
        [("user", "Hi"), ("assistant", "<execute>1</execute>"), ("user", "Observation:\n1"), ("assistant", "One")];
    for role in ["tool", "observation", "function", "ipython", "environment"] {
        becomes(used(role), &turns, &["<execute>1</execute>", "One"], Shape::Messages);
    }
    // Marked already, and two at once.
    let both = json!({"messages": [turn("user", "Hi"), turn("assistant", "go"), turn("tool", "Observation:\na"),
        turn("tool", "Observation:\nb"), turn("assistant", "One")]});
    let turns = [("user", "Hi"), ("assistant", "go"), ("user", "Observation:\na\nb"), ("assistant", "One")];
    becomes(both, &turns, &["go", "One"], Shape::Messages);
}

#[test]
fn what_tools_say_is_never_learned_even_where_the_user_is() {
    let room = Room::new();
    let turn = |role: &str, content: &str| json!({"role": role, "content": content});
    let path = room.lines(
        "a.jsonl",
        &[json!({"messages": [
        turn("user", "Hi"), turn("assistant", "go"), turn("user", "Observation:\n1"), turn("assistant", "on"),
        turn("tool", "2"), turn("assistant", "One")]})],
    );
    let both = Source { roles_to_train: vec![Role::User, Role::Assistant], ..source(&[&path]) };
    let data = room.load(&[both]).unwrap();
    let example = data.train.example(0).unwrap();
    let ids = example.token_ids.iter().zip(&example.is_target).filter(|(_, target)| **target).map(|(id, _)| *id);
    let learned = room.chat.decode(&ids.collect::<Vec<_>>(), false);
    assert_eq!(learned, "Hi<|im_end|>go<|im_end|>on<|im_end|>One<|im_end|>");
}

#[test]
fn openai_rows_keep_their_weights_and_parts() {
    let row = json!({"messages": [
        {"role": "developer", "content": "Be kind"},
        {"role": "user", "content": [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]},
        {"role": "assistant", "content": "No", "weight": 0},
        {"role": "user", "content": "So?"},
        {"role": "assistant", "content": "Yes", "weight": 1}]});
    let turns = [("system", "Be kind"), ("user", "Hi"), ("assistant", "No"), ("user", "So?"), ("assistant", "Yes")];
    becomes(row, &turns, &["Yes"], Shape::Messages);
}

#[test]
fn rows_that_cannot_be_used_are_counted_by_reason_with_their_first_line() {
    let room = Room::new();
    let turn = |role: &str, content: Value| json!({"role": role, "content": content});
    let calls =
        json!({"messages": [turn("user", json!("a")), {"role": "assistant", "content": null, "tool_calls": [{}]}]});
    let image = json!({"messages": [turn("user", json!([{"type": "image_url"}])), turn("assistant", json!("b"))]});
    let unlearned =
        json!({"messages": [turn("user", json!("a")), {"role": "assistant", "content": "b", "train": false}]});
    let half = json!({"messages": [turn("user", json!("a")), {"role": "assistant", "content": "b", "weight": 0.5}]});
    let bad = [
        row(1),
        json!({"conversations": []}),
        json!({"messages": [turn("assistant", json!("a"))]}),
        calls,
        image,
        unlearned,
        half,
        json!({"messages": [turn("wizard", json!("a"))]}),
        json!({"conversations": []}),
        json!([1]),
    ];
    let mut text: String = bad.iter().map(|row| format!("{row}\n")).collect();
    text.push_str("{\"messages\": [\n");
    let mut bytes = text.into_bytes();
    bytes.extend(b"{\"id\": \"\xff\"}\n");
    let path = room.write("a.jsonl", bytes);
    let data = room.load(&[skipping(&[&path])]).unwrap();
    let report = &data.reports[0];
    let counted: Vec<(&str, u64, u64)> =
        report.rejected.iter().map(|one| (one.kind.as_str(), one.count, one.first_line)).collect();
    let wanted = [
        ("another shape than the file", 2, 7),
        ("no messages", 2, 2),
        ("not JSON", 1, 11),
        ("not UTF-8", 1, 12),
        ("not plain text", 2, 4),
        ("nothing to learn", 1, 6),
        ("the answer comes first", 1, 3),
        ("unknown role", 1, 8),
    ];
    assert_eq!(counted, wanted);
    assert_eq!((report.row_count, report.train_count), (12, 1));

    let error = room.load(&[source(&[&path])]).unwrap_err();
    assert!(matches!(error, DataError::Row { line: 2, .. }), "{error}");
    assert!(error.to_string().contains("`on_bad_row = \"skip\"`"), "{error}");
}

#[test]
fn what_a_file_says_cannot_command_a_terminal_through_an_error() {
    let room = Room::new();
    let path = room.lines("a.jsonl", &[json!({"messages": [{"role": "\x1b[2Jx", "content": "a"}]}), row(1)]);
    let error = room.load(&[source(&[&path])]).unwrap_err().to_string();
    assert!(error.contains("unknown role `\u{241b}[2Jx`") && !error.contains('\x1b'), "{error}");
    let report = &room.load(&[skipping(&[&path])]).unwrap().reports[0];
    assert!(!report.rejected[0].example.contains('\x1b'));
}

#[test]
fn unused_keys_are_reported_and_a_shape_can_be_demanded() {
    let room = Room::new();
    let mut odd = row(1);
    odd["source"] = json!("web");
    odd["score"] = Value::Null;
    odd["conversations"][0]["lang"] = json!("en");
    let path = room.lines("a.jsonl", &[odd]);
    let report = &room.load(&[source(&[&path])]).unwrap().reports[0];
    assert_eq!(report.ignored_keys, ["messages.lang", "source"]);
    let wrong = Source { format: RowFormat::Alpaca, ..source(&[&path]) };
    let error = room.load(&[wrong]).unwrap_err().to_string();
    assert!(error.contains("has no `instruction`, only `conversations`, `source`"), "{error}");
    let nothing = room.lines("b.jsonl", &[json!({"text": "a", "label": 1})]);
    let error = room.load(&[source(&[&nothing])]).unwrap_err().to_string();
    assert!(error.contains("no known shape: it has `text`, `label`; known are"), "{error}");
    let all_bad = Source { on_bad_row: OnBadRow::Skip, ..source(&[&nothing]) };
    let error = room.load(&[all_bad]).unwrap_err().to_string();
    assert!(error.contains("none of its 1 rows can be used; the first one, line 1: no known shape"), "{error}");
}

#[test]
fn the_same_rows_load_from_every_kind_of_file() {
    let room = Room::new();
    let rows: Vec<Value> = (0..5).map(row).collect();
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let packed = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    // Two members in one file, as tools that append write them.
    let (front, back) = lines.split_at(lines.len() / 2);
    let files = [
        room.write("a.jsonl", &lines),
        room.write("b.json", serde_json::to_string_pretty(&rows).unwrap()),
        room.write("c.jsonl.gz", [packed(front.as_bytes()), packed(back.as_bytes())].concat()),
        room.write("d.jsonl.zst", zstd::encode_all(lines.as_bytes(), 1).unwrap()),
        // A name says nothing about what is inside.
        room.write("e.data", &lines),
        tables::conversations(&room.path("f.parquet"), &rows),
    ];
    let example = |path, index| room.load(&[source(&[path])]).unwrap().train.example(index).unwrap();
    for path in &files {
        let data = room.load(&[source(&[path])]).unwrap();
        assert_eq!(data.train.documents.len(), 5, "{}", path.display());
        for index in 0..5 {
            assert_eq!(data.train.example(index).unwrap(), example(&files[0], index), "{}", path.display());
            assert_eq!(data.train.entry(index).1.id, format!("row/{index}"));
        }
    }
}

#[test]
fn text_that_is_not_marked_as_text_is_text_all_the_same() {
    let room = Room::new();
    let rows: Vec<Value> = (0..3).map(row).collect();
    let marked = room.load(&[source(&[&tables::conversations(&room.path("a.parquet"), &rows)])]).unwrap();
    let unmarked = room.load(&[source(&[&tables::unmarked(&room.path("b.parquet"), &rows)])]).unwrap();
    assert_eq!(unmarked.content_hash, marked.content_hash);
}

#[test]
fn columns_of_other_shapes_that_are_empty_do_not_matter() {
    let row = json!({"conversations": null, "messages": [{"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes"}]});
    becomes(row, &[("user", "Hi"), ("assistant", "Yes")], &["Yes"], Shape::Messages);
}

#[test]
fn a_damaged_file_is_an_error_whatever_the_policy() {
    let room = Room::new();
    let rows: Vec<Value> = (0..300).map(row).collect();
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let mut zst = zstd::encode_all(lines.as_bytes(), 1).unwrap();
    zst.truncate(zst.len() - 20);
    let table = tables::conversations(&room.path("whole.parquet"), &rows);
    let mut table = std::fs::read(table).unwrap();
    table.truncate(table.len() - 9);
    let array = serde_json::to_string(&rows).unwrap();
    for (name, bytes, what) in [
        ("a.jsonl.zst", zst, "cannot be read on"),
        ("b.parquet", table, "not a sound Parquet table"),
        ("c.json", array.as_bytes()[..array.len() - 1].to_vec(), "seems to be cut off"),
        ("d.json", b"\n".to_vec(), "holds no conversations"),
    ] {
        let path = room.write(name, bytes);
        let error = room.load(&[skipping(&[&path])]).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains(name), "{error}");
    }
}

/// A row of two conversations as TRL has them, with the prompt in both.
fn pair(chosen: &str, rejected: &str) -> Value {
    let said = |text: &str| json!([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": text}]);
    json!({"id": "p", "chosen": said(chosen), "rejected": said(rejected), "score_chosen": 9.0})
}

#[test]
fn a_pair_is_one_document_of_two_conversations() {
    let room = Room::new();
    let turns = |text: &str| json!([{"role": "assistant", "content": text}]);
    let rows = [
        pair("Yes", "Never"),
        json!({"id": "p", "prompt": [{"role": "user", "content": "Hi"}], "chosen": turns("Yes"), "rejected": turns("Never")}),
        json!({"id": "p", "prompt": "Hi", "chosen": "Yes", "rejected": "Never"}),
        json!({"id": "p", "prompt": "Hi",
            "chosen": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yes"}],
            "rejected": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Never"}]}),
    ];
    for row in rows {
        let path = room.lines("a.jsonl", &[row]);
        let data = room.load(&[source(&[&path])]).unwrap();
        assert_eq!((data.reports[0].shape, data.train.documents.len()), (Shape::Preference, 1));
        assert!(data.train.is_pair(0) && data.train.entry(0).1.id == "p");
        let both = data.train.conversations(0).unwrap();
        for (example, answer) in both.iter().zip(["Yes", "Never"]) {
            let text = room.chat.decode(&example.token_ids, false);
            assert_eq!(text, chatml(&[("user", "Hi"), ("assistant", answer)]));
            let learned = example.token_ids.iter().zip(&example.is_target).filter(|(_, is_target)| **is_target);
            let learned: Vec<u32> = learned.map(|(id, _)| *id).collect();
            assert_eq!(room.chat.decode(&learned, false), format!("{answer}<|im_end|>"));
        }
        let [chosen, rejected] = [0, 1].map(|index| both[index].token_ids.len());
        let document = data.train.documents[0];
        assert_eq!((document.token_count, data.train.longest()), (chosen + rejected, rejected));
        assert_eq!(data.train.lengths(0), [chosen, rejected]);
        // The whole is the two end to end.
        assert_eq!(data.train.example(0).unwrap().token_ids.len(), chosen + rejected);
    }
}

#[test]
fn pairs_that_are_none_are_refused_and_long_ones_are_not_cut() {
    let room = Room::new();
    let mut other = pair("Yes", "Never");
    other["rejected"][0]["content"] = json!("Ho");
    let mut alone = pair("Yes", "No");
    alone.as_object_mut().unwrap().shift_remove("rejected");
    let mut no_role = pair("Yes", "No");
    no_role["rejected"][1]["role"] = json!("tol");
    for (row, what) in [
        (other, "answer different prompts"),
        (pair("Yes", "Yes"), "are the same"),
        (alone, "has no `rejected`"),
        (json!({"prompt": [], "chosen": "Yes", "rejected": "No"}), "`chosen` is text, expected a list of messages"),
        (json!({"chosen": [7], "rejected": []}), "`chosen`: `messages`: item 0 is a number"),
        (no_role, "`rejected`: message 1 has unknown role `tol`"),
    ] {
        let format = RowFormat::Preference;
        let path = room.lines("a.jsonl", &[row]);
        let error = room.load(&[Source { format, ..source(&[&path]) }]).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
    // UltraFeedback has both: pairs are what is asked for, and a conversation where nothing is.
    let mut ultra = pair("Yes", "Never");
    ultra["messages"] = ultra["chosen"].clone();
    let path = room.lines("b.jsonl", &[ultra, pair("Oh yes", "No, not at all")]);
    let shape = |format| room.load(&[Source { format, ..skipping(&[&path]) }]).unwrap().reports[0].shape;
    assert_eq!((shape(RowFormat::Auto), shape(RowFormat::Preference)), (Shape::Messages, Shape::Preference));
    let load = |tokens_max| {
        let policy = LengthPolicy { tokens_max, too_long: TooLong::Truncate };
        let pairs = Source { format: RowFormat::Preference, ..source(&[&path]) };
        codeact_data::load(&[pairs], &room.chat, LoadOptions { policy, ..options(None) }, &()).unwrap()
    };
    let all = load(2000);
    let shorter = all.train.documents.iter().map(|document| document.token_count).min().unwrap();
    let cut = load(shorter);
    assert_eq!((cut.train.documents.len(), cut.reports[0].dropped, cut.reports[0].truncated), (1, 1, 0));
    assert_ne!(cut.content_hash, all.content_hash);
}

#[test]
fn a_pair_is_what_a_row_has_that_is_nothing_else() {
    let room = Room::new();
    let beside = |keys: Value| {
        let mut row = pair("Yes", "Never");
        row.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        let path = room.lines("a.jsonl", &[row]);
        room.load(&[source(&[&path])]).unwrap().reports[0].shape
    };
    for (keys, shape) in [
        (json!({"question": "Hi", "response": "Yes"}), Shape::OpenOrca),
        (json!({"instruction": "Hi", "output": "Yes"}), Shape::Alpaca),
        (json!({"conversation": [{"input": "Hi", "output": "Yes"}]}), Shape::Capybara),
        (json!({"data": ["Hi", "Yes"]}), Shape::UltraChat),
        (json!({"question": "Hi", "system": "Be kind"}), Shape::Preference),
    ] {
        assert_eq!(beside(keys), shape);
    }
}

#[test]
fn a_prompt_that_a_pair_does_not_say_is_a_key_that_is_not_used() {
    let room = Room::new();
    for (prompt, is_ignored) in [
        (json!("Hi"), false),
        (Value::Null, false),
        (json!("Hi\n"), true),
        (json!(7), true),
        (json!({"role": "user", "content": "Hi"}), true),
    ] {
        let mut row = pair("Yes", "Never");
        row["prompt"] = prompt.clone();
        let path = room.lines("a.jsonl", &[row]);
        let data = room.load(&[source(&[&path])]).unwrap();
        let ignored = &data.reports[0].ignored_keys;
        assert_eq!(ignored.contains(&"prompt".to_owned()), is_ignored, "{prompt}: {ignored:?}");
    }
}

#[test]
fn pairs_come_out_of_the_cache_as_they_went_in() {
    let room = Room::new();
    let path = room.lines("a.jsonl", &[pair("Yes", "Never"), pair("a", "b")]);
    let cache = room.path("cache");
    let load = || codeact_data::load(&[source(&[&path])], &room.chat, options(Some(&cache)), &()).unwrap();
    let (first, second) = (load(), load());
    assert!(!first.reports[0].is_cached && second.reports[0].is_cached);
    for index in 0..2 {
        assert_eq!(first.train.conversations(index).unwrap(), second.train.conversations(index).unwrap());
    }
    assert_eq!(first.content_hash, second.content_hash);
}
