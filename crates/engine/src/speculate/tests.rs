//! Which tokens are guessed, how many, and when not.

use super::*;

fn guess(known: &[u32], count: usize) -> Vec<u32> {
    Lookup::default().guess(known, count)
}

#[test]
fn what_followed_the_last_three_tokens_is_guessed() {
    assert_eq!(guess(&[1, 2, 3, 4, 5, 6, 1, 2, 3], 3), [4, 5, 6]);
    assert!(guess(&[1, 2, 3, 4, 5, 6, 9, 2, 3], 3).is_empty());
    assert!(guess(&[1, 2], 3).is_empty());
    assert!(guess(&[], 3).is_empty());
}

#[test]
fn the_longest_match_wins_and_of_equal_ones_the_newest() {
    // `7 1 2 3` occurred before `8 1 2 3`, and the end is `7 1 2 3`.
    assert_eq!(guess(&[7, 1, 2, 3, 50, 8, 1, 2, 3, 60, 7, 1, 2, 3], 1), [50]);
    assert_eq!(guess(&[9, 1, 2, 3, 50, 8, 1, 2, 3, 60, 7, 1, 2, 3], 1), [60]);
}

#[test]
fn a_repetition_goes_on() {
    assert_eq!(guess(&[1, 2, 3, 1, 2, 3, 1, 2, 3], 5), [1, 2, 3, 1, 2]);
    assert_eq!(guess(&[4, 4, 4, 4], 3), [4, 4, 4]);
}

#[test]
fn a_growing_text_is_learned_as_a_whole_one() {
    let text: Vec<u32> = (0..200).map(|index: u32| (index * index / 3) % 5).collect();
    let mut growing = Lookup::default();
    for end in 0..text.len() {
        // Sometimes several tokens are added between two guesses.
        if end % 7 < 4 {
            assert_eq!(growing.guess(&text[..end], 4), guess(&text[..end], 4), "after {end} tokens");
        }
    }
}

#[test]
fn good_guesses_grow_and_bad_ones_pause() {
    let mut acceptance = Acceptance::default();
    assert_eq!(acceptance.draft_tokens(8), 3);
    (0..10).for_each(|_| acceptance.learn(4, 4));
    assert_eq!(acceptance.draft_tokens(8), 8);
    assert_eq!(acceptance.draft_tokens(2), 2);
    let mut pauses = Vec::new();
    for _ in 0..4 {
        while acceptance.draft_tokens(8) > 0 {
            acceptance.learn(4, 0);
        }
        let mut pause = 0;
        while acceptance.draft_tokens(8) == 0 {
            acceptance.pass(1);
            pause += 1;
        }
        assert_eq!(acceptance.draft_tokens(8), 1, "a probe is short");
        pauses.push(pause);
    }
    assert_eq!(pauses, [32, 64, 128, 256]);
}

/// Passes of one request, `drafted_seconds` with guesses and 1 without, each guess giving three tokens.
fn guessed_passes(payoff: &mut Payoff, passes: usize, drafted_seconds: f64) -> usize {
    let mut guessed = 0;
    for _ in 0..passes {
        let pays = payoff.pays(1);
        guessed += usize::from(pays);
        let (seconds, tokens) = if pays { (drafted_seconds, 3) } else { (1.0, 1) };
        payoff.learn(1, pays, seconds, tokens);
    }
    guessed
}

#[test]
fn guessing_goes_on_while_it_pays_and_rests_when_it_does_not() {
    let mut cheap = Payoff::new(4);
    assert!(guessed_passes(&mut cheap, 1000, 1.5) > 900);
    let mut dear = Payoff::new(4);
    let guessed = guessed_passes(&mut dear, 10_000, 3.5);
    assert!((TRIAL..=10 * TRIAL).contains(&guessed), "{guessed}");
    // When it pays again, that is found out.
    assert!(guessed_passes(&mut dear, 10_000, 1.5) > 5_000);
}

#[test]
fn nothing_is_guessed_for_many() {
    let mut payoff = Payoff::new(2);
    for requests in [1, 2, 3] {
        payoff.learn(requests, false, 1.0, requests);
    }
    assert_eq!([0, 1, 2, 3].map(|requests| payoff.pays(requests)), [false, true, true, false]);
    assert!(!Payoff::new(0).pays(1));
}
