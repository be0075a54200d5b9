//! `codeact-eval new-task`: a folder with a whole task to change into one's own.

use std::path::{Path, PathBuf};

use crate::EvalError;
use crate::suite::closest;

/// The kinds of graders for which there is a template.
pub const KINDS: [&str; 9] = ["tests", "number", "exact", "list", "set", "dict", "regex", "state", "all"];

/// Options of `new-task`.
#[derive(Debug, Clone, clap::Args)]
pub struct NewTaskArgs {
    /// The folder to make; its name becomes the id of the task
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// What decides: one of the graders
    #[arg(long, value_name = "KIND", default_value = "tests")]
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(KINDS))]
    pub kind: String,
}

/// Writes a task with a grader of `kind` into `folder`, which must not be there yet. `check` accepts it as it is.
///
/// # Errors
/// When there is no such kind, the folder is there already, or it cannot be written.
pub fn new_task(folder: &Path, kind: &str) -> Result<(), EvalError> {
    let Some(template) = template(kind) else {
        let hint = closest(kind, &KINDS).map(|known| format!(", did you mean `{known}`?")).unwrap_or_default();
        return Err(EvalError::Options(format!("there is no template for graders of the kind `{kind}`{hint}")));
    };
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| EvalError::Write { path, source }
    };
    std::fs::create_dir(folder).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            EvalError::Options(format!("`{}` is there already\nhint: give the name of a new folder", folder.display()))
        }
        _ => failed(folder)(error),
    })?;
    let Template { prompt, grader, reference, wrong, others } = template;
    let head = "# What this is: docs/tasks.md. The folder's name is the id; prompt.md is what the user says.\n\
                family = \"examples/warehouse\"\ntags = [\"easy\"]\n\n[limits]\nturns = 6\ncell_seconds = 10\n\n";
    let files = [
        ("task.toml", format!("{head}[grader]\nkind = \"{kind}\"\n{grader}")),
        ("prompt.md", format!("{prompt}\n")),
        ("reference.md", format!("{reference}\n")),
        ("wrong.md", format!("{wrong}\n")),
    ];
    let others = others.iter().map(|(name, text)| (*name, (*text).to_owned()));
    for (name, text) in files.into_iter().chain(others) {
        let path = folder.join(name);
        if let Some(above) = path.parent() {
            std::fs::create_dir_all(above).map_err(failed(above))?;
        }
        std::fs::write(&path, text).map_err(failed(&path))?;
    }
    Ok(())
}

struct Template {
    prompt: &'static str,
    grader: &'static str,
    reference: &'static str,
    wrong: &'static str,
    others: &'static [(&'static str, &'static str)],
}

const STOCK: (&str, &str) = ("files/stock.csv", "item,count\nbolt,40\nnut,2\nwasher,7\n");

fn template(kind: &str) -> Option<Template> {
    let about_stock =
        |prompt, grader, reference, wrong| Template { prompt, grader, reference, wrong, others: &[STOCK] };
    Some(match kind {
        "tests" => TESTS,
        "state" => STATE,
        "all" => Template {
            prompt: "Write the names of all items in stock.csv with fewer than 10 pieces into low.txt, one a line, and tell me how \
                     many they are.",
            grader: "\n[[grader.graders]]\nkind = \"number\"\nanswer = 2\n\n[[grader.graders]]\nkind = \"state\"\nunchanged = \
                     [\"stock.csv\"]\n\n[grader.graders.files.\"low.txt\"]\nlines = [\"nut\", \"washer\"]\n",
            reference: "<execute>\nimport csv\nrows = csv.DictReader(open('stock.csv'))\nlow = [row['item'] for row in rows if \
                        int(row['count']) < 10]\nopen('low.txt', 'w').write('\\n'.join(low) + '\\n')\nprint(len(low))\n</execute>\
                        \n---\n<solution>2</solution>",
            wrong: "I count them by hand and write nothing down.\n<solution>2</solution>",
            others: &[STOCK],
        },
        "number" => about_stock(
            "How many pieces of all items together are in stock.csv?",
            "answer = 49\n",
            "<execute>\nimport csv\nprint(sum(int(row['count']) for row in csv.DictReader(open('stock.csv'))))\n</execute>\n---\n\
             <solution>49</solution>",
            "There are three lines.\n<solution>3</solution>",
        ),
        "exact" => about_stock(
            "Of which item in stock.csv are there the fewest pieces?",
            "answer = \"nut\"\nignore_case = true\n",
            "<execute>\nimport csv\nprint(min(csv.DictReader(open('stock.csv')), key=lambda row: int(row['count'])))\n</execute>\n\
             ---\n<solution>nut</solution>",
            "I compare the counts as texts.\n<execute>\nimport csv\nprint(max(csv.DictReader(open('stock.csv')), key=lambda row: \
             row['count']))\n</execute>\n---\n<solution>washer</solution>",
        ),
        "list" => about_stock(
            "List the items in stock.csv, those with the most pieces first, as a list of Python.",
            "answer = [\"bolt\", \"washer\", \"nut\"]\n",
            "<execute>\nimport csv\nrows = sorted(csv.DictReader(open('stock.csv')), key=lambda row: -int(row['count']))\n\
             print([row['item'] for row in rows])\n</execute>\n---\n<solution>['bolt', 'washer', 'nut']</solution>",
            "I sort them, the smallest first.\n<solution>['nut', 'washer', 'bolt']</solution>",
        ),
        "set" => about_stock(
            "Which items in stock.csv have fewer than 10 pieces? Answer with a list of Python, in any order.",
            "answer = [\"nut\", \"washer\"]\n",
            "<execute>\nimport csv\nrows = csv.DictReader(open('stock.csv'))\nprint([row['item'] for row in rows if \
             int(row['count']) < 10])\n</execute>\n---\n<solution>['washer', 'nut']</solution>",
            "Only one looks low to me.\n<solution>['nut']</solution>",
        ),
        "dict" => about_stock(
            "Give me the counts of stock.csv as a dictionary of Python from item to count.",
            "\n[grader.answer]\nbolt = 40\nnut = 2\nwasher = 7\n",
            "<execute>\nimport csv\nprint({row['item']: int(row['count']) for row in csv.DictReader(open('stock.csv'))})\n</execute>\n\
             ---\n<solution>{'bolt': 40, 'nut': 2, 'washer': 7}</solution>",
            "The counts stay as they are read.\n<solution>{'bolt': '40', 'nut': '2', 'washer': '7'}</solution>",
        ),
        "regex" => about_stock(
            "Give me one item of stock.csv with fewer than 10 pieces and its count, as in: item 5",
            "pattern = '(nut 2|washer 7)'\n",
            "<execute>\nprint(open('stock.csv').read())\n</execute>\n---\n<solution>nut 2</solution>",
            "I take the first line.\n<solution>bolt 40</solution>",
        ),
        _ => return None,
    })
}

const TESTS: Template = Template {
    prompt: "stock.csv holds the columns item and count. Write a module stock.py with a function low(path, limit) that gives the \
             names of all items with fewer than limit pieces, as a sorted list. An empty file gives an empty list.",
    grader: "file = \"tests.py\"\n",
    reference: "<execute>\nopen('stock.py', 'w').write('''import csv\n\n\ndef low(path, limit):\n    with open(path) as file:\n        \
                rows = list(csv.DictReader(file))\n    return sorted(row['item'] for row in rows if int(row['count']) < limit)\n''')\n\
                </execute>\n---\nThe function is in stock.py.",
    wrong: "The counts are compared as texts, and nothing is sorted.\n<execute>\nopen('stock.py', 'w').write('''import csv\n\n\ndef \
            low(path, limit):\n    with open(path) as file:\n        return [row['item'] for row in csv.DictReader(file) if \
            row['count'] < str(limit)]\n''')\n</execute>\n---\nThe function is in stock.py.",
    others: &[
        STOCK,
        (
            "tests.py",
            "\"\"\"What stock.py must do. `call` runs it elsewhere; only plain values come back.\"\"\"\n\n\ndef \
             test_items_below_the_limit_are_named():\n    assert call(\"stock:low\", \"stock.csv\", 10) == [\"nut\", \
             \"washer\"]\n\n\ndef test_the_limit_itself_is_not_below():\n    assert call(\"stock:low\", \"stock.csv\", 7) == \
             [\"nut\"]\n\n\ndef test_a_missing_file_is_an_error():\n    raises(FileNotFoundError, \"stock:low\", \"no.csv\", \
             1)\n\n\ndef test_the_table_is_left_alone():\n    assert workspace.text(\"stock.csv\").count(\"\\n\") == 4\n",
        ),
    ],
};

const STATE: Template = Template {
    prompt: "Read stock.csv and write its items and counts into stock.json as one object from item to count. Leave stock.csv as it \
             is.",
    grader: "unchanged = [\"stock.csv\"]\n\n[grader.files.\"stock.json\"]\njson = { bolt = 40, nut = 2, washer = 7 }\n",
    reference: "<execute>\nimport csv, json\nrows = csv.DictReader(open('stock.csv'))\njson.dump({row['item']: int(row['count']) for row \
                in rows}, open('stock.json', 'w'))\n</execute>\n---\nstock.json is written.",
    wrong: "<execute>\nimport csv, json\nrows = csv.DictReader(open('stock.csv'))\njson.dump({row['item']: row['count'] for row in \
            rows}, open('stock.json', 'w'))\n</execute>\n---\nstock.json is written.",
    others: &[STOCK],
};
