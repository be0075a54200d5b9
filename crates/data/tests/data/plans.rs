//! The data plan: every conversation once, the same for the same input.

use codeact_train::plan::{Document, Plan, PlanSettings};

const SETTINGS: PlanSettings =
    PlanSettings { seed: 7, pack_tokens: 100, accumulation: 3, steps: None, epochs: Some(2) };

/// 57 documents of 2 to 98 tokens, one of them twice per epoch.
fn documents() -> Vec<Document> {
    (0..57)
        .map(|index| {
            let token_count = 2 + (index * 37) % 97;
            Document { token_count, target_count: 1 + token_count / 3, repeat: if index == 5 { 2 } else { 1 } }
        })
        .collect()
}

#[test]
fn every_document_comes_up_exactly_as_often_as_asked_in_every_epoch() {
    let documents = documents();
    let plan = Plan::new(&documents, &SETTINGS);
    assert_eq!(plan.epoch_count(), 2);
    for epoch in 0..2 {
        let mut counts = vec![0; documents.len()];
        let steps = plan.steps.iter().filter(|step| step.epoch == epoch);
        steps.flat_map(|step| &step.packs).flat_map(|pack| &pack.documents).for_each(|index| counts[*index] += 1);
        let wanted: Vec<usize> = documents.iter().map(|document| document.repeat).collect();
        assert_eq!(counts, wanted, "epoch {epoch}");
    }
}

#[test]
fn packs_hold_at_most_pack_tokens_and_count_what_they_hold() {
    let documents = documents();
    for step in Plan::new(&documents, &SETTINGS).steps {
        assert!((1..=3).contains(&step.packs.len()));
        for pack in &step.packs {
            let tokens: usize = pack.documents.iter().map(|index| documents[*index].token_count).sum();
            let targets: usize = pack.documents.iter().map(|index| documents[*index].target_count).sum();
            assert!(tokens <= 100);
            assert_eq!((pack.token_count, pack.target_count), (tokens, targets));
        }
        assert_eq!(step.target_count(), step.packs.iter().map(|pack| pack.target_count).sum::<usize>());
    }
}

#[test]
fn the_same_input_gives_the_same_plan_and_every_input_matters() {
    let documents = documents();
    let hash = |documents: &[Document], settings: PlanSettings| Plan::new(documents, &settings).hash("content");
    let first = hash(&documents, SETTINGS);
    assert_eq!(first, hash(&documents, SETTINGS));
    assert_ne!(first, Plan::new(&documents, &SETTINGS).hash("other content"));
    assert_ne!(first, hash(&documents, PlanSettings { seed: 8, ..SETTINGS }));
    assert_ne!(first, hash(&documents, PlanSettings { pack_tokens: 120, ..SETTINGS }));
    assert_ne!(first, hash(&documents, PlanSettings { accumulation: 2, ..SETTINGS }));
    assert_ne!(first, hash(&documents, PlanSettings { epochs: Some(1), ..SETTINGS }));
    assert_ne!(first, hash(&documents[1..], SETTINGS));
}

#[test]
fn the_order_of_a_seed_never_changes() {
    let documents = vec![Document { token_count: 50, target_count: 1, repeat: 1 }; 8];
    let plan = Plan::new(&documents, &PlanSettings { accumulation: 1, ..SETTINGS });
    let order = |epoch| -> Vec<usize> {
        let steps = plan.steps.iter().filter(|step| step.epoch == epoch);
        steps.flat_map(|step| step.packs[0].documents.clone()).collect()
    };
    // Literal: a change here means that no earlier checkpoint can be continued.
    assert_eq!(order(0), [5, 0, 6, 2, 3, 4, 7, 1]);
    assert_eq!(order(1), [3, 5, 1, 6, 2, 4, 0, 7]);
}

#[test]
fn steps_and_epochs_each_bound_the_run() {
    let documents = documents();
    let count = |steps, epochs| Plan::new(&documents, &PlanSettings { steps, epochs, ..SETTINGS }).steps.len();
    let one = count(None, Some(1));
    assert!(one > 3);
    assert_eq!(count(None, None), one);
    assert!(count(None, Some(3)) > 2 * one, "every epoch packs anew, so the counts differ a little");
    assert_eq!(count(Some(3), None), 3);
    assert_eq!(count(Some(2 * one + 9), None), 2 * one + 9);
    assert_eq!(count(Some(2 * one + 9), Some(1)), one);
}

#[test]
fn a_shorter_run_is_the_beginning_of_a_longer_one() {
    let documents = documents();
    let long = Plan::new(&documents, &SETTINGS);
    let short = Plan::new(&documents, &PlanSettings { steps: Some(4), ..SETTINGS });
    assert_eq!(short.steps, long.steps[..4]);
}

#[test]
fn passes_are_the_pack_in_order_and_none_is_too_large() {
    let documents = documents();
    let plan = Plan::new(&documents, &SETTINGS);
    for pack in plan.steps.iter().flat_map(|step| &step.packs) {
        let passes = pack.passes(&documents, 98);
        let together: Vec<usize> = passes.iter().flat_map(|pass| pass.documents.clone()).collect();
        assert_eq!(together, pack.documents);
        assert_eq!(passes.iter().map(|pass| pass.target_count).sum::<usize>(), pack.target_count);
        assert!(passes.iter().all(|pass| pass.token_count <= 98));
        assert_eq!(pack.passes(&documents, 100), std::slice::from_ref(pack));
    }
    assert!(plan.passes(&documents, 98).count() > plan.passes(&documents, 100).count());
}
