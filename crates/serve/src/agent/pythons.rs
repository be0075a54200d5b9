//! Who may have a Python: so many at once, and those that lie idle make room.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::ApiError;

/// Where there is no room, a Python that lay idle for so long gives its place to another.
const IDLE_MIN: Duration = Duration::from_secs(30);

/// Something that has a Python, at times.
pub(crate) trait Holder: Send + Sync {
    /// Since when its Python does nothing; `None`: it has none, or it works.
    fn idle_since(&self) -> Option<Instant>;

    /// Ends its Python unless it has been used since `idle_since`. May block.
    fn give_back(&self, idle_since: Instant);
}

/// All places, and who holds them.
pub(crate) struct Pythons {
    state: Mutex<State>,
    count_max: usize,
}

#[derive(Default)]
struct State {
    count: usize,
    holders: Vec<Weak<dyn Holder>>,
}

/// Leave to have one Python; given back when dropped.
pub(crate) struct Place(Arc<Pythons>);

impl Pythons {
    pub fn new(count_max: usize) -> Arc<Pythons> {
        Arc::new(Pythons { state: Mutex::default(), count_max })
    }

    /// From now on `holder` is asked to make room.
    pub fn add(&self, holder: Weak<dyn Holder>) {
        let mut state = self.state();
        state.holders.retain(|holder| holder.strong_count() > 0);
        state.holders.push(holder);
    }

    /// A place. Where all are taken the Python that lay idle longest ends first, which blocks.
    ///
    /// # Errors
    /// When all places are taken and none of them by an idle one: 429.
    pub fn reserve(self: &Arc<Self>) -> Result<Place, ApiError> {
        self.reserve_at(Instant::now())
    }

    fn reserve_at(self: &Arc<Self>, now: Instant) -> Result<Place, ApiError> {
        loop {
            let holders = {
                let mut state = self.state();
                if state.count < self.count_max {
                    state.count += 1;
                    return Ok(Place(Arc::clone(self)));
                }
                live(&state)
            };
            let idle = holders.iter().filter_map(|holder| Some((holder.idle_since()?, holder)));
            let oldest = idle.min_by_key(|(since, _)| *since);
            match oldest.filter(|(since, _)| now.saturating_duration_since(*since) >= IDLE_MIN) {
                Some((since, holder)) => holder.give_back(since),
                None => {
                    let most = self.count_max;
                    let message = format!(
                        "all {most} sessions that may have a Python at once are in use\nhint: try again later, or delete one"
                    );
                    return Err(ApiError::busy(message));
                }
            }
        }
    }

    /// Ends all that have lain idle for `idle_max`. Blocks.
    pub fn sweep(&self, idle_max: Duration) {
        let now = Instant::now();
        let holders = live(&self.state());
        for holder in holders {
            if let Some(since) = holder.idle_since().filter(|since| now.saturating_duration_since(*since) >= idle_max) {
                holder.give_back(since);
            }
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.state().count
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn live(state: &State) -> Vec<Arc<dyn Holder>> {
    state.holders.iter().filter_map(Weak::upgrade).collect()
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.state().count -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One(Mutex<Option<(Instant, Place)>>);

    impl Holder for One {
        fn idle_since(&self) -> Option<Instant> {
            self.0.lock().unwrap().as_ref().map(|(since, _)| *since)
        }

        fn give_back(&self, _: Instant) {
            self.0.lock().unwrap().take();
        }
    }

    #[test]
    fn the_longest_idle_makes_room_and_those_in_use_do_not() {
        let pythons = Pythons::new(2);
        let now = Instant::now();
        let held: Vec<Arc<One>> = [2, 1]
            .map(|age| {
                let since = now - Duration::from_secs(age);
                let one = Arc::new(One(Mutex::new(Some((since, pythons.reserve().unwrap())))));
                pythons.add(Arc::downgrade(&one) as Weak<dyn Holder>);
                one
            })
            .into();
        assert!(pythons.reserve_at(now).is_err());
        let place = pythons.reserve_at(now + IDLE_MIN).unwrap();
        assert!(held[0].idle_since().is_none() && held[1].idle_since().is_some());
        drop(place);
        assert_eq!(pythons.count(), 1);
        pythons.sweep(Duration::ZERO);
        assert_eq!(pythons.count(), 0);
    }
}
