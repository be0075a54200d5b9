//! The open environments: so many at once, each its caller's, and closed when nobody uses them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::time::{Duration, Instant};

use codeact_eval::{Environment, EvalError, Observation, TaskEnvironment, TaskRow};
use codeact_sandbox::Policy;

use crate::ApiError;
use crate::agent::{Caller, fresh_id};

/// How often idle ones are looked for, at most.
const SWEEP: Duration = Duration::from_secs(5);

pub struct Store {
    row: TaskRow,
    policy: Policy,
    count_max: usize,
    idle_max: Duration,
    open: Mutex<HashMap<String, Arc<Slot>>>,
    /// Those that are open, and those that were closed while they act.
    alive: Arc<AtomicUsize>,
}

struct Slot {
    owner: Caller,
    used: Mutex<Instant>,
    environment: Mutex<TaskEnvironment>,
    /// Behind the environment: it counts until its Python is gone.
    _place: Place,
}

/// One of the environments that there may be.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Store {
    /// An empty one, which closes what lies idle for as long as it is there.
    pub fn new(row: TaskRow, policy: Policy, count_max: usize, idle_max: Duration) -> Arc<Store> {
        let store = Arc::new(Store { row, policy, count_max, idle_max, open: Mutex::default(), alive: Arc::default() });
        let weak: Weak<Store> = Arc::downgrade(&store);
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(SWEEP.min(idle_max));
                let Some(store) = weak.upgrade() else { return };
                store.sweep(Instant::now());
            }
        });
        store
    }

    /// Begins an episode in the environment `id`, or in a new one.
    ///
    /// # Errors
    /// When there is none with this id, it is in use, too many are open, or the task cannot be set up.
    pub fn reset(&self, caller: &Caller, id: Option<&str>, index: usize) -> Result<(String, Observation), ApiError> {
        let begin = |id: &str| self.act(caller, id, |environment| environment.reset(index));
        if let Some(id) = id {
            return begin(id).map(|begun| (id.to_owned(), begun));
        }
        let id = self.add(caller)?;
        match begin(&id) {
            Ok(begun) => Ok((id, begun)),
            Err(error) => {
                let _ = self.close(caller, &id);
                Err(error)
            }
        }
    }

    /// Does something in an environment.
    ///
    /// # Errors
    /// When there is none with this id, it is in use, or what `act` says.
    pub fn act<T>(
        &self,
        caller: &Caller,
        id: &str,
        act: impl FnOnce(&mut TaskEnvironment) -> Result<T, EvalError>,
    ) -> Result<T, ApiError> {
        let slot = self.find(caller, id)?;
        let mut environment = match slot.environment.try_lock() {
            Ok(environment) => environment,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(ApiError::conflict("this environment is acting already\nhint: one request at a time"));
            }
        };
        let done = act(&mut environment).map_err(|error| match error {
            EvalError::Environment(message) => ApiError::conflict(message),
            other => ApiError::internal(with_causes(other)),
        });
        *slot.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        done
    }

    /// Closes an environment. What it is doing ends by itself.
    ///
    /// # Errors
    /// When there is none with this id.
    pub fn close(&self, caller: &Caller, id: &str) -> Result<(), ApiError> {
        self.find(caller, id)?;
        let slot = self.open().remove(id);
        // After the lock: ending a Python takes a while.
        drop(slot);
        Ok(())
    }

    fn add(&self, caller: &Caller) -> Result<String, ApiError> {
        self.sweep(Instant::now());
        let id = format!("env-{}", fresh_id()?);
        // Taken first, and given back by its drop where it is one too many.
        let place = Place(Arc::clone(&self.alive));
        if self.alive.fetch_add(1, Ordering::Relaxed) >= self.count_max {
            let message = format!("{} environments are open, which is the limit\nhint: close one", self.count_max);
            return Err(ApiError::busy(message));
        }
        let slot = Slot {
            owner: caller.clone(),
            used: Mutex::new(Instant::now()),
            environment: Mutex::new(TaskEnvironment::new(self.row.clone(), self.policy.clone())),
            _place: place,
        };
        self.open().insert(id.clone(), Arc::new(slot));
        Ok(id)
    }

    /// Another caller's is none.
    fn find(&self, caller: &Caller, id: &str) -> Result<Arc<Slot>, ApiError> {
        let slot = self.open().get(id).filter(|slot| slot.owner == *caller).map(Arc::clone);
        slot.ok_or_else(|| {
            let message =
                "there is no such environment, or it lay idle and was closed\nhint: POST /env/reset opens one";
            ApiError::not_found(message).of("env")
        })
    }

    /// Closes what nobody has used for too long, unless it is acting.
    fn sweep(&self, now: Instant) {
        let is_idle = |slot: &Slot| {
            let used = *slot.used.lock().unwrap_or_else(PoisonError::into_inner);
            now.saturating_duration_since(used) >= self.idle_max && slot.environment.try_lock().is_ok()
        };
        let idle: Vec<(String, Arc<Slot>)> = self.open().extract_if(|_, slot| is_idle(slot)).collect();
        // After the lock.
        drop(idle);
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, Arc<Slot>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn with_causes(error: EvalError) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

#[cfg(test)]
mod tests {
    use codeact_eval::{Grader, Step, Suite, Task};

    use super::*;

    fn store(count_max: usize, idle_max: Duration) -> Arc<Store> {
        let task = Task::new("a", "f", "Add.", Grader::Answer { answer: "3".into() });
        let suite = Suite {
            name: "s".into(),
            description: String::new(),
            licence: String::new(),
            path: "s".into(),
            tasks: vec![task],
        };
        let policy = Policy { imports: Vec::new(), ..Policy::default() };
        Store::new(TaskRow::new(vec![suite]), policy, count_max, idle_max)
    }

    #[test]
    fn an_environment_is_its_callers_and_there_are_only_so_many() {
        let store = store(1, Duration::from_secs(600));
        let caller = |name: &str| Caller(Some(name.into()));
        let (id, begun) = store.reset(&caller("one"), None, 0).unwrap();
        assert_eq!(begun.observation, "Add.");
        assert!(store.reset(&caller("two"), None, 0).unwrap_err().message().contains("which is the limit"));
        assert!(
            store.act(&caller("two"), &id, |it| it.step("1")).is_err() && store.close(&caller("two"), &id).is_err()
        );
        assert_eq!(store.act(&caller("one"), &id, |it| it.step("1 + 2")).unwrap().observation, "3");
        let step: Step = store.act(&caller("one"), &id, |it| it.submit("3")).unwrap();
        assert_eq!((step.reward, step.done), (1.0, true));
        // The same one again, and then no more.
        assert_eq!(store.reset(&caller("one"), Some(&id), 0).unwrap().0, id);
        store.close(&caller("one"), &id).unwrap();
        assert!(store.act(&caller("one"), &id, |it| it.step("1")).is_err());
    }

    #[test]
    fn a_refused_reset_closes_nothing_and_what_acts_counts_until_it_ends() {
        let store = store(1, Duration::from_secs(600));
        let caller = Caller::default();
        let (id, _) = store.reset(&caller, None, 0).unwrap();
        let held = store.act(&caller, &id, |_| {
            assert!(store.reset(&caller, Some(&id), 0).unwrap_err().message().contains("acting already"));
            assert!(store.find(&caller, &id).is_ok(), "it is there still");
            store.close(&caller, &id).unwrap();
            assert!(store.reset(&caller, None, 0).unwrap_err().message().contains("which is the limit"));
            Ok(())
        });
        assert!(held.is_ok());
        assert!(store.reset(&caller, None, 0).is_ok());
    }

    #[test]
    fn what_acts_is_not_idle_and_does_nothing_else() {
        let store = store(2, Duration::from_secs(600));
        let caller = Caller::default();
        let (id, _) = store.reset(&caller, None, 0).unwrap();
        let later = Instant::now() + Duration::from_secs(1000);
        let held = store.act(&caller, &id, |_| {
            store.sweep(later);
            let refused = store.act(&caller, &id, |it| it.step("1")).unwrap_err();
            assert!(refused.message().contains("acting already"));
            Ok(())
        });
        assert!(held.is_ok() && store.find(&caller, &id).is_ok());
        store.sweep(later);
        assert!(store.find(&caller, &id).is_err());
    }
}
