//! Which rank this is and where rank 0 is, as torchrun, SLURM and `--gpus` say it in the environment.

use std::ffi::OsString;

use super::{Meeting, Place, RankError, hosts};

/// More ranks than these are a mistake: rank 0 has a connection to each.
const COUNT_MAX: usize = 4096;

const TORCHRUN: &str = "start the ranks by `torchrun --no-python ... codeact-train ...`, or set RANK, WORLD_SIZE, \
                        LOCAL_RANK, MASTER_ADDR and MASTER_PORT; without any of them the run has one rank";
const SLURM: &str = "start the ranks by `srun codeact-train ...`; for a run of one rank inside of a job unset \
                     SLURM_PROCID";

/// Where ranks of SLURM meet when MASTER_PORT says nothing: by the job, so that two jobs of a machine do not meet.
const SLURM_PORTS: std::ops::Range<u64> = 20_000..30_000;

/// Which ranks belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    /// Which one this is.
    pub place: Place,
    /// Its number among those of this machine: which card it takes.
    pub local_rank: usize,
    /// Where they meet.
    pub meeting: Meeting,
}

impl Team {
    /// Reads a launcher's variables; `None` for a run of one rank.
    ///
    /// `RANK`, `WORLD_SIZE`, `LOCAL_RANK`, `MASTER_ADDR` and `MASTER_PORT` come first; without them, in what `srun` started
    /// (`SLURM_STEP_ID`; a script of `sbatch` is no step), `SLURM_PROCID`, `SLURM_NTASKS`, `SLURM_LOCALID` and the first host
    /// of `SLURM_STEP_NODELIST` or `SLURM_JOB_NODELIST`. Where torchrun keeps MASTER_PORT for a
    /// store of its own (`TORCHELASTIC_USE_AGENT_STORE`), the ranks meet at the port behind it.
    ///
    /// * `get`: a variable of the environment.
    ///
    /// # Errors
    /// When a variable is missing or says nothing that can be used.
    pub fn read(get: &dyn Fn(&str) -> Option<OsString>) -> Result<Option<Team>, RankError> {
        let read = |name| Variables { get, hint: TORCHRUN }.text(name);
        let is_torchrun = ["RANK", "WORLD_SIZE", "LOCAL_RANK"].into_iter().find(|name| get(name).is_some());
        if let Some(there) = is_torchrun {
            return Variables { get, hint: TORCHRUN }.torchrun(there);
        }
        match read("SLURM_STEP_ID")?.is_some() && read("SLURM_PROCID")?.is_some() {
            true => Variables { get, hint: SLURM }.slurm(),
            false => Ok(None),
        }
    }

    /// Of this process.
    ///
    /// # Errors
    /// As for [`Team::read`].
    pub fn of_environment() -> Result<Option<Team>, RankError> {
        Team::read(&|name| std::env::var_os(name))
    }

    /// The number of the card to compute on. Launchers that show each rank its own card show one.
    pub fn ordinal(&self, gpu_count: usize) -> usize {
        if gpu_count == 1 { 0 } else { self.local_rank }
    }
}

struct Variables<'a> {
    get: &'a dyn Fn(&str) -> Option<OsString>,
    hint: &'static str,
}

impl Variables<'_> {
    fn bad(&self, name: &'static str, value: &str, expected: impl Into<String>) -> RankError {
        // Whatever is in the environment, it does not steer the terminal and is not long.
        let value = value.chars().take(100).collect();
        RankError::Variable { name, value, expected: expected.into(), hint: self.hint }
    }

    fn text(&self, name: &'static str) -> Result<Option<String>, RankError> {
        let Some(value) = (self.get)(name) else { return Ok(None) };
        match value.into_string() {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(raw) => Err(self.bad(name, &raw.to_string_lossy(), "text")),
        }
    }

    fn number(&self, name: &'static str, range: std::ops::Range<u64>) -> Result<Option<u64>, RankError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let is_plain = !text.is_empty() && text.chars().all(|char| char.is_ascii_digit());
        let number = text.parse().ok().filter(|number| is_plain && range.contains(number));
        let expected = || format!("a whole number from {} to {}", range.start, range.end - 1);
        number.map(Some).ok_or_else(|| self.bad(name, &text, expected()))
    }

    fn place(&self, names: [&'static str; 2]) -> Result<(Option<u64>, Option<u64>), RankError> {
        let [rank_name, count_name] = names;
        let count = self.number(count_name, 1..COUNT_MAX as u64 + 1)?;
        // Without a count any rank passes; what is missing is said later.
        let rank = self.number(rank_name, 0..count.unwrap_or(COUNT_MAX as u64))?;
        Ok((rank, count))
    }

    fn missing(&self, there: &'static str, wanted: &[(&'static str, bool)]) -> RankError {
        let missing = wanted.iter().filter(|(_, is_there)| !is_there).map(|(name, _)| *name).collect();
        RankError::Missing { there, missing, hint: self.hint }
    }

    fn torchrun(&self, there: &'static str) -> Result<Option<Team>, RankError> {
        let (rank, count) = self.place(["RANK", "WORLD_SIZE"])?;
        if count == Some(1) {
            return Ok(None);
        }
        let local_rank = self.number("LOCAL_RANK", 0..COUNT_MAX as u64)?;
        let host = self.text("MASTER_ADDR")?.filter(|host| !host.is_empty());
        let port = self.number("MASTER_PORT", 1..1 << 16)?;
        let (Some(rank), Some(count), Some(local_rank), Some(host), Some(port)) =
            (rank, count, local_rank, &host, port)
        else {
            let wanted = [
                ("RANK", rank.is_some()),
                ("WORLD_SIZE", count.is_some()),
                ("LOCAL_RANK", local_rank.is_some()),
                ("MASTER_ADDR", host.is_some()),
                ("MASTER_PORT", port.is_some()),
            ];
            return Err(self.missing(there, &wanted));
        };
        let is_taken = self.text("TORCHELASTIC_USE_AGENT_STORE")?.is_some_and(|value| value == "True");
        let port = match (is_taken, port) {
            (false, port) => port,
            (true, 65_535) => 65_534,
            (true, port) => port + 1,
        };
        Ok(Some(team((rank, count), local_rank, host, port)))
    }

    fn slurm(&self) -> Result<Option<Team>, RankError> {
        let (rank, count) = self.place(["SLURM_PROCID", "SLURM_NTASKS"])?;
        if count == Some(1) {
            return Ok(None);
        }
        let local_rank = self.number("SLURM_LOCALID", 0..COUNT_MAX as u64)?;
        let of_step = self.text("SLURM_STEP_NODELIST")?;
        let name = if of_step.is_some() { "SLURM_STEP_NODELIST" } else { "SLURM_JOB_NODELIST" };
        let list = self.text(name)?;
        let address = self.text("MASTER_ADDR")?.filter(|host| !host.is_empty());
        let has_host = list.is_some() || address.is_some();
        let (Some(rank), Some(count), Some(local_rank), true) = (rank, count, local_rank, has_host) else {
            let wanted = [
                ("SLURM_NTASKS", count.is_some()),
                ("SLURM_LOCALID", local_rank.is_some()),
                ("SLURM_JOB_NODELIST", has_host),
            ];
            return Err(self.missing("SLURM_PROCID", &wanted));
        };
        let host = match (address, list) {
            (Some(address), _) => address,
            (None, list) => {
                let list = list.unwrap_or_default();
                let expected = "hosts such as `node[01-03,7]`";
                hosts::first(&list).ok_or_else(|| self.bad(name, &list, expected))?
            }
        };
        let of_job = || -> Result<u64, RankError> {
            let job = self.number("SLURM_JOB_ID", 0..u64::MAX)?.unwrap_or(0);
            let step = self.number("SLURM_STEP_ID", 0..u64::MAX)?.unwrap_or(0);
            Ok(SLURM_PORTS.start + job.wrapping_add(step) % (SLURM_PORTS.end - SLURM_PORTS.start))
        };
        let port = self.number("MASTER_PORT", 1..1 << 16)?.map_or_else(of_job, Ok)?;
        Ok(Some(team((rank, count), local_rank, &host, port)))
    }
}

fn team((rank, count): (u64, u64), local_rank: u64, host: &str, port: u64) -> Team {
    Team {
        place: Place { rank: rank as usize, count: count as usize },
        local_rank: local_rank as usize,
        meeting: Meeting { host: host.to_owned(), port: port as u16 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Team>, RankError> {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value));
        Team::read(&find)
    }

    const WHOLE: [(&str, &str); 5] = [
        ("RANK", "3"),
        ("WORLD_SIZE", "4"),
        ("LOCAL_RANK", "1"),
        ("MASTER_ADDR", "10.0.0.7"),
        ("MASTER_PORT", "29500"),
    ];

    fn with(changes: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
        changes.iter().chain(&WHOLE).copied().collect()
    }

    #[test]
    fn variables_of_torchrun_are_understood() {
        let found = read(&WHOLE).expect("whole").expect("four ranks");
        assert_eq!(found, team((3, 4), 1, "10.0.0.7", 29_500));
        // torchrun's own store has that port.
        let behind = read(&with(&[("TORCHELASTIC_USE_AGENT_STORE", "True")])).expect("whole").expect("four");
        assert_eq!(behind.meeting.port, 29_501);
        assert_eq!(read(&[]).expect("nothing"), None);
        assert_eq!(read(&[("RANK", "0"), ("WORLD_SIZE", "1")]).expect("one rank"), None);
        assert_eq!([found.ordinal(1), found.ordinal(8)], [0, 1]);
    }

    #[test]
    fn variables_of_slurm_are_understood() {
        let job = [
            ("SLURM_STEP_ID", "0"),
            ("SLURM_PROCID", "5"),
            ("SLURM_NTASKS", "6"),
            ("SLURM_LOCALID", "1"),
            ("SLURM_JOB_NODELIST", "node[01-03,7]"),
            ("SLURM_JOB_ID", "123456"),
        ];
        assert_eq!(read(&job).expect("whole"), Some(team((5, 6), 1, "node01", 23_456)));
        let port = [&job[..], &[("MASTER_PORT", "4000"), ("MASTER_ADDR", "ib-node01")]].concat();
        assert_eq!(read(&port).expect("whole"), Some(team((5, 6), 1, "ib-node01", 4_000)));
        // torchrun inside of a job: its own variables count.
        assert_eq!(read(&[&job[..], &WHOLE].concat()).expect("whole").map(|team| team.place.rank), Some(3));
        let step = [&job[..], &[("SLURM_STEP_NODELIST", "node[02-03]")]].concat();
        assert_eq!(read(&step).expect("whole"), Some(team((5, 6), 1, "node02", 23_456)));
        assert_eq!(read(&[&job[..1], &[("SLURM_PROCID", "0"), ("SLURM_NTASKS", "1")]].concat()).expect("one"), None);
        // A script that sbatch runs is a run of one, whatever its job has.
        assert_eq!(read(&job[1..]).expect("a script"), None);
        let error = read(&job[..4]).expect_err("no host").to_string();
        assert!(error.contains("`SLURM_JOB_NODELIST` is not") && error.contains("srun"), "{error}");
        let nonsense = [&job[..4], &[("SLURM_JOB_NODELIST", "node[")]].concat();
        assert!(read(&nonsense).expect_err("no list").to_string().contains("hosts such as"));
    }

    #[test]
    fn variables_that_cannot_be_are_refused_by_name() {
        for (name, value) in [
            ("WORLD_SIZE", "0"),
            ("WORLD_SIZE", "many"),
            ("WORLD_SIZE", "-1"),
            ("WORLD_SIZE", "99999999999999999999999"),
            ("RANK", "4"),
            ("RANK", "+1"),
            ("RANK", ""),
            ("LOCAL_RANK", "1.5"),
            ("MASTER_PORT", "0"),
            ("MASTER_PORT", "65536"),
        ] {
            let error = read(&with(&[(name, value)])).expect_err(value).to_string();
            assert!(error.contains(&format!("`{name}` is {value:?}, expected a whole number from")), "{error}");
            assert!(error.contains("hint: "), "{error}");
        }
        for missing in ["RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"] {
            let rest: Vec<_> = WHOLE.into_iter().filter(|(name, _)| *name != missing).collect();
            let error = read(&rest).expect_err(missing).to_string();
            assert!(error.contains(&format!("and `{missing}` is not")), "{error}");
        }
        let error = read(&[("WORLD_SIZE", "2")]).expect_err("alone").to_string();
        assert!(error.contains("`RANK`, `LOCAL_RANK`, `MASTER_ADDR`, `MASTER_PORT` are not"), "{error}");
        assert!(read(&with(&[("RANK", &"9".repeat(5000).leak()[..])])).expect_err("long").to_string().len() < 600);
    }
}
