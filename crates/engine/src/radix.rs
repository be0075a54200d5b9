//! Full pages by the tokens they hold: a tree whose nodes are pages, and whose paths are beginnings of sequences.
//!
//! Each adapter has a tree of its own, as keys and values depend on it, and so has each salt, so that nobody can tell from
//! the time a prompt takes what those with another salt have asked. The tree holds every page in it once; requests
//! and sessions hold whole paths on top of that. So a node that is held beyond the tree has parents that are, and the
//! leaves that only the tree holds can go, the least recently used first.

use std::collections::{BTreeSet, HashMap};

use crate::pool::PagePool;

/// One page in the tree.
pub(crate) type NodeId = u32;

/// Names one of the trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Tree {
    /// Of the requests whose pages are in it; `None` for the model as it is.
    pub adapter: Option<u64>,
    /// As in [`crate::Request::salt`].
    pub salt: u128,
}

/// All trees.
#[derive(Debug)]
pub(crate) struct Radix {
    page_tokens: usize,
    nodes: Vec<Option<Node>>,
    unused: Vec<NodeId>,
    /// The first pages.
    roots: HashMap<Tree, Children>,
    /// Leaves that only the tree holds, by when they were last used.
    idle_leaves: BTreeSet<(u64, NodeId)>,
    /// Nodes that only the tree holds, leaves or not.
    idle_count: usize,
    clock: u64,
}

type Children = HashMap<Box<[u32]>, NodeId>;

#[derive(Debug)]
struct Node {
    page: u32,
    tokens: Box<[u32]>,
    parent: Option<NodeId>,
    tree: Tree,
    children: Children,
    last_used: u64,
}

impl Radix {
    pub fn new(page_tokens: usize) -> Radix {
        Radix {
            page_tokens,
            nodes: Vec::new(),
            unused: Vec::new(),
            roots: HashMap::new(),
            idle_leaves: BTreeSet::new(),
            idle_count: 0,
            clock: 0,
        }
    }

    /// Pages that can be had by [`Radix::evict`], one after the other.
    pub fn idle_count(&self) -> usize {
        self.idle_count
    }

    /// The page of a node.
    pub fn page(&self, node: NodeId) -> u32 {
        self.node(node).page
    }

    /// The nodes whose pages hold the beginning of `tokens`, as many as there are.
    pub fn find(&self, tree: Tree, tokens: &[u32]) -> Vec<NodeId> {
        let mut path = Vec::new();
        let mut children = self.roots.get(&tree);
        for chunk in tokens.chunks_exact(self.page_tokens) {
            let Some(&node) = children.and_then(|children| children.get(chunk)) else {
                break;
            };
            path.push(node);
            children = Some(&self.node(node).children);
        }
        path
    }

    /// One more holds the page of `node`. Its parents are held already.
    pub fn hold(&mut self, pool: &mut PagePool, node: NodeId) {
        let Node { page, last_used, .. } = *self.node(node);
        if pool.hold(page) == 2 {
            self.idle_count -= 1;
            self.idle_leaves.remove(&(last_used, node));
        }
    }

    /// One holder lets go of a whole path.
    pub fn release(&mut self, pool: &mut PagePool, path: &[NodeId]) {
        self.clock += 1;
        // The deepest first, so that no idle node has a child that is held.
        for &id in path.iter().rev() {
            let clock = self.clock;
            let node = self.node_mut(id);
            node.last_used = clock;
            let (page, is_leaf) = (node.page, node.children.is_empty());
            if pool.release(page) == 1 {
                self.idle_count += 1;
                if is_leaf {
                    self.idle_leaves.insert((clock, id));
                }
            }
        }
    }

    /// Puts `page`, whose holder is the caller, behind `parent`, whose path the caller holds too. From then on the tree
    /// holds it as well.
    ///
    /// When the tree has these tokens there already, `page` is released and the caller holds the other one: take
    /// [`Radix::page`] of the node.
    pub fn insert(
        &mut self,
        pool: &mut PagePool,
        tree: Tree,
        parent: Option<NodeId>,
        tokens: &[u32],
        page: u32,
    ) -> NodeId {
        assert_eq!(tokens.len(), self.page_tokens, "only full pages are kept");
        if let Some(&node) = self.children(tree, parent).and_then(|children| children.get(tokens)) {
            self.hold(pool, node);
            pool.release(page);
            return node;
        }
        pool.hold(page);
        let tokens: Box<[u32]> = tokens.into();
        let node =
            Node { page, tokens: tokens.clone(), parent, tree, children: Children::new(), last_used: self.clock };
        let id = self.unused.pop().unwrap_or_else(|| {
            self.nodes.push(None);
            self.nodes.len() as NodeId - 1
        });
        self.nodes[id as usize] = Some(node);
        match parent {
            Some(parent) => self.node_mut(parent).children.insert(tokens, id),
            None => self.roots.entry(tree).or_default().insert(tokens, id),
        };
        id
    }

    /// Frees the page of the leaf that was not used for longest; false when there is none that only the tree holds.
    pub fn evict(&mut self, pool: &mut PagePool) -> bool {
        let Some((_, id)) = self.idle_leaves.pop_first() else {
            return false;
        };
        let node = self.nodes[id as usize].take().expect("an idle leaf is in the tree");
        self.unused.push(id);
        self.idle_count -= 1;
        let holders = pool.release(node.page);
        assert_eq!(holders, 0, "page {} of an idle leaf is held", node.page);
        if let Some(parent) = node.parent {
            let above = self.node_mut(parent);
            above.children.remove(&node.tokens);
            let (last_used, page, is_leaf) = (above.last_used, above.page, above.children.is_empty());
            if is_leaf && pool.holders(page) == 1 {
                self.idle_leaves.insert((last_used, parent));
            }
        } else if let Some(first) = self.roots.get_mut(&node.tree) {
            first.remove(&node.tokens);
            if first.is_empty() {
                self.roots.remove(&node.tree);
            }
        }
        true
    }

    fn children(&self, tree: Tree, parent: Option<NodeId>) -> Option<&Children> {
        match parent {
            Some(parent) => Some(&self.node(parent).children),
            None => self.roots.get(&tree),
        }
    }

    fn node(&self, id: NodeId) -> &Node {
        self.nodes[id as usize].as_ref().expect("a node that is held is in the tree")
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes[id as usize].as_mut().expect("a node that is held is in the tree")
    }
}

#[cfg(test)]
impl Radix {
    /// Compares what is counted with what the trees hold, and shows each page in them.
    pub fn check(&self, pool: &PagePool, mut on_page: impl FnMut(u32)) {
        let (mut idle, mut idle_leaves, mut count) = (0, BTreeSet::new(), 0);
        for (id, node) in self.nodes.iter().enumerate() {
            let Some(node) = node else { continue };
            let id = id as NodeId;
            on_page(node.page);
            count += 1;
            let siblings = self.children(node.tree, node.parent).unwrap();
            assert_eq!(siblings[&node.tokens], id);
            if pool.holders(node.page) == 1 {
                idle += 1;
                if node.children.is_empty() {
                    idle_leaves.insert((node.last_used, id));
                }
            } else if let Some(parent) = node.parent {
                assert!(pool.holders(self.page(parent)) > 1, "node {id} is held, its parent {parent} is not");
            }
        }
        assert_eq!((idle, &idle_leaves), (self.idle_count, &self.idle_leaves));
        assert_eq!(self.nodes.len(), count + self.unused.len());
        assert!(self.roots.values().all(|first| !first.is_empty()));
    }
}

#[cfg(test)]
mod tests;
