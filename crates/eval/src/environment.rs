//! Tasks as environments: an agent, or whatever learns, acts in a task step by step and is rewarded by its grader.
//!
//! The shape is InterCode's (Yang et al., arXiv 2306.14898): an episode is one task, an action is code, an observation is
//! what came of it, and the reward comes at the end. Here actions are Python, in a fresh sandbox for each episode.

use std::sync::Arc;

use codeact_agent::{ActionFormat, Profile};
use codeact_chat::Message;
use codeact_sandbox::{CellEnd, Policy, Session};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::grade::{Attempt, Tree};
use crate::run::{policy_for, prepared_session};
use crate::{EvalError, Suite, Task};

/// Steps of an episode, where its task has no bound of its own.
const STEPS_MAX: usize = 10;
/// Characters of an observation.
const OBSERVATION_CHARS_MAX: usize = 10_000;

/// Something to act in, one episode after the other.
pub trait Environment {
    /// Begins an episode: the task with this index. What was open ends without a reward.
    ///
    /// # Errors
    /// When there is no such task, or it cannot be set up.
    fn reset(&mut self, task: usize) -> Result<Observation, EvalError>;

    /// Does something. With the last step that the task allows the episode is over, and what is there is judged.
    ///
    /// # Errors
    /// When no episode is open, or Python cannot go on; not when the action fails.
    fn step(&mut self, action: &str) -> Result<Step, EvalError>;

    /// Ends the episode with a solution, which is judged.
    ///
    /// # Errors
    /// When no episode is open, or the grader cannot run.
    fn submit(&mut self, solution: &str) -> Result<Step, EvalError>;
}

/// What an episode begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Observation {
    /// What the user says.
    pub observation: String,
    /// The functions that actions can call, described as for a model; empty without any.
    pub tools: String,
    /// Which task it is.
    pub task: TaskFacts,
    /// Steps that may be taken.
    pub steps_max: usize,
}

/// A task without what solves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskFacts {
    /// Its place among all tasks.
    pub index: usize,
    /// Its suite.
    pub suite: String,
    /// Its name in the suite.
    pub id: String,
    /// What results are counted by.
    pub family: String,
    /// Words that tasks can be chosen by.
    pub tags: Vec<String>,
}

/// What came of an action.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// What a model would see: output, value, error. Empty after a submission.
    pub observation: String,
    /// 1 when the episode ends and the grader is satisfied, or else 0.
    pub reward: f64,
    /// Whether the episode is over.
    pub done: bool,
    /// What is no part of the observation.
    pub info: Info,
}

/// Facts about a step.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Info {
    /// Steps taken.
    pub steps: usize,
    /// Whether the episode ended because no step is left.
    pub is_truncated: bool,
    /// How the action ended; `None` for what is no Python, and for a submission.
    pub end: Option<CellEnd>,
    /// The type of what was raised.
    pub error: Option<String>,
    /// Why the grader is not satisfied.
    pub reason: Option<String>,
}

/// All tasks of some suites, in one row.
#[derive(Debug, Clone)]
pub struct TaskRow {
    tasks: Arc<Vec<(String, Task)>>,
}

impl TaskRow {
    /// The tasks of `suites` in their order.
    pub fn new(suites: Vec<Suite>) -> TaskRow {
        let tasks = suites
            .into_iter()
            .flat_map(|Suite { name, tasks, .. }| tasks.into_iter().map(move |task| (name.clone(), task)));
        TaskRow { tasks: Arc::new(tasks.collect()) }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// What is to be said of one; `None` where there are not so many.
    pub fn facts(&self, index: usize) -> Option<TaskFacts> {
        let (suite, Task { id, family, tags, .. }) = self.tasks.get(index)?;
        let (suite, id, family, tags) = (suite.clone(), id.clone(), family.clone(), tags.clone());
        Some(TaskFacts { index, suite, id, family, tags })
    }

    /// The index of the task called `suite/id`, or just `id`, where only one suite has it.
    pub fn named(&self, name: &str) -> Option<usize> {
        let is_it = |(suite, task): &(String, Task)| {
            name.strip_prefix(suite.as_str()).and_then(|rest| rest.strip_prefix('/')) == Some(task.id.as_str())
        };
        self.tasks.iter().position(is_it).or_else(|| {
            let mut found = self.tasks.iter().enumerate().filter(|(_, (_, task))| task.id == name);
            let first = found.next().map(|(index, _)| index);
            first.filter(|_| found.next().is_none())
        })
    }

    /// An index that follows from `seed`, each about as likely.
    pub fn drawn(&self, seed: u64) -> usize {
        let hash = Sha256::digest(seed.to_le_bytes());
        let number = u64::from_le_bytes(hash[..8].try_into().expect("a hash has 32 bytes"));
        ((u128::from(number) * self.tasks.len() as u128) >> 64) as usize
    }
}

/// The tasks of a row as an environment.
pub struct TaskEnvironment {
    row: TaskRow,
    policy: Policy,
    episode: Option<Episode>,
}

/// A task that is being acted in, or waits for its verdict.
struct Episode {
    index: usize,
    /// `None` once nothing more can be done.
    session: Option<Session>,
    policy: Policy,
    before: Tree,
    transcript: Vec<Message>,
    steps: usize,
    steps_max: usize,
    over: Over,
}

/// What is judged of an episode when nothing more can be done.
#[derive(Default)]
struct Over {
    after: Tree,
    solution: Option<String>,
}

impl TaskEnvironment {
    /// Actions run under `policy`, with the limits of the tasks.
    pub fn new(row: TaskRow, policy: Policy) -> TaskEnvironment {
        TaskEnvironment { row, policy, episode: None }
    }

    fn task(&self, index: usize) -> Result<&Task, EvalError> {
        let found = self.row.tasks.get(index).map(|(_, task)| task);
        found.ok_or_else(|| EvalError::Environment(format!("there is no task {index}; there are {}", self.row.len())))
    }

    fn open(&mut self) -> Result<&mut Episode, EvalError> {
        let closed = || EvalError::Environment("no episode is open\nhint: reset begins one".to_owned());
        self.episode.as_mut().ok_or_else(closed)
    }

    /// Ends the episode: the reward, and why it is none. One that cannot be judged waits, as it was, to be submitted
    /// again.
    fn judge(&mut self, solution: Option<&str>) -> Result<(f64, Option<String>), EvalError> {
        let Some(episode) = &mut self.episode else { return Ok((0.0, None)) };
        let grader = &self.row.tasks[episode.index].1.grader;
        if let Some(session) = episode.session.take() {
            let after = if grader.needs_files() { Tree::of(&session.files()) } else { Tree::default() };
            episode.over = Over { after, solution: solution.map(str::to_owned) };
            // What the actions left running ends here, before anything is judged.
            drop(session);
        }
        let Over { after, solution } = &episode.over;
        let (transcript, before) = (&episode.transcript, &episode.before);
        let verdict =
            grader.judge(&Attempt { solution: solution.as_deref(), transcript, before, after }, &episode.policy)?;
        self.episode = None;
        Ok((f64::from(u8::from(verdict.passed)), (!verdict.passed).then_some(verdict.why)))
    }
}

impl Environment for TaskEnvironment {
    fn reset(&mut self, index: usize) -> Result<Observation, EvalError> {
        self.episode = None;
        let task = self.task(index)?;
        let policy = policy_for(task, &self.policy);
        let tools = Profile::quickstart().tools_prompt(&task.tools(&policy)?, ActionFormat::Code);
        let session = prepared_session(task, &policy)?;
        let before = if task.grader.needs_before() { Tree::of(&session.files()) } else { Tree::default() };
        let (prompt, steps_max) = (task.prompt.clone(), task.limits.turns.unwrap_or(STEPS_MAX));
        let transcript = vec![Message::user(prompt.clone())];
        let (session, over) = (Some(session), Over::default());
        self.episode = Some(Episode { index, session, policy, before, transcript, steps: 0, steps_max, over });
        let facts = self.row.facts(index).ok_or_else(|| EvalError::Environment("there is no such task".to_owned()))?;
        Ok(Observation { observation: prompt, tools, task: facts, steps_max })
    }

    fn step(&mut self, action: &str) -> Result<Step, EvalError> {
        let episode = self.open()?;
        let over =
            || EvalError::Environment("the episode is over, and not judged yet\nhint: submit it again".to_owned());
        let session = episode.session.as_mut().ok_or_else(over)?;
        episode.steps += 1;
        let mut info = Info { steps: episode.steps, ..Info::default() };
        let observation = match session.check(action)? {
            Some(error) => {
                info.error = Some(error.name);
                error.traceback
            }
            None => {
                let cell = session.run(action, &mut |_| {})?;
                (info.end, info.error) = (Some(cell.end), cell.error.as_ref().map(|error| error.name.clone()));
                cell.observation(OBSERVATION_CHARS_MAX)
            }
        };
        episode.transcript.push(Message::assistant(format!("<execute>\n{action}\n</execute>")));
        episode.transcript.push(Message::user(observation.clone()));
        info.is_truncated = episode.steps >= episode.steps_max;
        let mut reward = 0.0;
        if info.is_truncated {
            (reward, info.reason) = self.judge(None)?;
        }
        Ok(Step { observation, reward, done: info.is_truncated, info })
    }

    fn submit(&mut self, solution: &str) -> Result<Step, EvalError> {
        let episode = self.open()?;
        let steps = episode.steps;
        if episode.session.is_some() {
            episode.transcript.push(Message::assistant(format!("<solution>{solution}</solution>")));
        }
        let (reward, reason) = self.judge(Some(solution.trim()))?;
        let info = Info { steps, reason, ..Info::default() };
        Ok(Step { observation: String::new(), reward, done: true, info })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Grader, TaskLimits};

    fn row() -> TaskRow {
        let grader = |answer: &str| Grader::Answer { answer: answer.into() };
        let setup = Some("stock = 40".to_owned());
        let limits = TaskLimits { turns: Some(2), ..TaskLimits::default() };
        let first = Task { setup, limits, ..Task::new("a", "seen/f", "How many?", grader("42")) };
        let second = Task::new("b", "f", "What?", Grader::Tests { code: TEST.to_owned() });
        let second = Task { limits, ..second };
        let suite = |name: &str, tasks: Vec<Task>| Suite {
            name: name.into(),
            description: String::new(),
            licence: String::new(),
            path: name.into(),
            tasks,
        };
        TaskRow::new(vec![suite("s", vec![first, second.clone()]), suite("t", vec![second])])
    }

    const TEST: &str = "def test_file():\n    assert workspace.text('out.txt') == 'done'\n";

    fn environment() -> TaskEnvironment {
        TaskEnvironment::new(row(), Policy { imports: Vec::new(), ..Policy::default() })
    }

    #[test]
    fn an_episode_ends_with_a_solution_and_its_reward() {
        let mut environment = environment();
        assert!(environment.step("1").unwrap_err().to_string().contains("no episode is open"));
        for (solution, reward) in [("42", 1.0), ("41", 0.0)] {
            let begun = environment.reset(0).unwrap();
            assert_eq!((begun.observation.as_str(), begun.steps_max, begun.task.id.as_str()), ("How many?", 2, "a"));
            let step = environment.step("print(stock + 2)").unwrap();
            assert_eq!((step.observation.as_str(), step.reward, step.done), ("42", 0.0, false));
            let step = environment.submit(solution).unwrap();
            assert_eq!((step.reward, step.done, step.info.reason.is_none()), (reward, true, reward == 1.0));
            assert!(environment.submit(solution).is_err());
        }
    }

    #[test]
    fn failures_are_observations_and_the_last_step_is_judged() {
        let mut environment = environment();
        environment.reset(1).unwrap();
        let step = environment.step("1 +").unwrap();
        assert_eq!((step.info.error.as_deref(), step.info.end, step.done), (Some("SyntaxError"), None, false));
        let step = environment.step("print(open('out.txt', 'w').write('done'))").unwrap();
        assert_eq!((step.reward, step.done, step.info.is_truncated, step.info.steps), (1.0, true, true, 2));
        environment.reset(1).unwrap();
        environment.step("{}['x']").unwrap();
        let step = environment.step("{}['x']").unwrap();
        assert_eq!((step.reward, step.info.error.as_deref()), (0.0, Some("KeyError")));
        assert!(step.info.reason.is_some());
        // Nothing of an episode is there in the next.
        environment.reset(0).unwrap();
        assert_eq!(environment.step("import os; os.listdir()").unwrap().observation, "[]");
        assert!(environment.reset(9).is_err());
    }

    #[test]
    fn an_episode_that_cannot_be_judged_waits_as_it_was() {
        let limits = TaskLimits { turns: Some(1), ..TaskLimits::default() };
        let task = Task::new("c", "f", "What?", Grader::Tests { code: "1 +".to_owned() });
        let suite = Suite {
            name: "s".into(),
            description: String::new(),
            licence: String::new(),
            path: "s".into(),
            tasks: vec![Task { limits, ..task }],
        };
        let policy = Policy { imports: Vec::new(), ..Policy::default() };
        let mut environment = TaskEnvironment::new(TaskRow::new(vec![suite]), policy);
        environment.reset(0).unwrap();
        let error = environment.step("1").unwrap_err().to_string();
        assert!(error.contains("the grader cannot be run"), "{error}");
        // Nothing runs beside the grader, and nothing more can be done or said.
        let error = environment.step("1").unwrap_err().to_string();
        assert!(error.contains("the episode is over, and not judged yet"), "{error}");
        let said = environment.episode.as_ref().unwrap().transcript.len();
        for _ in 0..2 {
            let error = environment.submit("1").unwrap_err().to_string();
            assert!(error.contains("the grader cannot be run"), "{error}");
        }
        let episode = environment.episode.as_ref().unwrap();
        assert_eq!((episode.transcript.len(), &episode.over.solution), (said, &None));
        assert!(episode.session.is_none());
    }

    #[test]
    fn tasks_are_found_by_name_and_drawn_by_seed() {
        let row = row();
        assert_eq!((row.named("s/b"), row.named("t/b"), row.named("a")), (Some(1), Some(2), Some(0)));
        // Two suites have it.
        assert_eq!((row.named("b"), row.named("x"), row.named("s/")), (None, None, None));
        let mut counts = [0; 3];
        (0..300).for_each(|seed| counts[row.drawn(seed)] += 1);
        assert!(counts.iter().all(|count| (60..140).contains(count)), "{counts:?}");
        assert_eq!(row.drawn(7), row.drawn(7));
    }
}
