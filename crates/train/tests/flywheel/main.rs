//! A flywheel from the base model to its page, on a tiny model that has learned one trajectory by heart: whole, killed, moved
//! and gone on, and what is refused. Rounds that are kept are in `rounds.rs`.

#![allow(clippy::unwrap_used)] // a test may fail where it stands

#[path = "../all/tiny.rs"]
#[allow(dead_code)] // other tests use the rest of it
mod tiny;

mod rounds; // what becomes of better ones

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};
use tiny::{Tiny, names};

/// A conversation to learn by heart, in which a number is printed and is the solution.
fn trajectory(id: &str, prompt: &str, number: usize) -> Value {
    let turns = json!([
        {"role": "system", "content": "Solve tasks by running Python."},
        {"role": "user", "content": prompt},
        {"role": "assistant", "content": format!("<execute>\nprint({number})\n</execute>")},
        {"role": "user", "content": format!("Observation:\n{number}")},
        {"role": "assistant", "content": format!("<solution>{number}</solution>")},
    ]);
    json!({"id": id, "conversations": turns})
}

/// A task whose family is of a group.
fn task(group: &str, prompt: &str, answer: usize) -> Value {
    json!({"id": format!("{group}-{prompt}"), "family": format!("{group}/f"), "prompt": prompt, "answer": answer})
}

/// Held-out data: a trajectory, and a conversation that is chat.
fn held_out_rows() -> String {
    let chat = json!([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]);
    lines([trajectory("code/0", "go 9", 7), json!({"id": "chat/0", "conversations": chat})].into_iter())
}

fn lines(rows: impl Iterator<Item = Value>) -> String {
    rows.map(|row| format!("{row}\n")).collect()
}

/// A model, data that it can learn by heart, tasks, and a `[flywheel]` that writes into `wheel/`.
fn room() -> Tiny {
    let tiny = Tiny::new();
    let prompt = |index: usize| format!("go {}", index % 3);
    tiny.write("train.jsonl", &lines((0..9).map(|index| trajectory(&format!("t{index}"), &prompt(index), 7))));
    tiny.write("validation.jsonl", &held_out_rows());
    tiny.write(
        "practice.jsonl",
        &lines([task("p", "go 0", 7), task("p", "go 1", 7), task("p", "go 2", 8)].into_iter()),
    );
    tiny.write(
        "held.jsonl",
        &lines([task("new", "go 3", 7), task("new", "go 5", 8), task("old", "go 4", 7)].into_iter()),
    );
    settle(&tiny, 150, "rounds = 1\nsamples = 2\nenough = 1\ntemperature = 0.01\n");
    tiny
}

/// Settings of a flywheel that writes into `wheel/`, with steps enough to learn by heart.
fn settle(tiny: &Tiny, steps: usize, flywheel: &str) {
    let text = String::from_utf8(tiny.read("settings.toml")).unwrap();
    let text = text
        .replace("steps = 6", &format!("steps = {steps}"))
        .replace("accumulation = 2", "accumulation = 1")
        .replace("pack_tokens = 220", "pack_tokens = 400")
        .replace("rank = 4", "rank = 16")
        .replace("every = 3", "every = 50")
        .replace(&format!("{:?}", tiny.path("run")), &format!("{:?}", tiny.path("wheel")));
    let table = format!(
        "[flywheel]\nlicence = \"CC0-1.0\"\npractice = [{:?}]\nheld_out = [{:?}]\nmetric = \"new\"\nchat = \"chat/*\"\n\
         chat_loss_ratio_max = 9\nreply_tokens_max = 60\nparallel = 2\n{flywheel}",
        tiny.path("practice.jsonl"),
        tiny.path("held.jsonl"),
    );
    tiny.write("settings.toml", &(text + &table));
}

/// The state of a flywheel without what a clock measured, and without where the room is, which stands in hashed files too.
fn state(tiny: &Tiny, dir: &str) -> Value {
    let text = String::from_utf8(tiny.read(&format!("{dir}/flywheel.json"))).unwrap();
    let text = text.replace(&tiny.path("").display().to_string(), "ROOM/");
    let mut state: Value = serde_json::from_str(&text).unwrap();
    fn forget(value: &mut Value) {
        match value {
            Value::Object(entries) => {
                let others = ["seconds", "start_seconds", "identity", "sha256", "start_sha256"];
                entries.retain(|key, _| !others.contains(&key.as_str()));
                entries.values_mut().for_each(forget);
            }
            Value::Array(items) => items.iter_mut().for_each(forget),
            _ => {}
        }
    }
    forget(&mut state);
    state
}

#[test]
fn rounds_collect_train_measure_and_decide_and_go_on_after_a_kill() {
    let tiny = room();
    let ended = tiny.run(&[]).expect_code(0);
    assert!(ended.stdout.contains("round 1") && ended.stdout.contains("adapter  "), "{}", ended.stdout);
    let whole = state(&tiny, "wheel");
    let solved = |figures: &Value| (figures["metric"]["solved"].clone(), figures["metric"]["tasks"].clone());
    assert_eq!(solved(&whole["base"]), (json!(0), json!(2)));
    assert_eq!(solved(&whole["start"]), (json!(1), json!(2)), "the trajectory was not learned: {whole:#}");
    assert_eq!(whole["start"]["versus"]["won"], json!(1));
    let round = &whole["rounds"][0];
    assert_eq!(round["collected"]["kept"], json!(2), "{round:#}");
    assert_eq!(round["collected"]["dropped"], json!({"wrong": 2}));
    // No more than before are no reason to keep it.
    assert!(round["figures"]["metric"]["solved"].as_u64().unwrap() <= 1, "{round:#}");
    assert_eq!(round["verdict"]["is_kept"], json!(false));
    assert_eq!(std::fs::read_link(tiny.path("wheel/best")).unwrap().to_str(), Some("start/train"));
    let page = String::from_utf8(tiny.read("wheel/flywheel.html")).unwrap();
    assert!(page.contains("What each round did") && page.contains("rejected") && page.ends_with("</html>\n"));
    let rows = String::from_utf8(tiny.read("wheel/round-1/collect/conversations.jsonl")).unwrap();
    let first: Value = serde_json::from_str(rows.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&first["provenance"]["teacher"], &first["provenance"]["verified"]),
        (&json!(tiny.path("model")), &json!("reproduced"))
    );
    assert_eq!(first["licence"], json!("CC0-1.0"));
    let plan = String::from_utf8(tiny.read("wheel/round-1/train/plan.jsonl")).unwrap();
    assert!(plan.contains("conversations.jsonl"), "the round did not train on what it collected");

    // Killed at several places and moved to others, another one ends in the same numbers.
    let (other, mut dir) = (room(), "wheel".to_owned());
    for place in ["measuring start", "round 1, attempt 1", "held-out loss before training", "measuring round 1"] {
        let here = format!("output.dir={:?}", other.path(&dir));
        let mut child = other.command(&["--resume", "--set", &here]);
        let mut child = child.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let mut heard = Vec::new();
        let is_said = said.any(|line| {
            heard.push(line);
            heard.last().unwrap().contains(place)
        });
        assert!(is_said, "nothing was said of {place}: {heard:#?}");
        child.kill().unwrap();
        child.wait().unwrap();
        let moved = format!("after {}", place.replace([' ', ','], "-"));
        std::fs::rename(other.path(&dir), other.path(&moved)).unwrap();
        dir = moved;
    }
    let here = format!("output.dir={:?}", other.path(&dir));
    let ended = other.run(&["--resume", "--set", &here]).expect_code(0);
    let best = other.path(&dir).join("start/train/adapter");
    assert!(ended.stdout.ends_with(&format!("adapter  {}\n", best.display())), "{}", ended.stdout);
    assert_eq!(state(&other, &dir), whole);
    assert!(other.path(&dir).join("best/adapter/adapter_model.safetensors").is_file());

    let held = codeact_train::folder::Held::of(&tiny.path("wheel")).unwrap();
    tiny.run(&["--resume"]).expect_code(2).says("wheel` is in use by another run");
    drop(held);

    // One more round is no other flywheel, and finds nothing new; nor is another guard, which errors tell to set.
    let guard = ["--set", "guard.on_not_finite=rollback", "--set", "guard.on_spike=rollback"];
    let more = tiny.run(&[&["--resume", "--set", "flywheel.rounds=2"][..], &guard].concat()).expect_code(0);
    assert!(more.stdout.contains("round 2: rejected: nothing was collected"), "{}", more.stdout);
    assert_eq!(state(&tiny, "wheel")["rounds"][0], whole["rounds"][0]);
    tiny.run(&[]).expect_code(2).says("hint:");
    tiny.run(&["--resume", "--set", "flywheel.temperature=0.5"]).expect_code(2).says("`flywheel.temperature` was 0.01");
    assert_eq!(names(&tiny.path("wheel/round-2")), ["collect"]);
    other_contents_are_another_flywheel(&tiny);
}

/// One that is over goes on only with what it was begun with.
fn other_contents_are_another_flywheel(tiny: &Tiny) {
    let resume = ["--resume", "--set", "flywheel.rounds=2"];
    let refused_with = |hint: &str, name: &str, change: &dyn Fn(&mut Vec<u8>), said: &str| {
        let before = tiny.read(name);
        let mut after = before.clone();
        change(&mut after);
        assert!(after != before, "{name} is as it was");
        std::fs::write(tiny.path(name), after).unwrap();
        tiny.run(&resume).expect_code(2).says(said).says(hint);
        std::fs::write(tiny.path(name), before).unwrap();
    };
    let refused = |name: &str, change: &dyn Fn(&mut Vec<u8>), said: &str| {
        refused_with("hint: use its settings to go on", name, change, said);
    };
    fn other_text(bytes: &mut Vec<u8>, from: &str, to: &str) {
        let text = String::from_utf8(std::mem::take(bytes)).unwrap();
        *bytes = text.replacen(from, to, 1).into_bytes();
    }
    let learned = "the conversations of its `[[data]]` were others";
    refused("train.jsonl", &|bytes| other_text(bytes, "print(7)", "print(6)"), learned);
    let held_out = "the held-out conversations of its `[[data]]` were others";
    refused("validation.jsonl", &|bytes| other_text(bytes, "hello", "hallo"), held_out);
    let practice = "the practice tasks of suite `practice` were others";
    refused("practice.jsonl", &|bytes| other_text(bytes, ":8", ":9"), practice);
    refused("held.jsonl", &|bytes| other_text(bytes, ":8", ":9"), "the held-out tasks of suite `held` were others");
    // The last bit of a weight.
    let weight = |bytes: &mut Vec<u8>| {
        let place = bytes.len() - 4;
        bytes[place] ^= 1;
    };
    refused("model/model.safetensors", &weight, "its base model had other files");
    // What the flywheel wrote itself and reads again.
    let back = "hint: put it back as it was, or begin anew";
    let collected = "conversations.jsonl` is not what the flywheel wrote";
    let other = |bytes: &mut Vec<u8>| other_text(bytes, "print(7)", "print(6)");
    refused_with(back, "wheel/round-1/collect/conversations.jsonl", &other, collected);
    let adapter = "adapter_model.safetensors` is not what the flywheel wrote";
    refused_with(back, "wheel/start/train/adapter/adapter_model.safetensors", &weight, adapter);
    // Words about the model are none of it.
    tiny.write("model/README.md", "no weights");
    tiny.run(&resume).expect_code(0);
}

#[test]
fn what_cannot_be_measured_or_practised_is_refused_before_anything_is_written() {
    let tiny = room();
    let faults = [
        ("flywheel.held_out=[\"practice.jsonl\"]", "word for word"),
        ("flywheel.metric=nothing", "no held-out task is of"),
        ("flywheel.chat=talk/*", "no held-out conversation"),
        ("flywheel.practice=[]", "is missing or empty"),
        ("flywheel.practice=[\"none.jsonl\"]", "none.jsonl"),
        ("flywheel.temperature=0", "all attempts are the same"),
        ("flywheel.sampels=3", "did you mean `samples`"),
        ("flywheel.preference_epochs=2", "needs `[preference]`"),
        ("data.0.weight=2", "set `repeat`"),
        ("lora.dora=true", "are served merged"),
    ];
    for (fault, said) in faults {
        tiny.run(&["--set", fault]).expect_code(2).says(said);
        assert!(!tiny.path("wheel").exists(), "{fault}");
    }
    for (option, value, key) in [("--python", "python4", "python"), ("--cell-seconds", "7", "cell_seconds")] {
        tiny.run(&[option, value]).expect_code(2).says(&format!("flywheel.{key}")).says("leave the option out");
    }
    // The sandbox is the one that is asked for.
    let unsafe_one = ["--unsafe-no-sandbox", "--set", "flywheel.metric=nothing"];
    tiny.run(&unsafe_one).expect_code(2).says("sandbox: NONE");
    // Learned and not practised: refused by the conversation that has it.
    tiny.write("other.jsonl", &lines([task("p", "go 8", 7)].into_iter()));
    let mut learned = task("new", "\tGO  1 ", 7);
    learned["id"] = json!("learned");
    tiny.write("seen.jsonl", &lines([task("new", "go 7", 7), learned].into_iter()));
    let seen = ["--set", "flywheel.practice=[\"other.jsonl\"]", "--set", "flywheel.held_out=[\"seen.jsonl\"]"];
    let ended = tiny
        .run(&seen)
        .expect_code(2)
        .says("task `learned` is learned, word for word but for case and blanks")
        .says("train.jsonl` line 2 is its prompt, and those of 2 more conversations are, too");
    ended.says("hint: take such conversations out of the data");
    assert!(!tiny.path("wheel").exists());
    // The wording of CodeActInstruct before the prompt hides nothing.
    let rows = String::from_utf8(tiny.read("train.jsonl")).unwrap();
    tiny.write("train.jsonl", &lines([trajectory("worded", "Task:\ngo 1", 7)].into_iter()));
    tiny.run(&seen).expect_code(2).says("task `learned` is learned").says("train.jsonl` line 1");
    tiny.write("train.jsonl", &rows);
    tiny.write("foreign", "");
    let here = format!("output.dir={}", tiny.path("").display());
    tiny.run(&["--set", &here]).expect_code(2).says("hint:");
}

#[test]
fn pairs_and_adapters_that_rounds_cannot_take_are_refused_before_anything_is_written() {
    let tiny = room();
    let said = |text: &str| json!([{"role": "user", "content": "hi"}, {"role": "assistant", "content": text}]);
    let pair = json!({"chosen": said("yes"), "rejected": said("no")});
    tiny.write("pairs.jsonl", &lines([pair].into_iter()));
    let ended = tiny.run(&["--set", "data.0.path=pairs.jsonl"]).expect_code(2);
    ended.says("the rounds of a flywheel learn those that they collect").says("hint: leave it out");
    let other = Tiny::new();
    let dora = ["--set", "lora.dora=true", "--set", "lora.rank=16", "--set", "train.steps=1"];
    other.run(&dora).expect_code(0);
    let adapter = format!("model.adapter={:?}", other.path("run/adapter").display().to_string());
    tiny.run(&["--set", &adapter]).expect_code(2).says("is an adapter of DoRA");
    assert!(!tiny.path("wheel").exists());
}
