//! Pages of running requests, of sessions, and of prompts that may come again.
//!
//! Every page is free, or held by one request alone, or in the tree of full pages, where requests and sessions may hold
//! it too. What only the tree holds counts as free to have.

use crate::pins::Pins;
use crate::pool::PagePool;
use crate::radix::{NodeId, Radix, Tree};
use crate::request::SessionId;

/// The pages of one running request, in the order of its tokens.
#[derive(Debug, Default)]
pub(crate) struct Holding {
    tree: Tree,
    /// The full pages, which are in the tree.
    path: Vec<NodeId>,
    /// All pages; those behind the path are held by this request alone.
    pages: Vec<u32>,
}

impl Holding {
    /// All pages, in order.
    pub fn pages(&self) -> &[u32] {
        &self.pages
    }

    /// How many of them are in the tree.
    pub fn shared_count(&self) -> usize {
        self.path.len()
    }
}

/// All pages.
#[derive(Debug)]
pub(crate) struct Pages {
    page_tokens: usize,
    pool: PagePool,
    radix: Radix,
    pins: Pins,
}

impl Pages {
    pub fn new(page_count: usize, page_tokens: usize) -> Pages {
        Pages {
            page_tokens,
            pool: PagePool::new(page_count),
            radix: Radix::new(page_tokens),
            pins: Pins::new(page_count / 2),
        }
    }

    /// Pages that can be had.
    pub fn available(&self) -> usize {
        self.pool.free_count() + self.radix.idle_count()
    }

    /// Pages that requests or sessions hold.
    pub fn used_count(&self) -> usize {
        self.pool.count() - self.available()
    }

    /// Pages that nobody but the tree holds.
    pub fn cached_count(&self) -> usize {
        self.radix.idle_count()
    }

    /// Pages that sessions keep.
    pub fn pinned_count(&self) -> usize {
        self.pins.page_count()
    }

    /// How many pages hold this many tokens.
    pub fn pages_for(&self, token_count: usize) -> usize {
        token_count.div_ceil(self.page_tokens)
    }

    /// How many full pages with the beginning of `tokens` are there.
    pub fn found(&self, tree: Tree, tokens: &[u32]) -> usize {
        self.radix.find(tree, tokens).len()
    }

    /// Holds the full pages that are there for the beginning of `tokens`.
    pub fn begin(&mut self, tree: Tree, tokens: &[u32]) -> Holding {
        let path = self.radix.find(tree, tokens);
        path.iter().for_each(|&node| self.radix.hold(&mut self.pool, node));
        let pages = path.iter().map(|&node| self.radix.page(node)).collect();
        Holding { tree, path, pages }
    }

    /// Adds pages until there is room for `token_count` tokens; false when there are not so many to have. Cached pages
    /// that were not used for longest make room.
    pub fn grow(&mut self, holding: &mut Holding, token_count: usize) -> bool {
        while holding.pages.len() < self.pages_for(token_count) {
            if self.pool.free_count() == 0 && !self.radix.evict(&mut self.pool) {
                return false;
            }
            let page = self.pool.take().expect("a page is free");
            holding.pages.push(page);
        }
        true
    }

    /// Puts the pages that `computed`, the tokens of the holding that went through the model, fill into the tree.
    pub fn share(&mut self, holding: &mut Holding, computed: &[u32]) {
        let chunks = computed.chunks_exact(self.page_tokens).enumerate().skip(holding.path.len());
        for (index, tokens) in chunks {
            let parent = holding.path.last().copied();
            let page = holding.pages[index];
            let node = self.radix.insert(&mut self.pool, holding.tree, parent, tokens, page);
            // Another request may have been faster; its page holds the same.
            holding.pages[index] = self.radix.page(node);
            holding.path.push(node);
        }
    }

    /// Lets go of all pages. Those in the tree stay there for now.
    pub fn end(&mut self, holding: Holding) {
        for &page in &holding.pages[holding.path.len()..] {
            self.pool.release(page);
        }
        self.radix.release(&mut self.pool, &holding.path);
    }

    /// Keeps the shared pages of `holding` for `session`, in place of what it kept before.
    pub fn pin(&mut self, session: SessionId, holding: &Holding) {
        self.pins.pin(&mut self.radix, &mut self.pool, session, &holding.path);
    }

    /// Keeps nothing more for `session`.
    pub fn unpin(&mut self, session: SessionId) {
        self.pins.unpin(&mut self.radix, &mut self.pool, session);
    }

    /// Keeps nothing more for the session that was not used for longest; false when there is none.
    pub fn unpin_oldest(&mut self) -> bool {
        self.pins.unpin_oldest(&mut self.radix, &mut self.pool)
    }
}

#[cfg(test)]
impl Pages {
    /// Compares all counts with what `holdings`, which are all there are, say.
    pub fn check(&self, holdings: &[&Holding]) {
        let mut holders = vec![0; self.pool.count()];
        for holding in holdings {
            assert_eq!(holding.path.iter().map(|&node| self.radix.page(node)).collect::<Vec<_>>(), {
                holding.pages[..holding.path.len()].to_vec()
            });
            holding.pages.iter().for_each(|&page| holders[page as usize] += 1);
            for &page in &holding.pages[holding.path.len()..] {
                assert_eq!(self.pool.holders(page), 1, "page {page} is written by one request and held by others");
            }
        }
        self.pins.check(|node| holders[self.radix.page(node) as usize] += 1);
        self.radix.check(&self.pool, |page| holders[page as usize] += 1);
        for (page, &holders) in holders.iter().enumerate() {
            assert_eq!(self.pool.holders(page as u32), holders, "page {page}");
        }
        let free = holders.iter().filter(|&&holders| holders == 0).count();
        assert_eq!(self.pool.free_count(), free);
    }
}

#[cfg(test)]
mod tests;
