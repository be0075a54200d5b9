//! `codeact-eval import`: published benchmarks, out of files that whoever runs it has, as suites of tasks.
//! `docs/benchmarks.md` says which files these are, and what becomes of what is in them.
//!
//! Files are taken for hostile. What is Python in them is parsed, and where it has to run it runs in the sandbox.

mod source; // files and rows, with bounds and places

mod asserts; // asserts that become tests

mod code; // HumanEval, MBPP, and InterCode's form of it

mod gsm8k; // sums in words

mod m3tooleval; // modules of tasks with their tools

mod mint; // a folder of parts

mod api_bank; // requests that a dialogue asks for

mod folder; // the suite that is written

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use codeact_data::preview::harmless;
use codeact_sandbox::Policy;
use serde_json::{Value, json};

use crate::{EvalError, SandboxArgs};

/// The tag of tasks whose asserts run beside the solution, which could decide them.
pub const BESIDE_TAG: &str = "asserts-in-candidate";

/// Characters of what is told of a file of others.
const REASON_CHARS_MAX: usize = 300;

/// Benchmarks whose files can be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Benchmark {
    /// GSM8K: JSON lines with `question` and `answer`
    #[value(name = "gsm8k")]
    Gsm8k,
    /// HumanEval: JSON lines with `prompt`, `entry_point` and `test`, packed with gzip or not
    #[value(name = "humaneval")]
    HumanEval,
    /// MBPP: JSON lines with `text` and `test_list`, or the sanitized list with `prompt` and `test_imports`
    #[value(name = "mbpp")]
    Mbpp,
    /// M3ToolEval: the folder with its `tasks`
    #[value(name = "m3tooleval")]
    M3ToolEval,
    /// MINT: the folder with its `data/processed`, or one `test_prompts.json` of it
    #[value(name = "mint")]
    Mint,
    /// API-Bank: the folder with its `apis` and dialogues, or a file of requests such as `level-1-api.json`
    #[value(name = "api-bank")]
    ApiBank,
    /// InterCode: `ic_mbpp.json`, its Python tasks
    #[value(name = "intercode")]
    InterCode,
}

/// Options of `import`.
#[derive(Debug, Clone, clap::Args)]
pub struct ImportArgs {
    /// Whose files they are
    #[arg(value_name = "FORMAT")]
    pub benchmark: Benchmark,
    /// The file or the folder, as its authors publish it
    #[arg(value_name = "FILE|FOLDER")]
    pub from: PathBuf,
    /// The folder of the suite to make; it must not be there yet
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Only the first tasks of each file; of api-bank, of all dialogues together
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
    /// Which part: test, train, .. of gsm8k and mbpp, one of the parts of mint; without it, test, and all parts
    #[arg(long, value_name = "NAME")]
    pub split: Option<String>,
    /// See there.
    #[command(flatten)]
    pub sandbox: SandboxArgs,
}

impl ImportArgs {
    /// Which tasks are asked for.
    pub fn options(&self) -> ImportOptions {
        ImportOptions { limit: self.limit.map(|limit| limit as usize), split: self.split.clone() }
    }

    /// Whether a Python has to parse or run what is in the files.
    pub fn needs_python(&self) -> bool {
        match self.benchmark {
            Benchmark::Gsm8k => false,
            Benchmark::HumanEval | Benchmark::Mbpp | Benchmark::InterCode | Benchmark::M3ToolEval => true,
            Benchmark::Mint => mint::has_code(&self.from, self.split.as_deref()),
            Benchmark::ApiBank => self.from.is_dir(),
        }
    }
}

/// Which tasks are imported.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// The first ones of each file only, of API-Bank those of all dialogues together.
    pub limit: Option<usize>,
    /// The part of the benchmark, as its authors divide it.
    pub split: Option<String>,
}

/// What an import came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The name of the suite.
    pub suite: String,
    /// Tasks that were written.
    pub tasks: usize,
    /// Of these, tasks without a reference, because the source has none that can be said.
    pub unreferenced: usize,
    /// Of these, tasks whose asserts run beside the solution: those with [`BESIDE_TAG`].
    pub beside: usize,
    /// How many were left out, by reason.
    pub skipped: BTreeMap<String, usize>,
}

/// What a format makes of its files.
#[derive(Debug, Default)]
struct Draft {
    /// Tasks by the name of their file, without `.jsonl`.
    files: BTreeMap<String, Vec<Value>>,
    /// The part that was taken, where there are some.
    split: Option<String>,
    /// Files that were read, each with the beginning of its hash.
    sources: Vec<String>,
    skipped: BTreeMap<String, usize>,
}

/// What is asked of a format.
struct Wanted<'a> {
    from: &'a Path,
    split: Option<&'a str>,
    limit: usize,
    policy: &'a Policy,
}

/// Writes the tasks of `from`, files of `benchmark`, into the new folder `out`, as a suite that appears whole or not at
/// all. Python runs under `policy`, where the format needs one.
///
/// # Errors
/// When files are not what their format says, hold nothing that can be mapped, or `out` is there or cannot be written.
pub fn import(
    benchmark: Benchmark,
    from: &Path,
    out: &Path,
    options: &ImportOptions,
    policy: &Policy,
) -> Result<Imported, EvalError> {
    // Without a slash at its end, behind which a name would be one inside.
    let out: &Path = &out.components().collect::<PathBuf>();
    folder::check_free(out)?;
    let limit = options.limit.unwrap_or(usize::MAX);
    let wanted = Wanted { from, split: options.split.as_deref(), limit, policy };
    let draft = match benchmark {
        Benchmark::Gsm8k => gsm8k::draft(&wanted),
        Benchmark::HumanEval => code::humaneval(&wanted),
        Benchmark::Mbpp => code::mbpp(&wanted),
        Benchmark::InterCode => code::intercode(&wanted),
        Benchmark::M3ToolEval => m3tooleval::draft(&wanted),
        Benchmark::Mint => mint::draft(&wanted),
        Benchmark::ApiBank => api_bank::draft(&wanted),
    }?;
    let count = |is_it: &dyn Fn(&Value) -> bool| draft.files.values().flatten().filter(|task| is_it(task)).count();
    let imported = Imported {
        suite: draft
            .split
            .as_ref()
            .map_or(benchmark.name().to_owned(), |split| format!("{}-{split}", benchmark.name())),
        tasks: count(&|_| true),
        unreferenced: count(&|task| task.get("reference").is_none()),
        beside: count(&|task| task.get("tags").is_some_and(|tags| *tags == json!([BESIDE_TAG]))),
        skipped: draft.skipped.clone(),
    };
    if imported.tasks == 0 {
        let reasons: Vec<&str> = imported.skipped.keys().map(String::as_str).collect();
        let reasons = if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join("; ")) };
        return Err(fault(from, "", format!("has no task that can be imported{reasons}"), FORMATS));
    }
    folder::write(out, &imported.suite, benchmark, &draft)?;
    Ok(imported)
}

impl Imported {
    /// What is told of it, in a line for each thing.
    pub fn table(&self) -> String {
        let mut lines = format!("{}: {} tasks\n", self.suite, self.tasks);
        if self.beside > 0 {
            let why = "the asserts run beside the solution, which could decide them";
            lines.push_str(&format!("  {} with the tag {BESIDE_TAG}: {why}\n", self.beside));
        }
        if self.unreferenced > 0 {
            lines.push_str(&format!("  {} without a reference\n", self.unreferenced));
        }
        self.skipped.iter().for_each(|(why, count)| lines.push_str(&format!("  {count} left out: {why}\n")));
        lines
    }
}

/// What is said of a benchmark in `suite.toml`.
struct About {
    title: &'static str,
    origin: &'static str,
    licence: &'static str,
    /// Replies that are allowed, where its authors bound them.
    turns: Option<u64>,
}

impl Benchmark {
    /// As it is written in the command.
    pub fn name(self) -> &'static str {
        match self {
            Benchmark::Gsm8k => "gsm8k",
            Benchmark::HumanEval => "humaneval",
            Benchmark::Mbpp => "mbpp",
            Benchmark::M3ToolEval => "m3tooleval",
            Benchmark::Mint => "mint",
            Benchmark::ApiBank => "api-bank",
            Benchmark::InterCode => "intercode",
        }
    }

    fn about(self) -> About {
        let about = |title, origin, licence, turns| About { title, origin, licence, turns };
        match self {
            Benchmark::Gsm8k => {
                about("GSM8K", "openai/grade-school-math, arXiv 2110.14168", "MIT (openai/grade-school-math)", None)
            }
            Benchmark::HumanEval => {
                about("HumanEval", "openai/human-eval, arXiv 2107.03374", "MIT (openai/human-eval)", None)
            }
            Benchmark::Mbpp => {
                about("MBPP", "google-research/mbpp, arXiv 2108.07732", "CC-BY-4.0 (google-research, data)", None)
            }
            Benchmark::M3ToolEval => {
                about("M3ToolEval", "xingyaoww/code-act, arXiv 2402.01030", "MIT (xingyaoww/code-act)", Some(10))
            }
            Benchmark::Mint => about(
                "MINT",
                "xingyaoww/mint-bench, arXiv 2309.10691",
                "Apache-2.0 (xingyaoww/mint-bench); its parts keep the terms of their sources",
                Some(5),
            ),
            Benchmark::ApiBank => about(
                "API-Bank",
                "AlibabaResearch/DAMO-ConvAI, arXiv 2304.08244",
                "Apache-2.0 (AlibabaResearch/DAMO-ConvAI, api-bank)",
                None,
            ),
            Benchmark::InterCode => about(
                "InterCode-Python",
                "princeton-nlp/intercode, arXiv 2306.14898",
                "MIT (princeton-nlp/intercode); CC-BY-4.0 (its tasks, of MBPP)",
                Some(10),
            ),
        }
    }
}

const FORMATS: &str = "docs/benchmarks.md says which files each benchmark has, and how they look";

/// What is wrong at `place` (`` line 3``, or nothing for all of it) of a file or folder.
fn fault(path: &Path, place: &str, what: String, hint: &str) -> EvalError {
    EvalError::Benchmark { path: path.to_owned(), place: place.to_owned(), what, hint: hint.to_owned() }
}

/// What a Python said of a file of others, on its way to a terminal: without what commands one, and not longer than a
/// reason need be.
fn told(text: &str) -> String {
    let plain = text.chars().map(|next| if next.is_control() { ' ' } else { next });
    harmless(&plain.take(REASON_CHARS_MAX).collect::<String>())
}

/// Refuses a split of a benchmark that has none.
fn no_split(wanted: &Wanted<'_>, name: &str) -> Result<(), EvalError> {
    match wanted.split {
        Some(split) => Err(EvalError::Options(format!("{name} has no split `{split}`\nhint: leave `--split` out"))),
        None => Ok(()),
    }
}

/// A task. `right` and `wrong` are what `<solution>` holds; whatever cannot be said in one is left out.
fn task(id: String, family: &str, prompt: String, grader: Value, right: &str, wrong: &str) -> Value {
    let mut task = json!({"id": id, "family": family, "prompt": prompt, "grader": grader});
    for (key, solution) in [("reference", right), ("wrong", wrong)] {
        let has_tag = ["<execute>", "</execute>", "<solution>", "</solution>"].iter().any(|tag| solution.contains(tag));
        if !has_tag && !solution.trim().is_empty() {
            task[key] = json!([format!("<solution>{solution}</solution>")]);
        }
    }
    task
}

/// Another number, which somebody who is off by one would give.
fn off_by_one(number: &str) -> String {
    match (number.parse::<i64>(), number.parse::<f64>()) {
        (Ok(number), _) => number.wrapping_add(1).to_string(),
        (_, Ok(number)) => far_from(number),
        _ => "0".to_owned(),
    }
}

/// A number that no tolerance takes for this one.
fn far_from(number: f64) -> String {
    (number.abs() * 2.0 + 1.0).to_string()
}
