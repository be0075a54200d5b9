//! The data plan: every conversation once, the same for the same input.

use codeact_data::{Document, Plan, PlanSettings, Share, Sort};

const SETTINGS: PlanSettings =
    PlanSettings { seed: 7, pack_tokens: 100, accumulation: 3, steps: None, epochs: Some(2), sort: Sort::Random };

/// Every third document twice per epoch.
const SHARES: [Share; 3] = [Share::Repeat(2), Share::Repeat(1), Share::Repeat(1)];

/// 57 documents of 2 to 98 tokens in three groups.
fn documents() -> Vec<Document> {
    (0..57)
        .map(|index| {
            let token_count = 2 + (index * 37) % 97;
            Document { token_count, target_count: 1 + token_count / 3, group: index % 3 }
        })
        .collect()
}

#[test]
fn every_document_comes_up_exactly_as_often_as_asked_in_every_epoch() {
    let documents = documents();
    let plan = Plan::new(&documents, &SHARES, &SETTINGS);
    assert_eq!(plan.epoch_count(), 2);
    for epoch in 0..2 {
        let mut counts = vec![0; documents.len()];
        let steps = plan.steps.iter().filter(|step| step.epoch == epoch);
        steps.flat_map(|step| &step.packs).flat_map(|pack| &pack.documents).for_each(|index| counts[*index] += 1);
        let wanted: Vec<usize> = documents.iter().map(|document| if document.group == 0 { 2 } else { 1 }).collect();
        assert_eq!(counts, wanted, "epoch {epoch}");
    }
}

#[test]
fn packs_hold_at_most_pack_tokens_and_count_what_they_hold() {
    let documents = documents();
    for step in Plan::new(&documents, &SHARES, &SETTINGS).steps {
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
    let hash =
        |documents: &[Document], settings: PlanSettings| Plan::new(documents, &SHARES, &settings).hash("content");
    let first = hash(&documents, SETTINGS);
    assert_eq!(first, hash(&documents, SETTINGS));
    assert_ne!(first, Plan::new(&documents, &SHARES, &SETTINGS).hash("other content"));
    assert_ne!(first, hash(&documents, PlanSettings { seed: 8, ..SETTINGS }));
    assert_ne!(first, hash(&documents, PlanSettings { pack_tokens: 120, ..SETTINGS }));
    assert_ne!(first, hash(&documents, PlanSettings { accumulation: 2, ..SETTINGS }));
    assert_ne!(first, hash(&documents, PlanSettings { epochs: Some(1), ..SETTINGS }));
    assert_ne!(first, hash(&documents[1..], SETTINGS));
}

#[test]
fn the_order_of_a_seed_never_changes() {
    let documents = vec![Document { token_count: 51, target_count: 1, group: 1 }; 8];
    let plan = Plan::new(&documents, &SHARES, &PlanSettings { accumulation: 1, ..SETTINGS });
    let order = |epoch| -> Vec<usize> {
        let steps = plan.steps.iter().filter(|step| step.epoch == epoch);
        steps.flat_map(|step| step.packs[0].documents.clone()).collect()
    };
    // Literal: a change here means that no earlier checkpoint can be continued.
    assert_eq!(order(0), [1, 5, 2, 3, 0, 4, 6, 7]);
    assert_eq!(order(1), [1, 5, 6, 7, 3, 2, 0, 4]);
}

#[test]
fn steps_and_epochs_each_bound_the_run() {
    let documents = documents();
    let count = |steps, epochs| Plan::new(&documents, &SHARES, &PlanSettings { steps, epochs, ..SETTINGS }).steps.len();
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
    let long = Plan::new(&documents, &SHARES, &SETTINGS);
    let short = Plan::new(&documents, &SHARES, &PlanSettings { steps: Some(4), ..SETTINGS });
    assert_eq!(short.steps, long.steps[..4]);
}

#[test]
fn passes_are_the_pack_in_order_and_none_is_too_large() {
    let documents = documents();
    let plan = Plan::new(&documents, &SHARES, &SETTINGS);
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

/// Numbers that follow from the seed alone (splitmix64).
fn random(seed: &mut u64, end: usize) -> usize {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) % end as u64) as usize
}

#[test]
fn any_documents_come_up_as_often_as_asked_and_fit_their_packs() {
    for case in 0..300 {
        let mut seed = case;
        let pack_tokens = 2 + random(&mut seed, 400);
        let group_count = 1 + random(&mut seed, 4);
        let documents: Vec<Document> = (0..1 + random(&mut seed, 120))
            .map(|_| {
                let token_count = 1 + random(&mut seed, pack_tokens);
                Document {
                    token_count,
                    target_count: random(&mut seed, token_count) + 1,
                    group: random(&mut seed, group_count),
                }
            })
            .collect();
        let repeats: Vec<usize> = (0..group_count).map(|_| 1 + random(&mut seed, 3)).collect();
        let shares: Vec<Share> = repeats.iter().map(|count| Share::Repeat(*count)).collect();
        let sort = if case % 2 == 0 { Sort::Random } else { Sort::Length };
        let settings =
            PlanSettings { pack_tokens, seed: case, sort, accumulation: 1 + random(&mut seed, 5), ..SETTINGS };
        let plan = Plan::new(&documents, &shares, &settings);
        for epoch in 0..2 {
            let packs = plan.steps.iter().filter(|step| step.epoch == epoch).flat_map(|step| &step.packs);
            let mut counts = vec![0; documents.len()];
            for pack in packs {
                let tokens: usize = pack.documents.iter().map(|index| documents[*index].token_count).sum();
                assert!(
                    tokens == pack.token_count && tokens <= pack_tokens && !pack.documents.is_empty(),
                    "case {case}"
                );
                pack.documents.iter().for_each(|index| counts[*index] += 1);
            }
            let wanted: Vec<usize> = documents.iter().map(|document| repeats[document.group]).collect();
            assert_eq!(counts, wanted, "case {case}, epoch {epoch}");
        }
        assert_eq!(plan, Plan::new(&documents, &shares, &settings), "case {case}");
    }
}

#[test]
fn weights_are_exact_to_one_sample_and_nobody_comes_up_more_than_once_more_often() {
    for case in 0..100 {
        let mut seed = 1000 + case;
        let sizes: Vec<usize> = (0..2 + random(&mut seed, 3)).map(|_| 1 + random(&mut seed, 60)).collect();
        let weights: Vec<f64> = sizes.iter().map(|_| 0.1 + random(&mut seed, 100) as f64 / 10.0).collect();
        let groups = sizes.iter().enumerate().flat_map(|(group, size)| std::iter::repeat_n(group, *size));
        let documents: Vec<Document> =
            groups.map(|group| Document { token_count: 5, target_count: 1, group }).collect();
        let shares: Vec<Share> = weights.iter().map(|weight| Share::Weight(*weight)).collect();
        let plan = Plan::new(&documents, &shares, &PlanSettings { epochs: Some(4), ..SETTINGS });
        let sum: f64 = weights.iter().sum();
        let mut counts = vec![0_usize; documents.len()];
        for epoch in 0..4 {
            let mut of_group = vec![0; sizes.len()];
            let packs = plan.steps.iter().filter(|step| step.epoch == epoch).flat_map(|step| &step.packs);
            for index in packs.flat_map(|pack| &pack.documents) {
                of_group[documents[*index].group] += 1;
                counts[*index] += 1;
            }
            assert_eq!(of_group.iter().sum::<usize>(), documents.len(), "case {case}");
            for (group, count) in of_group.iter().enumerate() {
                let exact = documents.len() as f64 * weights[group] / sum;
                assert!((*count as f64 - exact).abs() < 1.0, "case {case}: {count} for {exact}");
                let members = documents.iter().zip(&counts).filter(|(document, _)| document.group == group);
                let counts: Vec<usize> = members.map(|(_, count)| *count).collect();
                assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "case {case}: {counts:?}");
            }
        }
    }
}

#[test]
fn sorted_by_length_the_longest_come_first_in_every_epoch() {
    let documents = documents();
    let plan = Plan::new(&documents, &SHARES, &PlanSettings { sort: Sort::Length, ..SETTINGS });
    for epoch in 0..2 {
        let packs = plan.steps.iter().filter(|step| step.epoch == epoch).flat_map(|step| &step.packs);
        let lengths: Vec<usize> =
            packs.flat_map(|pack| &pack.documents).map(|index| documents[*index].token_count).collect();
        assert!(lengths.is_sorted_by(|left, right| left >= right), "{lengths:?}");
    }
}

/// Lengths as in the mix of the CodeAct paper: most around some hundred tokens, few up to the whole pack.
#[test]
fn packs_of_a_mix_like_the_papers_are_nearly_full() {
    let mut seed = 3;
    let documents: Vec<Document> = (0..8000)
        .map(|_| {
            let scale = [300, 300, 300, 1500, 1800][random(&mut seed, 5)];
            let token_count = (20 + random(&mut seed, scale) + random(&mut seed, scale)).min(4096);
            Document { token_count, target_count: 1, group: 0 }
        })
        .collect();
    let settings = PlanSettings { pack_tokens: 4096, epochs: Some(1), ..SETTINGS };
    let plan = Plan::new(&documents, &[Share::Repeat(1)], &settings);
    let efficiency = plan.efficiency(4096);
    assert!(efficiency > 0.98, "{efficiency}");
    let in_order = codeact_data::plan::fill(&documents, &(0..8000).collect::<Vec<_>>(), 4096);
    assert!(plan.packs().count() < in_order.len());
}
