//! The tree beside a plain map of beginnings.

use std::collections::BTreeMap;

use super::*;
use crate::mock::mix;

const PAGE_TOKENS: usize = 2;

/// A beginning of a sequence, made of full pages.
type Key = (Tree, Vec<u32>);

/// What the tree should hold: every beginning with its page, how many hold it beside the tree, and when that changed.
#[derive(Default)]
struct Oracle(BTreeMap<Key, (u32, usize, u64)>);

impl Oracle {
    fn found(&self, tree: Tree, tokens: &[u32]) -> Vec<u32> {
        let ends = (1..=tokens.len() / PAGE_TOKENS).map(|count| count * PAGE_TOKENS);
        let pages = ends.map_while(|end| self.0.get(&(tree, tokens[..end].to_vec())));
        pages.map(|(page, ..)| *page).collect()
    }

    fn is_leaf(&self, (tree, tokens): &Key) -> bool {
        !self.0.keys().any(|(other, longer)| other == tree && longer.len() > tokens.len() && longer.starts_with(tokens))
    }

    fn idle(&self) -> usize {
        self.0.values().filter(|(_, holders, _)| *holders == 0).count()
    }

    /// The leaves that may go next.
    fn oldest_leaves(&self) -> Vec<Key> {
        let idle = self.0.iter().filter(|(key, (_, holders, _))| *holders == 0 && self.is_leaf(key));
        let oldest = idle.clone().map(|(_, (.., since))| *since).min();
        idle.filter(|(_, (.., since))| Some(*since) == oldest).map(|(key, _)| key.clone()).collect()
    }
}

/// A tree, its oracle, and those who hold paths in it.
struct Both {
    pool: PagePool,
    radix: Radix,
    oracle: Oracle,
    held: Vec<(Tree, Vec<u32>, Vec<NodeId>)>,
    time: u64,
}

impl Both {
    fn hold(&mut self, tree: Tree, tokens: &[u32]) {
        let path = self.radix.find(tree, tokens);
        path.iter().for_each(|&node| self.radix.hold(&mut self.pool, node));
        let tokens = tokens[..path.len() * PAGE_TOKENS].to_vec();
        self.each(tree, &tokens, |entry| entry.1 += 1);
        self.held.push((tree, tokens, path));
    }

    fn each(&mut self, tree: Tree, tokens: &[u32], mut change: impl FnMut(&mut (u32, usize, u64))) {
        for end in (PAGE_TOKENS..=tokens.len()).step_by(PAGE_TOKENS) {
            change(self.oracle.0.get_mut(&(tree, tokens[..end].to_vec())).unwrap());
        }
    }

    fn append(&mut self, index: usize, more: [u32; PAGE_TOKENS]) {
        let Some(page) = self.pool.take() else { return };
        let (tree, tokens, path) = &mut self.held[index];
        let node = self.radix.insert(&mut self.pool, *tree, path.last().copied(), &more, page);
        path.push(node);
        tokens.extend(more);
        let entry = self.oracle.0.entry((*tree, tokens.clone())).or_insert((page, 0, 0));
        entry.1 += 1;
        assert_eq!(self.radix.page(node), entry.0, "the page that was there first stays");
    }

    fn release(&mut self, index: usize) {
        let (tree, tokens, path) = self.held.swap_remove(index);
        self.radix.release(&mut self.pool, &path);
        self.time += 1;
        let time = self.time;
        self.each(tree, &tokens, |entry| *entry = (entry.0, entry.1 - 1, time));
    }

    fn evict(&mut self) {
        let oldest = self.oracle.oldest_leaves();
        assert_eq!(self.radix.evict(&mut self.pool), !oldest.is_empty());
        let is_gone = |(tree, tokens): &&Key| self.radix.find(*tree, tokens).len() < tokens.len() / PAGE_TOKENS;
        let gone: Vec<Key> = oldest.iter().filter(is_gone).cloned().collect();
        assert_eq!(gone.len(), usize::from(!oldest.is_empty()), "one of the oldest leaves goes");
        for key in &gone {
            self.oracle.0.remove(key);
        }
    }

    fn check(&self) {
        self.radix.check(&self.pool, |_| {});
        assert_eq!(self.radix.idle_count(), self.oracle.idle());
        assert_eq!(self.pool.count() - self.pool.free_count(), self.oracle.0.len());
        for &(page, holders, _) in self.oracle.0.values() {
            assert_eq!(self.pool.holders(page) as usize, 1 + holders);
        }
    }
}

#[test]
fn the_tree_agrees_with_a_map_of_beginnings() {
    let mut state = 3;
    let mut below = |bound: usize| {
        state += 1;
        (mix(state) % bound as u64) as usize
    };
    let mut both = Both {
        pool: PagePool::new(40),
        radix: Radix::new(PAGE_TOKENS),
        oracle: Oracle::default(),
        held: Vec::new(),
        time: 0,
    };
    let mut evicted = 0;
    for _ in 0..30_000 {
        // Few tokens, so that beginnings meet.
        let tokens: Vec<u32> = (0..below(9)).map(|_| below(2) as u32).collect();
        let tree = Tree { adapter: [None, Some(0), Some(7)][below(3)], salt: [0, 7][below(2)] };
        match below(8) {
            0 | 1 if both.held.len() < 8 => both.hold(tree, &tokens),
            2..=4 if !both.held.is_empty() => {
                let index = below(both.held.len());
                both.append(index, [below(2) as u32, below(2) as u32]);
            }
            5 if !both.held.is_empty() => {
                let index = below(both.held.len());
                both.release(index);
            }
            6 => {
                evicted += usize::from(both.radix.idle_count() > 0);
                both.evict();
            }
            _ => {
                let path = both.radix.find(tree, &tokens);
                let pages: Vec<u32> = path.iter().map(|&node| both.radix.page(node)).collect();
                assert_eq!(pages, both.oracle.found(tree, &tokens));
            }
        }
        both.check();
    }
    assert!(evicted > 1000, "{evicted} pages were evicted");
    (0..both.held.len()).for_each(|_| both.release(0));
    while both.radix.idle_count() > 0 {
        both.evict();
    }
    assert!(both.radix.roots.is_empty() && both.pool.free_count() == 40);
}
