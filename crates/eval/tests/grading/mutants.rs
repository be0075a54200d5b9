//! Right solutions in other words are right, and each changed a little is wrong: systematically, for every text grader.

use codeact_eval::Grader;
use serde_json::{Value, json};

use crate::task;

fn grader(grader: Value) -> Grader {
    task(&json!({"id": "t", "family": "f", "prompt": "p", "grader": grader})).grader
}

/// A value as Python writes it.
fn python(value: &Value) -> String {
    let joined = |items: Vec<String>| items.join(", ");
    match value {
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n")),
        Value::Array(items) => format!("[{}]", joined(items.iter().map(python).collect())),
        Value::Object(items) => {
            let items = items.iter().map(|(key, value)| format!("{}: {}", python(&json!(key)), python(value)));
            format!("{{{}}}", joined(items.collect()))
        }
    }
}

/// Every value that is `value` with one thing changed: each number, text, constant, element and key in turn.
fn mutants(value: &Value) -> Vec<Value> {
    let mut all = match value {
        Value::Null => vec![json!(false), json!(0), json!("None")],
        Value::Bool(is) => vec![json!(!is), json!(i32::from(*is)), json!(value.to_string()), Value::Null],
        Value::Number(number) => {
            let float = number.as_f64().unwrap();
            let mut all = vec![json!(number.to_string()), json!([number]), Value::Null, json!(float + 0.001)];
            all.push(number.as_i64().map_or_else(|| json!(float + 1.0), |whole| json!(whole + 1)));
            all.extend((float != 0.0).then(|| number.as_i64().map_or_else(|| json!(-float), |whole| json!(-whole))));
            all
        }
        Value::String(text) => {
            let changed = [format!("{text} "), format!("{text}x"), text.to_uppercase(), text.replace(' ', "  ")];
            let changed = changed.into_iter().filter(|changed| changed != text).map(Value::from);
            changed.chain([json!([text]), Value::Null]).collect()
        }
        Value::Array(items) => {
            let mut all = vec![json!({"0": items}), json!(python(value))];
            for index in 0..items.len() {
                let changed = mutants(&items[index]).into_iter().map(|mutant| {
                    let mut items = items.clone();
                    items[index] = mutant;
                    Value::from(items)
                });
                all.extend(changed);
                let mut fewer = items.clone();
                fewer.remove(index);
                let mut more = items.clone();
                more.insert(index, json!("new"));
                all.extend([fewer.into(), more.into()]);
                if index > 0 && items[index] != items[index - 1] {
                    let mut swapped = items.clone();
                    swapped.swap(index, index - 1);
                    all.push(swapped.into());
                }
            }
            all
        }
        Value::Object(items) => {
            let mut all = vec![json!(items.keys().collect::<Vec<_>>())];
            for (key, inner) in items {
                let changed = mutants(inner).into_iter().map(|mutant| {
                    let mut items = items.clone();
                    items.insert(key.clone(), mutant);
                    Value::from(items)
                });
                all.extend(changed);
                let (mut fewer, mut renamed, mut more) = (items.clone(), items.clone(), items.clone());
                fewer.remove(key);
                let value = renamed.remove(key).unwrap();
                renamed.insert(format!("{key}_"), value);
                more.insert("new".into(), Value::Null);
                all.extend([fewer.into(), renamed.into(), more.into()]);
            }
            all
        }
    };
    all.retain(|mutant| mutant != value);
    all
}

fn refused(grader: &Grader, solution: &str) {
    let verdict = grader.judge_solution(solution);
    assert!(!verdict.passed && !verdict.why.is_empty(), "{grader:?} accepts {solution:?}");
}

fn accepted(grader: &Grader, solution: &str) {
    let verdict = grader.judge_solution(solution);
    assert!(verdict.passed, "{grader:?} refuses {solution:?}: {}", verdict.why);
}

#[test]
fn values_are_told_from_all_their_mutants() {
    let list = json!([3, 1, 2.5, "a b", null, true, {"k": [1, "x"]}, [], 10_000_000, -7]);
    let dict = json!({"n": 3, "text": "a b", "list": [1, 2.5], "inner": {"none": null, "yes": true}});
    let mut count = 0;
    for (kind, answer) in [("list", list), ("dict", dict)] {
        let grader = grader(json!({"kind": kind, "answer": answer}));
        for text in [answer.to_string(), python(&answer), format!("  {}\n", python(&answer))] {
            accepted(&grader, &text);
        }
        for mutant in mutants(&answer) {
            for text in [mutant.to_string(), python(&mutant)] {
                refused(&grader, &text);
                count += 1;
            }
        }
    }
    assert!(count > 200, "only {count} mutants");
}

#[test]
fn lists_of_other_spellings_are_the_same() {
    let numbers = grader(json!({"kind": "list", "answer": [1, 2.5, "a"]}));
    for right in [
        "(1, 2.5, 'a')",
        "1, 2.5, 'a'",
        "[1, 2.5000001, \"a\",]",
        "[1.0, 25e-1, '''a''']",
        "[+1, 2.5, r'a']",
        "[1, 2.5, '\\x61']",
    ] {
        accepted(&numbers, right);
    }
    for wrong in [
        "{1, 2.5, 'a'}",
        "[1, 2.51, 'a']",
        "[1, 2.5, a]",
        "[1 2.5, 'a']",
        "[1, 2.5, b'a']",
        "[01, 2.5, 'a']",
        "[1, 2.5, 'a'",
        "",
        "1",
        "[1, 2.5, 'a'] x",
        "sorted([1, 2.5, 'a'])",
    ] {
        refused(&numbers, wrong);
    }
    let loose = grader(json!({"kind": "list", "answer": [100, 0.5], "tolerance": 0.1}));
    accepted(&loose, "[109, 0.58]");
    refused(&loose, "[111, 0.5]");
    refused(&loose, "[100, 0.65]");
}

#[test]
fn a_set_knows_no_order_and_no_repeats() {
    let set = grader(json!({"kind": "set", "answer": [3, "b", [1, 2]]}));
    for right in ["{3, 'b', (1, 2)}", "[[1, 2], 3, 'b', 3]", "('b', (1, 2), 3.0)", "set([3, 'b', (1, 2)])"] {
        accepted(&set, right);
    }
    for wrong in [
        "{3, 'b'}",
        "{3, 'b', (2, 1)}",
        "{3, 'b', (1, 2), 4}",
        "{3, 'B', (1, 2)}",
        "{'3', 'b', (1, 2)}",
        "{3: 1, 'b': 1}",
        "3",
    ] {
        refused(&set, wrong);
    }
    accepted(&grader(json!({"kind": "set", "answer": []})), "set()");
    refused(&grader(json!({"kind": "set", "answer": []})), "{}");
}

#[test]
fn numbers_are_met_exactly_where_they_are_whole() {
    let whole = grader(json!({"kind": "number", "answer": 100_000_000}));
    for right in ["100000000", " +100000000\n", "100000000.0", "1e8", "0100000000"] {
        accepted(&whole, right);
    }
    for wrong in [
        "100000001",
        "99999999",
        "-100000000",
        "100000000.5",
        "100000001.0",
        "1e9",
        "100,000,000",
        "100000000 km",
        "nan",
        "inf",
        "",
        "0x5f5e100",
        "1_0",
    ] {
        refused(&whole, wrong);
    }
    let huge = grader(json!({"kind": "number", "answer": 1_000_000_000_000_001_u64}));
    for (text, is_right) in
        [("1000000000000001", true), ("1e15", false), ("1000000000000900.0", false), ("1000000000000001.0", true)]
    {
        assert_eq!(huge.judge_solution(text).passed, is_right, "{text}");
    }
    let beyond = grader(json!({"kind": "list", "answer": [9_007_199_254_740_993_u64]}));
    for (text, is_right) in
        [("[9007199254740993]", true), ("[9007199254740992.0]", false), ("[9007199254740992]", false)]
    {
        assert_eq!(beyond.judge_solution(text).passed, is_right, "{text}");
    }
    let kelvin = grader(json!({"kind": "exact", "answer": "Ok", "ignore_case": true}));
    for (text, is_right) in [("oK", true), ("o\u{212a}", false)] {
        assert_eq!(kelvin.judge_solution(text).passed, is_right, "{text}");
    }
    let part = grader(json!({"kind": "number", "answer": 3.24159}));
    for (text, is_right) in
        [("3.2415901", true), ("3.2416", false), ("3.24", false), ("-3.24159", false), ("3.24159e0", true)]
    {
        assert_eq!(part.judge_solution(text).passed, is_right, "{text}");
    }
    let given = grader(json!({"kind": "number", "answer": 50, "absolute": 2, "relative": 0}));
    for (text, is_right) in [("52", true), ("48", true), ("53", false), ("47", false), ("47.9", false)] {
        assert_eq!(given.judge_solution(text).passed, is_right, "{text}");
    }
    let relative = grader(json!({"kind": "number", "answer": -1000, "absolute": 0, "relative": 0.01}));
    for (text, is_right) in [("-1009", true), ("-1011", false), ("1000", false)] {
        assert_eq!(relative.judge_solution(text).passed, is_right, "{text}");
    }
    let large = grader(json!({"kind": "list", "answer": ["x"]}));
    refused(&large, &format!("[{}]", "9".repeat(1_000_000)));
    refused(&whole, &"1".repeat(1_000_000));
}

#[test]
fn texts_and_patterns_are_met_as_a_whole() {
    let exact = grader(json!({"kind": "exact", "answer": "Blue Whale"}));
    accepted(&exact, "\n Blue Whale ");
    ["blue whale", "Blue  Whale", "Blue Whale.", "Blue", "\"Blue Whale\"", ""]
        .iter()
        .for_each(|text| refused(&exact, text));
    let any_case = grader(json!({"kind": "exact", "answer": "Blue Whale", "ignore_case": true}));
    accepted(&any_case, "BLUE whale");
    refused(&any_case, "BLUEwhale");
    let pattern = grader(json!({"kind": "regex", "pattern": "nut [0-9]+|bolt"}));
    ["nut 12", "bolt", " bolt\n"].iter().for_each(|text| accepted(&pattern, text));
    ["nut", "nut 1x", "a bolt", "bolts", "nut 12\nbolt", ""].iter().for_each(|text| refused(&pattern, text));
}

#[test]
fn nothing_that_can_be_written_stops_the_reader() {
    let list = grader(json!({"kind": "list", "answer": [1, "a", {"k": null}]}));
    let deep = "[".repeat(100_000);
    for odd in [
        deep.as_str(),
        &"{'a':".repeat(10_000),
        &"(".repeat(101),
        "'",
        "'\\",
        "b'é'",
        "'\\x",
        "'\\uD83D'",
        "{",
        "{1:",
        "{1:2,3}",
        "-",
        "1e",
        "--1",
        "'''",
        "[,]",
        ",",
        "set(1)",
        "\\",
    ] {
        refused(&list, odd);
    }
    // A generator of numbers with a seed that is written down: Knuth's constants for 64 bits.
    let mut state = 7_u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let pieces = [
        "[", "]", "{", "}", "(", ")", ",", ":", "'", "\"", "\\", "1", "-", ".", "e", "b", "r", "é", "None", " ", "\n",
        "set", "_", "0x",
    ];
    for _ in 0..20_000 {
        let text: String = (0..next(24)).map(|_| pieces[next(pieces.len())]).collect();
        refused(&list, &text);
    }
}
