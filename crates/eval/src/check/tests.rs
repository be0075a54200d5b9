//! What a check finds, and that its templates pass it.

use std::path::Path;

use super::*;
use crate::new_task::{KINDS, new_task};
use crate::{Grader, load_suites};

fn checked(tasks: Vec<Task>) -> Checked {
    let suite = Suite { name: "s".into(), description: String::new(), licence: String::new(), path: "s".into(), tasks };
    let policy = Policy { imports: Vec::new(), ..Policy::default() };
    check(&[suite], &policy, 2, &|| {})
}

fn task(id: &str, reference: &[&str], wrong: &[&[&str]]) -> Task {
    let texts = |turns: &[&str]| turns.iter().map(|turn| (*turn).to_owned()).collect::<Vec<_>>();
    Task {
        reference: texts(reference),
        wrong: wrong.iter().map(|turns| texts(turns)).collect(),
        ..Task::new(id, "f", "p", Grader::Answer { answer: "42".into() })
    }
}

#[test]
fn what_is_not_sound_is_named_with_its_reason() {
    let right: &[&str] = &["I add.\n<execute>\nprint(20 + 22)\n</execute>", "<solution>42</solution>"];
    let wrong: &[&str] = &["<solution>41</solution>"];
    let cases: [(&str, Task, &str); 9] = [
        ("sound", task("sound", right, &[wrong]), ""),
        ("no-reference", task("no-reference", &[], &[wrong]), "has no `reference`"),
        ("no-wrong", task("no-wrong", right, &[]), "has no `wrong`"),
        (
            "bad-reference",
            task("bad-reference", wrong, &[wrong]),
            "the reference is judged wrong: the solution is `41`",
        ),
        ("good-wrong", task("good-wrong", right, &[wrong, right]), "wrong attempt 2 is judged right"),
        (
            "left-over",
            task("left-over", right, &[&["<solution>1</solution>", "<solution>2</solution>"]]),
            "1 of 2 turns",
        ),
        ("short", task("short", &right[..1], &[wrong]), "the reference fails"),
        ("trailing", task("trailing", &["<solution>42</solution> is it"], &[wrong]), "what follows is lost"),
        ("empty", task("empty", right, &[&["I do not know."]]), "no plausible mistake"),
    ];
    let expected: Vec<(&str, &str)> = cases.iter().skip(1).map(|(id, _, what)| (*id, *what)).collect();
    let found = checked(cases.into_iter().map(|(_, task, _)| task).collect());
    assert_eq!(found.suites, [("s".to_owned(), 9, 17)]);
    assert_eq!(found.faults.len(), expected.len(), "{:#?}", found.faults);
    for (fault, (id, what)) in found.faults.iter().zip(expected) {
        assert!(fault.contains(&format!("task `{id}`")) && fault.contains(what), "{fault}");
    }
}

#[test]
fn every_template_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    for kind in KINDS {
        new_task(&folder.path().join(kind), kind).unwrap();
    }
    let taken = new_task(&folder.path().join("tests"), "tests").unwrap_err();
    assert!(taken.is_bad_input() && taken.to_string().contains("is there already"), "{taken}");
    assert!(new_task(Path::new("/nowhere/at/all"), "tests").is_err());
    assert!(new_task(&folder.path().join("x"), "test").unwrap_err().to_string().contains("did you mean `tests`?"));
    let paths: Vec<_> = KINDS.iter().map(|kind| folder.path().join(kind)).collect();
    let suites = load_suites(&paths).unwrap();
    let policy = Policy { imports: Vec::new(), ..Policy::default() };
    let found = check(&suites, &policy, 2, &|| {});
    assert_eq!((found.faults, found.suites.len()), (Vec::new(), KINDS.len()));
}
