//! The folder of a run: whole or not at all, never overwritten or continued unasked.

use codeact_data::hash;
use codeact_train::folder::{self, Held, Start};

use crate::tiny::{Tiny, names};

#[test]
fn a_folder_appears_whole_or_not_at_all() {
    let room = tempfile::tempdir().unwrap();
    let target = room.path().join("step-000001");
    let fill = |text: &'static str| {
        move |partial: &std::path::Path| {
            std::fs::write(partial.join("a"), text).unwrap();
            Ok(())
        }
    };
    folder::write_whole(&target, fill("first")).unwrap();
    // What an earlier crash left is not mixed in.
    std::fs::create_dir(room.path().join("step-000001.partial")).unwrap();
    std::fs::write(room.path().join("step-000001.partial/b"), "left over").unwrap();
    folder::write_whole(&target, fill("second")).unwrap();
    assert_eq!(names(&target), ["a"]);
    assert_eq!(std::fs::read_to_string(target.join("a")).unwrap(), "second");

    let failed = folder::write_whole(&target, |partial| {
        std::fs::write(partial.join("c"), "half").unwrap();
        folder::write_file(&partial.join("no such folder/d"), b"")
    });
    assert!(failed.is_err());
    assert_eq!(names(room.path()), ["step-000001"]);
    assert_eq!(std::fs::read_to_string(target.join("a")).unwrap(), "second");
}

#[test]
fn an_unfinished_checkpoint_is_never_continued() {
    let room = tempfile::tempdir().unwrap();
    for name in ["step-000010", "step-000009", "step-000011.partial"] {
        std::fs::create_dir(room.path().join(name)).unwrap();
    }
    let start = folder::inspect(room.path(), true, false).unwrap();
    assert_eq!(start, Start::Continue(room.path().join("step-000010")));
}

#[test]
fn only_the_newest_checkpoints_stay() {
    let tiny = Tiny::new();
    tiny.run(&["--set", "checkpoint.every=1", "--set", "checkpoint.keep_last=3"]).expect_code(0);
    let kept: Vec<String> = names(&tiny.path("run")).into_iter().filter(|name| name.starts_with("step")).collect();
    assert_eq!(kept, ["step-000004", "step-000005", "step-000006"]);
}

#[test]
fn an_earlier_run_is_neither_overwritten_nor_continued_unasked() {
    let tiny = Tiny::new();
    tiny.run(&[]).expect_code(0);
    let before = tiny.read("run/metrics.jsonl");
    tiny.run(&[]).expect_code(2).says("holds an earlier run").says("`--resume`").says("output.overwrite=true");
    assert_eq!(tiny.read("run/metrics.jsonl"), before);
    tiny.run(&["--set", "output.overwrite=true", "--set", "train.steps=2"]).expect_code(0);
    assert_eq!(
        names(&tiny.path("run")),
        ["adapter", "config.toml", "merged", "metrics.jsonl", "plan.jsonl", "step-000002", "tensorboard"]
    );
}

#[test]
fn a_folder_with_other_things_is_never_touched() {
    let tiny = Tiny::new();
    std::fs::create_dir(tiny.path("run")).unwrap();
    tiny.write("run/thesis.txt", "years of work");
    for arguments in [&[][..], &["--resume"], &["--set", "output.overwrite=true"]] {
        tiny.run(arguments).expect_code(2).says("holds `thesis.txt`, which no run wrote");
        assert_eq!(names(&tiny.path("run")), ["thesis.txt"]);
    }
}

#[test]
fn a_folder_that_another_run_holds_is_left_alone() {
    let tiny = Tiny::new();
    tiny.run(&["--set", "train.steps=1"]).expect_code(0);
    // What another run would have begun to write.
    std::fs::create_dir(tiny.path("run/step-000002.partial")).unwrap();
    let (before, metrics) = (names(&tiny.path("run")), tiny.read("run/metrics.jsonl"));
    let held = Held::of(&tiny.path("run")).unwrap();
    for arguments in [["--resume"].as_slice(), &["--set", "output.overwrite=true"]] {
        tiny.run(arguments).expect_code(2).says("run` is in use by another run").says("hint: wait for its end");
        assert_eq!(names(&tiny.path("run")), before);
        assert_eq!(tiny.read("run/metrics.jsonl"), metrics);
    }
    tiny.run(&["--dry-run"]).expect_code(0);
    drop(held);
    tiny.run(&["--set", "output.overwrite=true"]).expect_code(0);
}

#[test]
fn a_checkpoint_of_another_run_is_refused_by_what_differs() {
    let tiny = Tiny::new();
    tiny.run(&[]).expect_code(0);
    let before = names(&tiny.path("run"));
    tiny.run(&["--resume", "--set", "lora.alpha=8", "--set", "train.seed=9"])
        .expect_code(2)
        .says("is of another run")
        .says("`lora.alpha` was 16.0 there and is 8.0 here")
        .says("`train.seed` was 0 there and is 9 here")
        .says("its data plan differs");
    tiny.write_data("train.jsonl", 23);
    let ended = tiny.run(&["--resume"]).expect_code(2).says("its data plan differs (data files");
    assert!(!ended.stderr.contains("lora."));
    tiny.write_data("train.jsonl", 24);
    tiny.write_data("validation.jsonl", 5);
    tiny.run(&["--resume"]).expect_code(2).says("its held-out data differs");
    assert_eq!(names(&tiny.path("run")), before);
}

#[test]
fn a_damaged_checkpoint_is_set_aside_and_the_one_before_it_used() {
    let tiny = Tiny::new();
    tiny.run(&[]).expect_code(0);
    let wanted = tiny.read("run/step-000006/adapter_model.safetensors");
    let state = String::from_utf8(tiny.read("run/step-000006/state.json")).unwrap();
    tiny.write("run/step-000006/state.json", &state.replace("\"step\": 6", "\"step\": 5"));
    let warning = "`state.json` is not what the run wrote";
    tiny.run(&["--resume", "--dry-run"]).expect_code(0).says(warning);
    assert!(tiny.path("run/step-000006").exists(), "a dry run changes nothing");
    tiny.run(&["--resume"]).expect_code(0).says(warning).says("continuing").says("step-000003");
    assert!(tiny.read("run/step-000006/adapter_model.safetensors") == wanted);
    assert!(names(&tiny.path("run")).contains(&"step-000006.damaged".to_owned()));
    tiny.run(&["--set", "output.overwrite=true", "--set", "train.steps=1"]).expect_code(0);
    assert!(!tiny.path("run/step-000006.damaged").exists());
}

#[test]
fn a_checkpoint_beyond_its_plan_is_refused_though_its_sums_agree() {
    let tiny = Tiny::new();
    tiny.run(&[]).expect_code(0);
    let [state, sums] = ["state.json", "SHA256SUMS"].map(|name| format!("run/step-000006/{name}"));
    let [written, listed] = [&state, &sums].map(|name| String::from_utf8(tiny.read(name)).unwrap());
    for (from, to, told) in [
        ("\"step\": 6,", "\"step\": 7,", "step-000006/state.json`: is after step 7 of a plan of 6 steps"),
        ("\"updates\": 6,", "\"updates\": 7,", "step-000006/state.json`: has 7 updates after 6 steps"),
    ] {
        let forged = written.replacen(from, to, 1);
        assert_ne!(forged, written);
        tiny.write(&state, &forged);
        tiny.write(&sums, &listed.replace(&hash::of_text(&written), &hash::of_text(&forged)));
        tiny.run(&["--resume"]).expect_code(2).says(told).says("hint: remove this folder");
    }
}

#[test]
fn a_damaged_checkpoint_without_another_is_named() {
    let tiny = Tiny::new();
    tiny.run(&["--set", "checkpoint.keep_last=1"]).expect_code(0);
    tiny.write("run/step-000006/optimizer.safetensors", "not tensors");
    tiny.run(&["--resume"])
        .expect_code(2)
        .says("step-000006`: `optimizer.safetensors` is not what the run wrote")
        .says("hint: remove this folder");
    assert!(tiny.path("run/step-000006").exists());
}

#[test]
fn the_best_and_every_mth_checkpoint_stay() {
    let tiny = Tiny::new();
    let settings = ["checkpoint.every=1", "checkpoint.keep_last=1", "checkpoint.keep_every=4"];
    tiny.run(&settings.map(|setting| ["--set", setting]).concat()).expect_code(0);
    let kept: Vec<String> = names(&tiny.path("run")).into_iter().filter(|name| name.starts_with("step")).collect();
    assert_eq!(kept, ["step-000004", "step-000006"]);
}

#[test]
fn resume_without_a_checkpoint_starts_and_says_so() {
    let tiny = Tiny::new();
    tiny.run(&["--resume"]).expect_code(0).says("no checkpoint in").says("starting at step 1");
}

#[test]
fn results_without_a_checkpoint_are_not_lost_to_resume() {
    let tiny = Tiny::new();
    tiny.run(&[]).expect_code(0);
    for step in ["step-000003", "step-000006"] {
        std::fs::remove_dir_all(tiny.path("run").join(step)).unwrap();
    }
    let before = tiny.read("run/merged/model.safetensors");
    tiny.run(&["--resume"]).expect_code(2).says("but no checkpoint to continue").says("output.overwrite=true");
    assert!(tiny.read("run/merged/model.safetensors") == before);
    let overwrite = folder::inspect(&tiny.path("run"), true, true).unwrap();
    assert_eq!(overwrite, Start::Fresh);
}

#[test]
fn a_replacement_that_a_crash_cut_off_is_undone_or_completed() {
    let room = tempfile::tempdir().unwrap();
    for name in ["step-000004.old", "step-000004.partial", "merged", "merged.old"] {
        std::fs::create_dir(room.path().join(name)).unwrap();
    }
    folder::recover(room.path()).unwrap();
    assert_eq!(names(room.path()), ["merged", "step-000004"]);
    let start = folder::inspect(room.path(), true, false).unwrap();
    assert_eq!(start, Start::Continue(room.path().join("step-000004")));
    // Not a run's folder: not ours to put in order.
    std::fs::create_dir(room.path().join("adapter.old")).unwrap();
    std::fs::write(room.path().join("thesis.txt"), "").unwrap();
    folder::recover(room.path()).unwrap();
    assert!(room.path().join("adapter.old").exists());
}

#[test]
fn a_file_in_the_place_of_the_folder_is_a_bad_setting() {
    let tiny = Tiny::new();
    tiny.write("run", "a file");
    for arguments in [&[][..], &["--resume"], &["--dry-run"]] {
        tiny.run(arguments).expect_code(2).says("which is or goes through a file");
    }
    assert_eq!(tiny.read("run"), b"a file");
}
