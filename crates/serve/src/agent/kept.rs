//! Pythons without a session on the disk, found again by what their callers call them, until they lie idle.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use crate::agent::owners::Caller;
use crate::agent::pythons::{Holder, Pythons};

/// What a Python is found by. What callers send is in it as a digest only, so that its length does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Name {
    /// The `convid` of `/execute`.
    Execute(Caller, [u8; 32]),
    /// The messages of a conversation with the agent as a model.
    Chat(Caller, [u8; 32]),
}

type Thing = Box<dyn std::any::Any + Send>;

/// All of them. Whoever uses one takes it out and puts it back.
pub(crate) struct Kept {
    things: Mutex<HashMap<Name, Vec<Entry>>>,
}

struct Entry {
    since: Instant,
    thing: Thing,
}

impl Kept {
    pub fn new(pythons: Arc<Pythons>) -> Arc<Kept> {
        let kept = Arc::new(Kept { things: Mutex::default() });
        let weak: Weak<Kept> = Arc::downgrade(&kept);
        pythons.add(weak);
        kept
    }

    /// Takes out the one of this name that was put back last.
    pub fn take<T: 'static>(&self, name: &Name) -> Option<T> {
        let mut things = self.things();
        let entries = things.get_mut(name)?;
        let entry = entries.pop();
        if entries.is_empty() {
            things.remove(name);
        }
        entry?.thing.downcast().ok().map(|thing| *thing)
    }

    /// Puts one back, with the place that it holds. Conversations that are word for word the same may have several.
    pub fn put<T: Send + 'static>(&self, name: Name, thing: T) {
        let entry = Entry { since: Instant::now(), thing: Box::new(thing) };
        self.things().entry(name).or_default().push(entry);
    }

    fn things(&self) -> MutexGuard<'_, HashMap<Name, Vec<Entry>>> {
        self.things.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Holder for Kept {
    fn idle_since(&self) -> Option<Instant> {
        self.things().values().flatten().map(|entry| entry.since).min()
    }

    /// Ends all that are as old, which is one, most likely.
    fn give_back(&self, idle_since: Instant) {
        let ended: Vec<Entry> = {
            let mut things = self.things();
            let ended = things.values_mut().flat_map(|entries| entries.extract_if(.., |it| it.since <= idle_since));
            let ended = ended.collect();
            things.retain(|_, entries| !entries.is_empty());
            ended
        };
        // After the lock: ending a Python takes a while.
        drop(ended);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_back_is_found_by_its_owner_until_it_lies_idle() {
        let kept = Kept::new(Pythons::new(1));
        let name = |owner: &str| Name::Execute(Caller(Some(owner.into())), [7; 32]);
        kept.put(name("one"), 1);
        assert_eq!(kept.take::<i32>(&name("other")), None);
        assert_eq!(kept.take::<i32>(&name("one")), Some(1));
        assert_eq!(kept.take::<i32>(&name("one")), None);
        kept.put(name("one"), 2);
        kept.give_back(kept.idle_since().unwrap());
        assert_eq!((kept.take::<i32>(&name("one")), kept.idle_since()), (None, None));
    }
}
