//! Ranks that are threads of one process.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use candle_core::Tensor;

use super::{Collective, Place, RankError, from_host, take_in, to_bytes, to_host};

/// One of them.
#[derive(Debug)]
pub struct Threads {
    place: Place,
    board: Arc<Board>,
}

#[derive(Debug, Default)]
struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// What the ranks gave in this round.
    given: Vec<Option<Vec<u8>>>,
    /// Rounds that are over.
    round: usize,
    /// Of the round before. It stays until all have given something again, and so have taken it.
    taken: Arc<Vec<Vec<u8>>>,
    lost: Option<RankError>,
    left: Vec<bool>,
}

impl Threads {
    /// So many ranks, one for each thread. A rank that is dropped and has not left is gone.
    pub fn new(count: usize) -> Vec<Threads> {
        let state = State { given: vec![None; count], left: vec![false; count], ..State::default() };
        let board = Arc::new(Board { state: Mutex::new(state), changed: Condvar::new() });
        (0..count).map(|rank| Threads { place: Place { rank, count }, board: Arc::clone(&board) }).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.board.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn exchange(&self, mine: Vec<u8>) -> Result<Arc<Vec<Vec<u8>>>, RankError> {
        let mut state = self.state();
        let round = state.round;
        state.given[self.place.rank] = Some(mine);
        if state.given.iter().all(Option::is_some) {
            state.taken = Arc::new(state.given.iter_mut().filter_map(Option::take).collect());
            state.round += 1;
            self.board.changed.notify_all();
        }
        while state.round == round {
            if let Some(error) = &state.lost {
                return Err(error.clone());
            }
            state = self.board.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(Arc::clone(&state.taken))
    }

    fn lose(&self, why: &str) {
        let (rank, mut state) = (self.place.rank, self.state());
        if state.lost.is_none() && !state.left[rank] {
            state.lost = Some(RankError::Lost { rank, why: why.to_owned() });
        }
        drop(state);
        self.board.changed.notify_all();
    }
}

impl Collective for Threads {
    fn place(&self) -> Place {
        self.place
    }

    fn sum(&self, values: &Tensor) -> Result<(), RankError> {
        let all = self.exchange(to_bytes(&to_host(values)?))?;
        let mut sum = vec![0.0; values.elem_count()];
        take_in(&mut sum, 0, &all[0], |sum, value| *sum = value)?;
        for (rank, theirs) in all.iter().enumerate().skip(1) {
            take_in(&mut sum, rank, theirs, |sum, value| *sum += value)?;
        }
        from_host(values, sum, 0)
    }

    fn spread(&self, values: &Tensor) -> Result<(), RankError> {
        let mut host = to_host(values)?;
        let mine = if self.place.is_first() { to_bytes(&host) } else { Vec::new() };
        take_in(&mut host, 0, &self.exchange(mine)?[0], |value, theirs| *value = theirs)?;
        from_host(values, host, 0)
    }

    fn gather(&self, mine: &[u8]) -> Result<Vec<Vec<u8>>, RankError> {
        self.exchange(mine.to_vec()).map(|all| all.to_vec())
    }

    fn check(&self) -> Result<(), RankError> {
        self.state().lost.clone().map_or(Ok(()), Err)
    }

    fn leave(&self, failure: Option<&str>) {
        if let Some(why) = failure {
            self.lose(&format!("it ended: {why}"));
        }
        self.state().left[self.place.rank] = true;
    }

    fn means(&self) -> &'static str {
        "threads of one process"
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.lose("its thread has ended");
    }
}
