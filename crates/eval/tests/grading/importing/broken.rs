//! Files and sources that somebody broke: whatever they hold, tasks are made of it, or one error is told.

use std::path::Path;

use codeact_eval::{Benchmark, ImportOptions, import};
use serde_json::{Value, json};

use super::{Files, humaneval};
use crate::policy;

/// Cases of each file that is read here, and of each that a Python has to parse.
const CASES: usize = 500;
const PYTHON_CASES: usize = 40;

const PIECES: [&str; 12] = ["{", "}", "[", "\"", ":", "null", "1e999", "-", "\\u0000", "####", "\n", "<solution>"];

/// Numbers that follow from a seed: xorshift64*, Vigna 2016.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound.max(1)
    }

    fn broken(&mut self, text: &str) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_owned();
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len());
            let end = (at + self.below(12)).min(bytes.len());
            match self.below(5) {
                0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (at % 8)),
                1 => drop(bytes.drain(at..end)),
                2 => bytes.truncate(at),
                3 => drop(bytes.splice(at..end, PIECES[at % PIECES.len()].bytes())),
                _ => {
                    let copy = bytes[at..end].to_owned();
                    drop(bytes.splice(at..at, copy));
                }
            }
        }
        bytes
    }
}

/// Whether tasks were made of the file, which then are removed again.
fn is_made(benchmark: Benchmark, path: &Path) -> bool {
    let out = path.with_file_name("out");
    match import(benchmark, path, &out, &ImportOptions::default(), &policy()) {
        Ok(imported) => {
            assert!(imported.tasks > 0);
            std::fs::remove_dir_all(&out).unwrap();
            true
        }
        Err(error) => {
            let text = error.to_string();
            assert!(error.is_bad_input() && text.contains("json") && text.lines().count() < 5, "{text}");
            assert!(!out.exists() && !path.with_file_name("out.partial").exists());
            false
        }
    }
}

#[test]
fn whatever_a_file_holds_is_an_error_or_tasks() {
    let theorem = json!({"id": 1, "prompt": "p", "reference": [1, 2.5], "answer_type": "list of float"});
    let sound: [(&str, Benchmark, Value); 5] = [
        ("gsm8k", Benchmark::Gsm8k, json!({"question": "2 + 3?", "answer": "<<2+3=5>>\n#### 5"})),
        (
            "api-bank",
            Benchmark::ApiBank,
            json!({"instruction": "i", "input": "User: x", "expected_output": "API-Request: [Add(a='1', b='2')]"}),
        ),
        ("theoremqa", Benchmark::Mint, theorem),
        ("mmlu", Benchmark::Mint, json!({"id": 1, "prompt": "p\nOptions: A ) 6 , B ) 7", "reference": "b"})),
        ("math", Benchmark::Mint, json!({"id": 1, "prompt": "p", "reference": "4.5"})),
    ];
    let (mut made, mut refused) = (0, 0);
    for (name, benchmark, row) in sound {
        let file = format!("{name}/test_prompts.json");
        let files = Files::of(&[(&file, row.to_string())]);
        let path = files.at(&file);
        assert!(is_made(benchmark, &path), "{name}");
        let mut draw = Draw(0x9e37_79b9_7f4a_7c15);
        for case in 0..CASES {
            let text = if case % 2 == 0 { row.to_string() } else { format!("[{row}]") };
            std::fs::write(&path, draw.broken(&text)).unwrap();
            *if is_made(benchmark, &path) { &mut made } else { &mut refused } += 1;
        }
    }
    assert!(made > CASES / 10 && refused > CASES, "{made} were made, {refused} refused");
}

#[test]
fn whatever_a_source_holds_becomes_tests_or_a_fault() {
    let files = Files::of(&[]);
    let path = files.at("rows.jsonl");
    let row = humaneval(
        "HumanEval/0",
        "import math\n\n\ndef f(a, b=1):\n    \"\"\"f\"\"\"\n",
        "    return math.sqrt(a) + b\n",
        "def check(candidate):\n    for n in range(3):\n        assert candidate(n) == math.sqrt(n) + 1\n",
    );
    let mut draw = Draw(7);
    let (mut made, mut refused) = (0, 0);
    for case in 0..PYTHON_CASES {
        let mut row = row.clone();
        let key = ["canonical_solution", "test", "prompt", "entry_point"][case % 4];
        let broken = String::from_utf8_lossy(&draw.broken(row[key].as_str().unwrap())).into_owned();
        row[key] = json!(broken);
        std::fs::write(&path, row.to_string()).unwrap();
        *if is_made(Benchmark::HumanEval, &path) { &mut made } else { &mut refused } += 1;
    }
    assert!(made > 3 && refused > 3, "{made} were made, {refused} refused");
}

#[test]
fn files_that_are_none_are_refused_by_name() {
    let files = Files::of(&[("x.jsonl.gz", String::new()), ("many.json", format!("[{}1]", "1,".repeat(100_000)))]);
    let packed = files.at("x.jsonl.gz");
    // They are counted before the first of them, which is no row, is looked at.
    assert!(files.refused(Benchmark::Gsm8k, "many.json").contains("more than 100000 rows"));
    assert!(files.refused(Benchmark::Gsm8k, "none.jsonl").contains("none.jsonl"));
    assert!(files.refused(Benchmark::HumanEval, ".").contains("is a folder"));
    assert!(std::process::Command::new("mkfifo").arg(files.at("pipe")).status().unwrap().success());
    assert!(files.refused(Benchmark::Gsm8k, "pipe").contains("no plain file"));
    std::fs::write(&packed, [0x1f, 0x8b, 8, 0, 1, 2, 3]).unwrap();
    assert!(files.refused(Benchmark::Gsm8k, "x.jsonl.gz").contains("cannot be unpacked"));
    // 65 MiB of blanks, in some ten thousands of bytes.
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let blanks = vec![b' '; 1 << 20];
    (0..65).for_each(|_| std::io::Write::write_all(&mut bomb, &blanks).unwrap());
    std::fs::write(&packed, bomb.finish().unwrap()).unwrap();
    assert!(files.refused(Benchmark::Gsm8k, "x.jsonl.gz").contains("more than"));
}
