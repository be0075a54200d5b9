//! Files that somebody else made, damaged or hostile: reading them ends, in an error or in conversations, and never in a
//! panic. `CODEACT_FUZZ_CASES=1000000` runs a million of each kind.
#![allow(clippy::unwrap_used)] // a test may fail where it stands

#[path = "../../../tests/fuzz/allocation.rs"]
mod allocation;
#[path = "../../../tests/fuzz/harness.rs"]
mod harness;
#[path = "data/room.rs"]
#[allow(dead_code)]
mod room;
#[path = "data/tables.rs"]
mod tables;
#[path = "../../chat/tests/all/tiny.rs"]
#[allow(dead_code)]
mod tiny;

use codeact_data::DataError;
use harness::{Bounds, Random, campaign, damage};
use room::{Room, row, skipping};
use serde_json::{Value, json};

/// Rows of every shape, small, so that damage hits all of it.
fn seeds() -> Vec<Value> {
    vec![
        row(3),
        json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]},
            {"role": "assistant", "content": "b", "weight": 0}, {"role": "tool", "content": "c"},
            {"role": "assistant", "content": "d", "tool_calls": []}]}),
        json!({"id": 7, "conversations": [{"from": "human", "value": "a\u{1f980}"}, {"from": "gpt", "value": "<|im_end|>"}]}),
        json!({"instruction": "a", "input": "b", "output": "c", "history": [["d", "e"]]}),
        json!({"id": "f", "system_prompt": "s", "question": "q", "response": "r"}),
        json!({"source": "x", "conversation": [{"input": "a", "output": "b"}]}),
        json!({"id": "0", "data": ["a", "b", "c", "d"]}),
        json!({"id": "p", "prompt": "a", "chosen": "b", "rejected": "c"}),
        json!({"prompt": [{"role": "user", "content": "a"}], "chosen": [{"role": "assistant", "content": "b"}],
            "rejected": [{"role": "assistant", "content": "c"}], "score_chosen": 1}),
    ]
}

/// Another value of JSON in the place of one.
fn scramble(value: &mut Value, random: &mut Random) {
    if random.once_in(6) {
        let others = [json!(null), json!(1), json!("x"), json!([]), json!({}), json!([[]]), json!(true), json!(-1e300)];
        *value = random.pick(&others).clone();
        return;
    }
    match value {
        Value::Array(items) if !items.is_empty() => {
            let at = random.below(items.len());
            match random.below(4) {
                0 => drop(items.remove(at)),
                1 => items.push(items[at].clone()),
                _ => scramble(&mut items[at], random),
            }
        }
        Value::Object(fields) if !fields.is_empty() => {
            let key = fields.keys().nth(random.below(fields.len())).unwrap().clone();
            match random.below(5) {
                0 => drop(fields.shift_remove(&key)),
                1 => {
                    let moved = fields.shift_remove(&key).unwrap();
                    let names = ["role", "from", "content", "value", "messages", "conversations", "data", "weight"];
                    fields.insert((*random.pick(&names)).to_owned(), moved);
                }
                _ => scramble(&mut fields[&key], random),
            }
        }
        _ => {}
    }
}

/// What the readers make of a file: conversations whose masks are sound, or an error of the kinds there are.
fn read(room: &Room, name: &str, bytes: &[u8]) {
    let path = room.write(name, bytes);
    match room.load(&[skipping(&[&path])]) {
        Ok(data) => {
            for index in 0..data.train.documents.len() {
                let example = data.train.example(index).unwrap();
                assert!(example.is_target.contains(&true) && example.token_ids.len() == example.is_target.len());
                let conversations = data.train.conversations(index).unwrap();
                assert!(conversations.iter().all(|one| one.is_target.contains(&true) && !one.is_target[0]));
            }
            let report = &data.reports[0];
            let rejected: u64 = report.rejected.iter().map(|one| one.count).sum();
            assert_eq!(report.row_count, report.train_count + report.dropped + rejected as usize, "{report:?}");
        }
        Err(DataError::Io { .. } | DataError::Row { .. }) => panic!("a file that can be read, and bad rows skipped"),
        Err(_) => {}
    }
}

/// A batch of rows, their values, the rows as conversations, and the threads that make them.
const TEXT: Bounds = Bounds { factor: 400, constant: 24 << 20 };

/// A library decides what a damaged table costs: pages say how large they are unpacked.
const TABLE: Bounds = Bounds { factor: 0, constant: 4 << 30 };

#[test]
fn rows_of_other_json_never_panic() {
    let (room, seeds) = (Room::new(), seeds());
    campaign("scrambled rows", 4_000, TEXT, |case| {
        // Several rows in a file: each is one input.
        let rows: Vec<Value> = (0..1 + case.random.below(3))
            .map(|_| {
                let mut row = case.random.pick(&seeds).clone();
                for _ in 0..case.random.below(4) {
                    scramble(&mut row, &mut case.random);
                }
                row
            })
            .collect();
        let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
        case.measure(text.len(), || read(&room, "rows.jsonl", text.as_bytes()));
    });
}

#[test]
fn damaged_text_never_panics() {
    let (room, seeds) = (Room::new(), seeds());
    let lines: String = seeds.iter().map(|row| format!("{row}\n")).collect();
    let array = serde_json::to_string_pretty(&seeds).unwrap();
    campaign("damaged text", 4_000, TEXT, |case| {
        let mut bytes = if case.random.once_in(2) { lines.clone() } else { array.clone() }.into_bytes();
        damage(&mut case.random, &mut bytes);
        case.measure(bytes.len(), || read(&room, "text.json", &bytes));
    });
}

#[test]
fn damaged_archives_never_panic() {
    let (room, seeds) = (Room::new(), seeds());
    let lines: String = seeds.iter().map(|row| format!("{row}\n")).collect();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gz, lines.as_bytes()).unwrap();
    let packed = [gz.finish().unwrap(), zstd::encode_all(lines.as_bytes(), 1).unwrap()];
    // A frame of zstd may ask for a window of 128 MiB.
    let bounds = Bounds { factor: 4000, constant: 160 << 20 };
    campaign("damaged archives", 1_000, bounds, |case| {
        let mut bytes = case.random.pick(&packed).clone();
        damage(&mut case.random, &mut bytes);
        case.measure(bytes.len(), || read(&room, "packed", &bytes));
    });
}

#[test]
fn damaged_tables_never_panic() {
    let room = Room::new();
    let rows = room::rows(0..6);
    let paths = [tables::conversations(&room.path("a"), &rows), tables::unmarked(&room.path("b"), &rows)];
    let seeds = paths.map(|path| std::fs::read(path).unwrap());
    campaign("damaged tables", 1_000, TABLE, |case| {
        let mut bytes = case.random.pick(&seeds).clone();
        damage(&mut case.random, &mut bytes);
        case.measure(bytes.len(), || read(&room, "table.parquet", &bytes));
    });
}
