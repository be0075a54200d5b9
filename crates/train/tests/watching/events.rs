//! TensorBoard's files of whole runs. That TensorBoard reads them is checked by `tests/tensorboard_check.py`.

use crate::tiny::{Tiny, names};

/// Lengths of a file's records, each of which has to be as long as it says.
fn records(bytes: &[u8]) -> Vec<usize> {
    let (mut lengths, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
        lengths.push(length);
        at += 8 + 4 + length + 4;
    }
    assert_eq!(at, bytes.len());
    lengths
}

#[test]
fn a_run_leaves_an_event_for_each_row_and_a_new_file_when_it_goes_on() {
    let tiny = Tiny::new();
    tiny.run(&[]).expect_code(0);
    let files = names(&tiny.path("run/tensorboard"));
    assert_eq!(files.len(), 1);
    let rows = String::from_utf8(tiny.read("run/metrics.jsonl")).unwrap().lines().count();
    // And the version of the format.
    assert_eq!(records(&tiny.read(&format!("run/tensorboard/{}", files[0]))).len(), rows + 1);

    for name in ["step-000006", "adapter", "merged"] {
        std::fs::remove_dir_all(tiny.path("run").join(name)).unwrap();
    }
    tiny.run(&["--resume"]).expect_code(0);
    let files = names(&tiny.path("run/tensorboard"));
    assert_eq!(files.len(), 2);
    // Version, start after step 3, step 3 again, three steps, and the held-out loss.
    assert_eq!(records(&tiny.read(&format!("run/tensorboard/{}", files[1]))).len(), 7);
}

#[test]
fn without_tensorboard_there_is_no_folder_of_it() {
    let tiny = Tiny::new();
    tiny.run(&["--set", "output.tensorboard=false", "--set", "train.steps=1"]).expect_code(0);
    assert!(!tiny.path("run/tensorboard").exists());
}
