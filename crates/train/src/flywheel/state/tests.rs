//! What comes back of a state, and what a flywheel may change on the way.

use super::*;
use crate::flywheel::figures::figures;

#[test]
fn a_state_comes_back_and_that_of_other_settings_does_not() {
    let room = tempfile::tempdir().expect("a folder");
    let identity = BTreeMap::from([("train.seed".to_owned(), "1".to_owned())]);
    assert_eq!(State::load(room.path(), &identity).expect("nothing is no fault"), None);
    let mut state = State::new(identity.clone());
    assert_eq!(state.open_round().number, 1);
    state.open_round().verdict = Some(Verdict { is_kept: false, why: "w".to_owned() });
    assert_eq!((state.open_round().number, state.rounds_over()), (2, 1));
    // With pairs a round is over when they are.
    let verdict = Verdict { is_kept: true, why: "w".to_owned() };
    let measured = |name: &str| {
        let figures = figures(name, (None, room.path().join("measured")), None, &[], None);
        Some(Figures { chat_loss: 1.5, ..figures })
    };
    let round = state.open_round();
    (round.figures, round.verdict) = (measured("round 2"), Some(verdict.clone()));
    let file = room.path().join("pairs.jsonl");
    round.pairs = Some(Pairs { count: 3, file, figures: measured("pairs 2"), ..Pairs::default() });
    assert_eq!((state.open_round().number, state.rounds_over()), (2, 1));
    assert_eq!(state.best().map(|best| best.name.as_str()), Some("round 2"));
    state.open_round().pairs.as_mut().expect("they are there").verdict = Some(verdict);
    assert_eq!((state.rounds_over(), state.best().map(|best| best.name.as_str())), (2, Some("pairs 2")));
    state.save(room.path()).expect("a file");
    assert_eq!(State::load(room.path(), &identity).expect("the file"), Some(state));
    let other = BTreeMap::from([("train.seed".to_owned(), "2".to_owned())]);
    let error = State::load(room.path(), &other).expect_err("another one").to_string();
    assert!(error.contains("`train.seed` was 1 there and is 2 here"), "{error}");
    std::fs::write(room.path().join(NAME), "{").expect("a file");
    assert!(State::load(room.path(), &identity).is_err());
    std::fs::write(room.path().join(NAME), "{\"version\": 1, \"of before\": []}").expect("a file");
    let error = State::load(room.path(), &identity).expect_err("an old one").to_string();
    assert!(error.contains("is of version 1, this is 2"), "{error}");
}

#[test]
fn a_state_goes_with_its_folder() {
    let room = tempfile::tempdir().expect("a folder");
    let (here, there) = (room.path().join("here"), room.path().join("there"));
    let of = |dir: &Path, adapter: PathBuf| {
        let mut state = State::new(BTreeMap::new());
        state.base = Some(figures("base", (None, dir.join("base/measured")), None, &[], None));
        state.start = Some(figures("start", (Some(adapter), dir.join("start/measured")), None, &[], None));
        let round = state.open_round();
        let adapter = dir.join("round-1/train/adapter");
        let sha256 = BTreeMap::from([("adapter_config.json".to_owned(), "0".to_owned())]);
        let trained = Trained { adapter, sha256, steps: 1, conversations: 1, seconds: 0.5 };
        let of_pairs = Trained { adapter: dir.join("round-1/pairs/train/adapter"), ..trained.clone() };
        let file = dir.join("round-1/collect/pairs.jsonl");
        round.trained = Some(trained);
        round.pairs = Some(Pairs { count: 1, file, trained: Some(of_pairs), ..Pairs::default() });
        state.base.iter_mut().chain(&mut state.start).for_each(|figures| figures.chat_loss = 1.0);
        state
    };
    std::fs::create_dir(&here).expect("a folder");
    let elsewhere = room.path().join("elsewhere/adapter");
    of(&here, elsewhere.clone()).save(&here).expect("a file");
    std::fs::rename(&here, &there).expect("moved");
    assert_eq!(State::load(&there, &BTreeMap::new()).expect("the file"), Some(of(&there, elsewhere)));
    // As the settings name it, from the folder where the command was started.
    of(&there, PathBuf::from("runs/adapter")).save(&there).expect("a file");
    let absolute = std::path::absolute("runs/adapter").expect("a working folder");
    let mut state = State::load(&there, &BTreeMap::new()).expect("the file").expect("a state");
    assert_eq!(state, of(&there, absolute));
    // What the settings name is what lies there now, wherever that was.
    state.start_from(Path::new("runs/adapter"));
    assert_eq!(state, of(&there, PathBuf::from("runs/adapter")));
    let mut new = State::new(BTreeMap::new());
    new.start_from(Path::new("runs/adapter"));
    assert_eq!(new, State::new(BTreeMap::new()), "nothing was measured yet");
}

#[test]
fn only_what_changes_no_number_or_is_a_way_out_may_change_on_the_way() {
    let text = "[model]\nname = \"m\"\n[lora]\nrank = 8\nalpha = 16\n[optimizer]\nlearning_rate = 1e-3\n\
                [train]\npack_tokens = 64\n\
                [output]\ndir = \"o\"\n[[data]]\npath = \"d\"\n[[data]]\npath = \"e\"\nheld_out = true\n\
                [evaluation]\nevery = 5\ntasks = \"t\"\n[flywheel]\npractice = [\"p\"]\nheld_out = [\"h\"]\n";
    let with = |setting: &str| {
        let settings: Vec<String> = (!setting.is_empty()).then(|| setting.to_owned()).into_iter().collect();
        let config = Config::parse(text, Path::new("x.toml"), &settings);
        identity(&config.unwrap_or_else(|error| panic!("{setting}: {error}")), [])
    };
    let before = with("");
    let free = [
        "guard.spike=3",
        "guard.on_spike=rollback",
        "guard.on_not_finite=rollback",
        "checkpoint.every=7",
        "checkpoint.keep_last=2",
        "flywheel.parallel=2",
        "flywheel.rounds=9",
        "evaluation.parallel=2",
        "train.recompute=block",
        // Its contents count, wherever it lies.
        "model.adapter=elsewhere",
    ];
    for setting in free {
        assert_eq!(with(setting), before, "{setting}");
    }
    let counts = [
        "evaluation.metric=success",
        "evaluation.export=last",
        "evaluation.every=6",
        "flywheel.samples=3",
        "train.seed=2",
    ];
    for setting in counts {
        let key = setting.split_once('=').expect("a key and a value").0;
        let told = differing(&before, &with(setting)).join("; ");
        assert!(told.starts_with(&format!("`{key}` was ")) && !told.contains(';'), "{setting}: {told}");
    }
}

#[test]
fn what_differs_is_told_in_words() {
    let identity = |practice: &str, held_out: &str| {
        let names = [format!("{PRACTICE}a"), format!("{MEASURED}a"), DATA.to_owned(), BASE_MODEL.to_owned()];
        BTreeMap::from(names.map(|name| {
            let hash = if name.starts_with(PRACTICE) { practice } else { held_out };
            (name, hash.to_owned())
        }))
    };
    let told = differing(&identity("1", "2"), &identity("3", "2"));
    assert_eq!(told, ["the practice tasks of suite `a` were others"]);
    let told = differing(&identity("1", "2"), &identity("1", "3")).join("; ");
    for part in ["the held-out tasks of suite `a` were others", "`[[data]]` were others", "its base model"] {
        assert!(told.contains(part), "{told}");
    }
}
