//! Stores that are filled, searched, damaged, cut off by crashes and written by two.

use super::*;
use std::convert::Infallible;

fn candidate(name: &str, doc: &str, body: &str) -> Candidate {
    Candidate {
        name: name.into(),
        signature: format!("{name}(text: str)"),
        doc: doc.into(),
        source: format!("def {name}(text):\n    {body}\n"),
        tests: format!("assert {name}('a') is not None\n"),
    }
}

fn passes(_: &str) -> Result<Verdict, Infallible> {
    Ok(Verdict::Passed)
}

fn store() -> (tempfile::TempDir, SkillStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = SkillStore::open(&folder.path().join("skills")).unwrap();
    (folder, store)
}

fn names(found: &Found) -> Vec<&str> {
    found.hits.iter().map(|hit| hit.skill.name.as_str()).collect()
}

#[test]
fn only_what_was_verified_is_stored() {
    let (_folder, store) = store();
    let double = candidate("double", "Twice.", "return 2 * text");
    let mut program = String::new();
    let rejected = store.add(&double, &mut |given: &str| {
        program = given.to_string();
        Ok::<_, Infallible>(Verdict::Failed("AssertionError".into()))
    });
    assert_eq!(rejected.unwrap(), Added::Rejected("AssertionError".into()));
    assert_eq!(program, "def double(text):\n    return 2 * text\n\nassert double('a') is not None\n");
    let failed = store.add(&double, &mut |_: &str| Err(io::Error::other("no sandbox"))).unwrap_err();
    assert!(matches!(failed, SkillError::Verify { .. }), "{failed}");
    let unfit = store
        .add(&Candidate { name: "../x".into(), ..double.clone() }, &mut |_: &str| -> Result<_, Infallible> {
            panic!("verified before it was checked")
        });
    assert!(matches!(unfit, Err(SkillError::Unfit(_))));
    assert_eq!(store.skills().unwrap(), (vec![], vec![]));
    assert_eq!(store.add(&double, &mut passes).unwrap(), Added::Stored { version: 1 });
    let (skills, problems) = store.skills().unwrap();
    assert_eq!((skills.len(), skills[0].uses, problems.len()), (1, 0, 0));
}

#[test]
fn a_new_source_is_a_new_version_and_the_old_is_kept() {
    let (_folder, store) = store();
    let source = |number: u64| candidate("count", "Counts.", &format!("return {number}"));
    for number in 1..=25 {
        assert_eq!(store.add(&source(number), &mut passes).unwrap(), Added::Stored { version: number });
        store.record_use("count", true).unwrap();
    }
    let known = store.add(&source(25), &mut |_: &str| -> Result<_, Infallible> { panic!("verified again") });
    assert_eq!(known.unwrap(), Added::Known { version: 25 });
    let versions = store.root.join("count/versions");
    let mut kept: Vec<u64> = std::fs::read_dir(&versions)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
        .collect();
    kept.sort();
    assert_eq!(kept, (5..=24).collect::<Vec<_>>());
    let old = folder::read(&versions.join("7"), "count").unwrap_or_else(|reason| panic!("{reason}"));
    assert_eq!((old.skill.version, old.skill.uses, old.source.as_str()), (7, 1, source(7).source.as_str()));
    let skill = &store.skills().unwrap().0[0];
    assert_eq!((skill.version, skill.uses, skill.successes), (25, 1, 1));
}

#[test]
fn search_finds_by_words_and_holds_back_what_failed() {
    let (_folder, store) = store();
    for skill in [
        candidate("parse_dates", "Reads dates in many forms.", "return text"),
        candidate("readTable", "A table from CSV.", "return csv_rows(text)"),
        candidate("other_dates", "Reads dates in many forms.", "return text"),
        candidate("nothing", "Unrelated.", "return 1"),
    ] {
        store.add(&skill, &mut passes).unwrap();
    }
    let search = |query: &str, limit| store.search(query, limit).unwrap();
    assert_eq!(names(&search("parse a date", 10)), ["parse_dates", "other_dates"]);
    assert_eq!(names(&search("CSV table", 10)), ["readTable"]);
    assert_eq!(names(&search("rows", 10)), ["readTable"], "an identifier of the source");
    assert_eq!(names(&search("dates", 10)), ["other_dates", "parse_dates"], "a tie goes by name");
    assert_eq!(names(&search("dates", 1)), ["other_dates"]);
    assert_eq!(names(&search("dates", 0)), [""; 0]);
    assert_eq!(names(&search("\0 ? zebra", 10)), [""; 0]);
    store.record_use("other_dates", false).unwrap();
    assert_eq!(names(&search("dates", 10)), ["parse_dates", "other_dates"]);
    assert_eq!(search("dates", 10), search("dates", 10));
}

#[test]
fn a_prelude_defines_each_skill_once() {
    let (_folder, store) = store();
    store.add(&candidate("first", "", "return 1"), &mut passes).unwrap();
    store.add(&candidate("second", "", "return 2"), &mut passes).unwrap();
    let prelude = store.prelude(&["second", "first", "second"]).unwrap();
    assert_eq!(
        prelude,
        "# skill second, version 1\ndef second(text):\n    return 2\n\n\n\
        # skill first, version 1\ndef first(text):\n    return 1\n"
    );
    assert_eq!(store.prelude(&[]).unwrap(), "");
    assert!(matches!(store.prelude(&["first", "third"]), Err(SkillError::Unknown { name }) if name == "third"));
    assert!(matches!(store.prelude(&["../skills/first"]), Err(SkillError::Unfit(_))));
    assert!(matches!(store.record_use("third", true), Err(SkillError::Unknown { .. })));
}

/// A change to the folder of a skill.
type Damage = fn(&Path);

#[test]
fn damaged_folders_are_reported_and_passed_over() {
    let cases: [(Damage, &str); 15] = [
        (|skill| std::fs::write(skill.join("skill.json"), "{").unwrap(), "malformed"),
        (|skill| std::fs::write(skill.join("skill.json"), "[".repeat(10_000)).unwrap(), "malformed"),
        (|skill| std::fs::write(skill.join("skill.json"), vec![b' '; 1 << 20]).unwrap(), "longer than"),
        (|skill| edit(skill, "\"uses\": 0", "\"uses\": -1"), "malformed"),
        (|skill| edit(skill, "\"uses\": 0", "\"extra\": 0, \"uses\": 0"), "malformed"),
        (|skill| edit(skill, "\"successes\": 0", "\"successes\": 9"), "more successes"),
        (|skill| edit(skill, "\"name\": \"bad\"", "\"name\": \"good\""), "is about `good`"),
        (|skill| edit(skill, "Bad.", "\\u001b[31m"), "control character"),
        (|skill| std::fs::write(skill.join("skill.py"), "def bad(text): evil()\n").unwrap(), "changed since"),
        (|skill| std::fs::write(skill.join("skill.py"), [b'\xff'; 10]).unwrap(), "not UTF-8"),
        (|skill| std::fs::write(skill.join("tests.py"), vec![b'#'; 1 << 20]).unwrap(), "longer than"),
        (|skill| std::fs::remove_file(skill.join("tests.py")).unwrap(), "cannot be opened"),
        (|skill| link(&skill.join("skill.py"), Path::new("/etc/passwd")), "cannot be opened"),
        (|skill| pipe(&skill.join("skill.py")), "is not a file"),
        (|skill| link(skill, &skill.with_file_name("good")), "not a folder"),
    ];
    for (damage, reason) in cases {
        let (_folder, store) = store();
        store.add(&candidate("good", "Good.", "return 1"), &mut passes).unwrap();
        store.add(&candidate("bad", "Bad.", "return 1"), &mut passes).unwrap();
        damage(&store.root.join("bad"));
        let found = store.search("good bad", 10).unwrap();
        assert_eq!(names(&found), ["good"], "{reason}");
        let told = found.problems[0].to_string();
        assert!(found.problems.len() == 1 && told.contains(reason) && told.contains("\nhint: "), "{reason}: {told}");
        assert!(matches!(store.prelude(&["bad"]), Err(SkillError::Damaged(_))), "{reason}");
        assert!(matches!(store.record_use("bad", true), Err(SkillError::Damaged(_))), "{reason}");
        // Adding it again mends it.
        store.add(&candidate("bad", "Bad.", "return 1"), &mut passes).unwrap();
        assert_eq!(store.search("good bad", 10).unwrap().hits.len(), 2, "{reason}");
    }
}

fn edit(skill: &Path, from: &str, to: &str) {
    let path = skill.join("skill.json");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(&path, text.replace(from, to)).unwrap();
}

fn link(path: &Path, target: &Path) {
    match path.is_dir() {
        true => std::fs::remove_dir_all(path).unwrap(),
        false => std::fs::remove_file(path).unwrap(),
    }
    std::os::unix::fs::symlink(target, path).unwrap();
}

fn pipe(path: &Path) {
    std::fs::remove_file(path).unwrap();
    let mode = rustix::fs::Mode::RWXU;
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

#[test]
fn other_things_in_the_folder_do_no_harm() {
    use std::os::unix::ffi::OsStrExt;
    let (_folder, store) = store();
    store.add(&candidate("good", "Good.", "return 1"), &mut passes).unwrap();
    std::fs::write(store.root.join("README.md"), "notes").unwrap();
    std::fs::create_dir(store.root.join("class")).unwrap();
    std::fs::create_dir(store.root.join(std::ffi::OsStr::from_bytes(b"\xff\n"))).unwrap();
    std::fs::create_dir(store.root.join(".git")).unwrap();
    let (skills, problems) = store.skills().unwrap();
    assert_eq!((skills.len(), problems.len()), (1, 3), "{problems:?}");
}

#[test]
fn a_crash_leaves_the_old_or_the_new() {
    let (_folder, store) = store();
    store.add(&candidate("kept", "", "return 1"), &mut passes).unwrap();
    store.add(&candidate("gone", "", "return 1"), &mut passes).unwrap();
    let at = |name: &str| store.root.join(name);
    // Cut off between the two renames, behind the second, and while writing.
    std::fs::rename(at("gone"), at(".old-gone")).unwrap();
    std::fs::create_dir_all(at(".old-kept/versions")).unwrap();
    std::fs::create_dir_all(at(".partial-gone/versions")).unwrap();
    let store = SkillStore::open(&store.root).unwrap();
    assert_eq!(store.skills().unwrap().0.len(), 2);
    let mut left: Vec<_> = std::fs::read_dir(&store.root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, [".lock", "gone", "kept"]);
}

#[test]
fn two_writers_and_a_reader_share_a_store() {
    let (_folder, store) = store();
    store.add(&candidate("counted", "Shared.", "return 0"), &mut passes).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let store = SkillStore::open(&store.root).unwrap();
            scope.spawn(move || {
                for round in 0..10 {
                    store.record_use("counted", round % 2 == 0).unwrap();
                    let both = candidate("both", "Shared.", &format!("return {writer}{round}"));
                    store.add(&both, &mut passes).unwrap();
                }
            });
        }
        let store = SkillStore::open(&store.root).unwrap();
        scope.spawn(move || {
            for _ in 0..20 {
                let found = store.search("shared", 10).unwrap();
                assert!(found.problems.is_empty() && !found.hits.is_empty(), "{found:?}");
            }
        });
    });
    let (skills, problems) = store.skills().unwrap();
    assert_eq!((skills.len(), problems.len()), (2, 0));
    assert_eq!((skills[0].version, skills[1].uses, skills[1].successes), (20, 20, 10));
}

#[test]
fn a_store_of_others_can_be_read() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, store) = store();
    store.add(&candidate("good", "Good.", "return 1"), &mut passes).unwrap();
    let set = |mode| std::fs::set_permissions(&store.root, std::fs::Permissions::from_mode(mode)).unwrap();
    set(0o555);
    std::fs::set_permissions(store.root.join(LOCK), std::fs::Permissions::from_mode(0o444)).unwrap();
    let opened = SkillStore::open(&store.root);
    let found = opened.map(|store| store.search("good", 1).unwrap());
    let is_root = rustix::process::geteuid().is_root();
    let added = store.add(&candidate("new", "", "return 1"), &mut passes);
    set(0o755);
    assert_eq!(names(&found.unwrap()), ["good"]);
    // Permissions do not hold for root.
    assert_eq!(added.is_ok(), is_root);
}
