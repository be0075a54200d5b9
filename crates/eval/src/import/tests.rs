//! Readers and the translator of asserts, with files and sources that somebody broke.

use std::path::Path;

use codeact_sandbox::Policy;
use serde_json::{Value, json};

use super::code::{humaneval_problem, mbpp_problem};
use super::source::Source;
use super::{Draft, Wanted, api_bank, gsm8k, mint};
use crate::EvalError;
use crate::grade::asked;

/// Whatever a file holds, one error is told, or tasks are made; a run is the same every time.
const CASES: u64 = 3000;

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

    fn broken(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_owned();
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

fn problems(wanted: &Wanted<'_>) -> Result<usize, EvalError> {
    let source = Source::read(wanted.from)?;
    let mut count = 0;
    for row in source.rows()? {
        let one = humaneval_problem(&row, row.name("task_id")?, "f").map(|_| 1);
        let other = mbpp_problem(&row, "1", row.some_text("text")?, ["code", "test_list"], "f").map(|_| 1);
        count += one.and(other)?;
    }
    Ok(count)
}

type Reader = fn(&Wanted<'_>) -> Result<usize, EvalError>;

#[test]
fn whatever_a_file_holds_is_an_error_or_tasks() {
    let sound: [(&str, Reader, Value); 6] = [
        (
            "gsm8k",
            |wanted| tasks_in(gsm8k::draft(wanted)),
            json!({"question": "2 + 3?", "answer": "<<2+3=5>>\n#### 5"}),
        ),
        (
            "api-bank",
            |wanted| tasks_in(api_bank::draft(wanted)),
            json!({"instruction": "i", "input": "User: x", "expected_output": "API-Request: [Add(a='1', b='2')]"}),
        ),
        (
            "theoremqa",
            |wanted| tasks_in(mint::draft(wanted)),
            json!({"id": 1, "prompt": "p", "reference": [1, 2.5], "answer_type": "list of float"}),
        ),
        (
            "mmlu",
            |wanted| tasks_in(mint::draft(wanted)),
            json!({"id": 1, "prompt": "p\nOptions: A ) 6 , B ) 7", "reference": "b"}),
        ),
        ("math", |wanted| tasks_in(mint::draft(wanted)), json!({"id": 1, "prompt": "p", "reference": "4.5"})),
        (
            "code",
            problems,
            json!({"task_id": 1, "prompt": "def f():\n", "entry_point": "f", "canonical_solution": "    return 1", "test": "t",
                   "text": "t", "code": "def f(): return 1", "test_list": ["assert f() == 1"], "test_setup_code": ""}),
        ),
    ];
    let policy = Policy::default();
    let folder = tempfile::tempdir().unwrap();
    let (mut made, mut refused) = (0, 0);
    for (name, reader, row) in sound {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        let path = folder.path().join(name).join("test_prompts.json");
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            reader(&Wanted { from: &path, split: None, limit: usize::MAX, policy: &policy })
        };
        let lines = format!("{row}\n{row}\n");
        let list = Value::Array(vec![row.clone(), row]).to_string();
        assert_eq!((read(lines.as_bytes()).unwrap(), read(list.as_bytes()).unwrap()), (2, 2), "{name}");
        let mut draw = Draw(0x9e37_79b9_7f4a_7c15);
        for case in 0..CASES / 6 {
            let sound = if case % 2 == 0 { &lines } else { &list };
            match read(&draw.broken(sound.as_bytes())) {
                Ok(_) => made += 1,
                Err(error) => {
                    let text = error.to_string();
                    assert!(
                        error.is_bad_input() && text.contains("test_prompts.json") && text.lines().count() < 5,
                        "{text}"
                    );
                    refused += 1;
                }
            }
        }
    }
    assert!(made > CASES / 50 && refused > CASES / 4, "{made} were made, {refused} refused");
}

fn tasks_in(draft: Result<Draft, EvalError>) -> Result<usize, EvalError> {
    draft.map(|draft| draft.files.values().map(Vec::len).sum())
}

#[test]
fn whatever_a_source_holds_becomes_tests_or_a_fault() {
    let code = "import math\nR = 3\nclass Node:\n    pass\ndef f(a, b=1):\n    return math.sqrt(a) + b\ndef g():\n    return f(2)\n";
    let check = "def check(candidate):\n    for n in range(3):\n        assert candidate(n) == n * 2\n";
    let mut draw = Draw(7);
    let items = (0..500).map(|case| {
        let mut broken = |text: &str| String::from_utf8_lossy(&draw.broken(text.as_bytes())).into_owned();
        let entry = if case % 2 == 0 { Value::Null } else { json!("f") };
        let tests = if case % 2 == 0 { "assert f([1, 2], b={'x': (1,)}) == g()" } else { check };
        json!({"code": broken(code), "given": "import math\n", "setup": broken("x = 1"), "tests": [broken(tests)], "entry": entry})
    });
    let items = Value::Array(items.collect()).to_string().into_bytes();
    let question = "[tests_of(item) for item in json.load(open('items.json', encoding='utf-8'))]";
    let asserts = include_str!("../../python/asserts.py");
    let policy = Policy { imports: Vec::new(), ..Policy::default() };
    let told = asked(asserts, question, &[("items.json".to_owned(), items)], 60, &policy).unwrap().unwrap();
    let (mut made, mut faults) = (0, 0);
    for item in told.as_array().unwrap() {
        match item.get("fault") {
            Some(fault) => {
                assert!(fault[0].is_string() && fault[1].is_string(), "{fault}");
                faults += 1;
            }
            None => {
                let code = item["code"].as_str().unwrap();
                assert!(code.lines().any(|line| line.starts_with("def test_")), "{code}");
                made += 1;
            }
        }
    }
    assert_eq!(made + faults, 500);
    assert!(made > 50 && faults > 50, "{made} were made, {faults} are faults");
}

#[test]
fn files_that_are_none_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |path: &Path| Source::read(path).err().unwrap().to_string();
    assert!(refused(&folder.path().join("none.jsonl")).contains("none.jsonl"));
    assert!(refused(folder.path()).contains("is a folder"));
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert!(refused(&pipe).contains("no plain file"));
    let packed = folder.path().join("x.jsonl.gz");
    std::fs::write(&packed, [0x1f, 0x8b, 8, 0, 1, 2, 3]).unwrap();
    assert!(refused(&packed).contains("cannot be unpacked"));
    // 65 MiB of blanks, in some ten thousands of bytes.
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let blanks = vec![b' '; 1 << 20];
    (0..65).for_each(|_| std::io::Write::write_all(&mut bomb, &blanks).unwrap());
    std::fs::write(&packed, bomb.finish().unwrap()).unwrap();
    assert!(refused(&packed).contains("more than"));
}
