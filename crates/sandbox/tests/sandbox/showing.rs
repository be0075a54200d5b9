use crate::{output, policy, run, see, start, start_with, value};
use codeact_sandbox::{CellEnd, Limits, Policy, Session, Stream};
use std::process::Command;

const NOTHING: &str = "[Executed Successfully with No Output]";

#[test]
fn variables_functions_and_imports_persist() {
    let mut session = start();
    assert_eq!(see(&mut session, "import math\ndef area(r):\n    return math.pi * r * r\nx = 41"), NOTHING);
    assert_eq!(see(&mut session, "x + 1"), "42");
    assert_eq!(see(&mut session, "round(area(2), 3)"), "12.566");
}

#[test]
fn the_last_expression_is_echoed_as_repr_unless_none() {
    let mut session = start();
    assert_eq!(see(&mut session, "'a\\n'"), "'a\\n'");
    assert_eq!(see(&mut session, "print('out')\n[1, 2]"), "out\n[1, 2]");
    assert_eq!(see(&mut session, "None"), NOTHING);
    assert_eq!(see(&mut session, "1; 2; y = 3"), NOTHING);
    assert_eq!(see(&mut session, ""), NOTHING);
    assert_eq!(see(&mut session, "# only a comment"), NOTHING);
}

#[test]
fn a_traceback_shows_the_frames_of_the_cell_only() {
    let mut session = start();
    let text = see(&mut session, "print('before')\nx = y + 1");
    let expected = "before\nTraceback (most recent call last):\n  File \"<cell>\", line 2\n    x = y + 1\n\
                    NameError: name 'y' is not defined";
    assert_eq!(text, expected);
    let text = see(&mut session, "import json\njson.loads('{')");
    assert!(
        text.starts_with("Traceback (most recent call last):\n  File \"<cell>\", line 2\n    json.loads('{')\njson")
    );
    assert_eq!(text.lines().count(), 4, "{text}");
}

#[test]
fn frames_of_functions_name_them_and_keep_their_source_in_later_cells() {
    let mut session = start();
    see(&mut session, "def half(n):\n    return n / 0");
    let text = see(&mut session, "half(3)");
    let expected = "Traceback (most recent call last):\n  File \"<cell>\", line 1\n    half(3)\n  \
                    File \"<cell 1>\", line 2, in half\n    return n / 0\nZeroDivisionError: division by zero";
    assert_eq!(text, expected);
    assert_eq!(see(&mut session, "import inspect\ninspect.getsource(half)"), "'def half(n):\\n    return n / 0\\n'");
}

#[test]
fn a_syntax_error_shows_the_line_and_a_caret() {
    let mut session = start();
    let text = see(&mut session, "x = 1\ny = (2 +* 3)");
    let expected = "  File \"<cell>\", line 2\n    y = (2 +* 3)\n            ^\nSyntaxError: invalid syntax";
    assert_eq!(text, expected);
    let text = see(&mut session, "def f():\nreturn 1");
    assert!(text.starts_with("  File \"<cell>\", line 2\n    return 1\n    ^"), "{text}");
    assert!(text.contains("IndentationError: expected an indented block"), "{text}");
    assert_eq!(
        see(&mut session, "x"),
        "Traceback (most recent call last):\n  File \"<cell>\", line 1\n    x\n\
                                        NameError: name 'x' is not defined"
    );
}

#[test]
fn chains_classes_notes_and_deep_recursion_are_readable() {
    let mut session = start();
    let text = see(&mut session, "try:\n    {}['k']\nexcept KeyError as e:\n    raise ValueError('bad') from e");
    assert!(text.contains("KeyError: 'k'\n\nThe above exception was the direct cause"), "{text}");
    assert!(text.ends_with("ValueError: bad"), "{text}");
    let text = see(&mut session, "class Mine(Exception):\n    pass\nraise Mine");
    assert!(text.ends_with("    raise Mine\nMine"), "{text}");
    let text = see(&mut session, "def f(n):\n    return f(n + 1)\nf(0)");
    assert!(text.contains("more times]\nRecursionError: maximum recursion depth exceeded"), "{text}");
    assert!(text.lines().count() < 15, "{text}");
    let text = see(&mut session, "class Rude(Exception):\n    def __str__(self):\n        raise self\nraise Rude()");
    assert!(text.ends_with("Rude: <exception str() failed>"), "{text}");
}

#[test]
fn a_repr_that_raises_is_an_error_of_the_cell() {
    let mut session = start();
    let cell = run(&mut session, "class Bad:\n    def __repr__(self):\n        return 1 / 0\nBad()");
    assert_eq!(cell.end, CellEnd::Raised);
    assert!(cell.error.unwrap().traceback.ends_with("ZeroDivisionError: division by zero"));
}

#[test]
fn output_streams_while_the_cell_runs() {
    let mut session = start();
    let mut pieces = Vec::new();
    // The cell waits for a file that only appears once the first line has been seen.
    let files = session.files();
    let code = "import os, sys, time\nprint('first é')\nwhile not os.path.exists('seen'):\n    time.sleep(0.01)\n\
                print('last', file=sys.stderr)";
    let mut sequences = Vec::new();
    let cell = session
        .run(code, &mut |event| {
            sequences.push(event.sequence);
            let (stream, text) = output(&event).unwrap();
            pieces.push((stream, text.to_string()));
            files.write("seen", &mut std::io::empty(), 10).unwrap();
        })
        .unwrap();
    assert_eq!(pieces, [(Stream::Stdout, "first é\n".to_string()), (Stream::Stderr, "last\n".to_string())]);
    assert_eq!(sequences, [1, 2]);
    assert_eq!((cell.end, cell.stdout.as_str(), cell.stderr.as_str()), (CellEnd::Finished, "first é\n", "last\n"));
}

#[test]
fn a_hundred_megabytes_of_output_keep_both_ends() {
    let limits = Limits { output_bytes_max: 1000, output_file_bytes_max: 200 << 20, ..Limits::default() };
    let mut session = start_with(limits);
    let mut live_bytes = 0;
    let code = "import sys\nprint('begin')\nfor _ in range(100):\n    sys.stdout.write('x' * 1_000_000)\nprint('end')";
    let cell = session.run(code, &mut |event| live_bytes += output(&event).unwrap().1.len()).unwrap();
    assert_eq!(cell.end, CellEnd::Finished);
    assert!(cell.stdout.starts_with("begin\nxxx") && cell.stdout.ends_with("xxxend\n"));
    assert!(cell.stdout.contains("[... 99999010 bytes omitted ...]"), "{}", &cell.stdout[490..560]);
    assert!(live_bytes < 1100, "{live_bytes} bytes were streamed");
    let whole = cell.full_output.unwrap();
    let bytes = std::fs::read(&whole).unwrap();
    assert_eq!(bytes.len(), 100_000_010);
    assert!(bytes.starts_with(b"begin\nxxx") && bytes.ends_with(b"xxxend\n"));
    assert_eq!(bytes.iter().filter(|byte| **byte == b'x').count(), 100_000_000);
    drop(session);
    assert!(!whole.exists(), "the file is there as long as the session");
}

#[test]
fn output_is_kept_whole_up_to_a_limit_and_only_where_it_is_cut() {
    let limits = Limits { output_bytes_max: 1000, output_file_bytes_max: 5000, ..Limits::default() };
    let mut session = start_with(limits);
    assert_eq!(run(&mut session, "print('x' * 999)").full_output, None);
    let cell = run(&mut session, "import sys\nprint('y' * 9000, file=sys.stderr)");
    assert_eq!(std::fs::read(cell.full_output.unwrap()).unwrap(), [b'y'; 5000]);
    let mut session = start_with(Limits { output_bytes_max: 1000, output_file_bytes_max: 0, ..Limits::default() });
    assert_eq!(run(&mut session, "print('x' * 9000)").full_output, None);
}

#[test]
fn a_huge_value_is_cut() {
    let mut session = start();
    let cell = run(&mut session, "'a' * 50_000_000");
    assert!(value(&cell).unwrap().len() < 1_100_000);
    assert!(cell.observation(100).chars().count() < 150);
}

#[test]
fn child_processes_and_threads_print_into_the_cell() {
    let mut session = start();
    assert_eq!(
        see(&mut session, "import subprocess\nsubprocess.run(['sh', '-c', 'echo child']).returncode"),
        "child\n0"
    );
    let code = "import threading\nt = threading.Thread(target=lambda: print('thread', end=''))\nt.start()\nt.join()";
    assert_eq!(see(&mut session, code), "thread");
    let code = "import os\npid = os.fork()\nif pid == 0:\n    print('forked')\nelse:\n    os.waitpid(pid, 0)\n    print('parent')";
    assert_eq!(see(&mut session, code), "forked\nparent");
    assert_eq!(see(&mut session, "1 + 1"), "2");
}

#[test]
fn multiprocessing_works() {
    let mut session = start();
    let code = "import multiprocessing\ndef square(n):\n    return n * n\n\
                with multiprocessing.get_context('fork').Pool(2) as pool:\n    print(pool.map(square, range(5)))";
    assert_eq!(see(&mut session, code), "[0, 1, 4, 9, 16]");
}

#[test]
fn files_and_modules_of_the_workspace_are_there() {
    let mut session = start();
    let code = "open('tool.py', 'w').write('def answer():\\n    return 42\\n')\nimport tool, tempfile\n\
                tempfile.NamedTemporaryFile().write(b'x')\ntool.answer()";
    assert_eq!(see(&mut session, code), "42");
    assert_eq!(session.files().read("tool.py", 100).unwrap(), b"def answer():\n    return 42\n");
}

#[test]
fn a_hash_seed_fixes_the_order_of_sets_and_opens_no_door() {
    let code = "hash('pear'), list({'pear', 'fig', 'apple', 'plum'})";
    for seed in [1, 4_000_000_000_u32] {
        let mut session = Session::start(&Policy { hash_seed: Some(seed), ..policy() }).unwrap();
        let mut plain = Command::new("python3");
        plain.env("PYTHONHASHSEED", seed.to_string()).args(["-c", &format!("print(({code}))")]);
        let plain = String::from_utf8(plain.output().unwrap().stdout).unwrap();
        assert_eq!(see(&mut session, code), plain.trim());
        // As without a seed: nothing of the user's, and one place for modules that cells write.
        let code =
            "import sys, os\n(sys.flags.no_user_site, sys.path.count(''), sys.path[0], 'PYTHONHASHSEED' in os.environ)";
        assert_eq!(see(&mut session, code), "(1, 1, '', False)");
    }
}
