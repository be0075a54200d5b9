//! Who keeps which page, and who gives way.

use super::*;

/// Takes the pages of `tokens` as a request that computes them all, and shares them.
fn computed(pages: &mut Pages, tokens: &[u32]) -> Holding {
    let mut holding = pages.begin(Tree::default(), tokens);
    assert!(pages.grow(&mut holding, tokens.len()));
    pages.share(&mut holding, tokens);
    holding
}

#[test]
fn what_one_request_computed_another_finds() {
    let mut pages = Pages::new(8, 2);
    let first = computed(&mut pages, &[1, 2, 3, 4, 5]);
    let second = pages.begin(Tree::default(), &[1, 2, 3, 4, 9, 9]);
    assert_eq!(second.pages(), &first.pages()[..2]);
    assert_eq!(pages.found(Tree { adapter: Some(1), salt: 0 }, &[1, 2, 3, 4]), 0);
    pages.check(&[&first, &second]);
    pages.end(first);
    pages.end(second);
    pages.check(&[]);
    assert_eq!((pages.available(), pages.cached_count()), (8, 2));
}

#[test]
fn of_two_that_compute_the_same_one_page_stays() {
    let mut pages = Pages::new(8, 2);
    let mut first = pages.begin(Tree::default(), &[1, 2]);
    let mut second = pages.begin(Tree::default(), &[1, 2]);
    assert!(pages.grow(&mut first, 3) && pages.grow(&mut second, 3));
    pages.share(&mut first, &[1, 2]);
    pages.share(&mut second, &[1, 2]);
    assert_eq!(first.pages()[0], second.pages()[0]);
    assert_ne!(first.pages()[1], second.pages()[1]);
    pages.check(&[&first, &second]);
    assert_eq!(pages.used_count(), 3);
}

#[test]
fn cached_pages_make_room_the_least_recently_used_first() {
    let mut pages = Pages::new(4, 2);
    for tokens in [[1, 1], [2, 2], [3, 3], [4, 4]] {
        let holding = computed(&mut pages, &tokens);
        pages.end(holding);
    }
    // Used again, so the first is now the newest.
    let again = pages.begin(Tree::default(), &[1, 1]);
    pages.end(again);
    let new = computed(&mut pages, &[5, 5, 6, 6]);
    let found = [[1, 1], [2, 2], [3, 3], [4, 4]].map(|tokens| pages.found(Tree::default(), &tokens));
    assert_eq!(found, [1, 0, 0, 1]);
    pages.check(&[&new]);
}

#[test]
fn sessions_keep_at_most_half_and_the_oldest_gives_way() {
    let mut pages = Pages::new(8, 1);
    for (session, tokens) in [(1, [1, 1]), (2, [2, 2]), (3, [3, 3])] {
        let holding = computed(&mut pages, &tokens);
        pages.pin(SessionId(session), &holding);
        pages.end(holding);
        pages.check(&[]);
    }
    assert_eq!((pages.pinned_count(), pages.used_count()), (4, 4));
    // The first has lost its claim; its pages are still there until somebody needs them.
    let all = computed(&mut pages, &[9, 9, 9, 9]);
    assert_eq!([[1, 1], [2, 2], [3, 3]].map(|tokens| pages.found(Tree::default(), &tokens)), [0, 2, 2]);
    pages.end(all);
    // One alone that is too long keeps its beginning.
    let long = computed(&mut pages, &[7, 7, 7, 7]);
    pages.pin(SessionId(4), &long);
    pages.end(long);
    assert_eq!(pages.pinned_count(), 4);
    pages.unpin(SessionId(4));
    assert_eq!((pages.pinned_count(), pages.available()), (0, 8));
}

#[test]
fn sessions_that_share_a_beginning_keep_it_once() {
    let mut pages = Pages::new(8, 1);
    for (session, tokens) in [(1, [1, 1, 2]), (2, [1, 1, 3])] {
        let holding = computed(&mut pages, &tokens);
        pages.pin(SessionId(session), &holding);
        pages.end(holding);
    }
    assert_eq!(pages.pinned_count(), 4);
    pages.unpin(SessionId(1));
    assert_eq!(pages.pinned_count(), 3);
    // A session's next request takes the place of its last.
    let next = computed(&mut pages, &[1, 1, 3, 4]);
    pages.pin(SessionId(2), &next);
    pages.end(next);
    assert_eq!(pages.pinned_count(), 4);
    assert!(pages.unpin_oldest() && !pages.unpin_oldest());
    pages.check(&[]);
}
