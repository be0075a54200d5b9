//! The options about the sandbox, which all programs share, and what they come to on this machine.

use std::path::{Path, PathBuf};

use codeact_sandbox::proxy::AllowList;
use codeact_sandbox::{Limits, Network, Policy, Protection, Rung, SandboxError, Session};

use crate::describe;

const MIB: u64 = 1 << 20;

/// Options of every program that runs code of models.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Sandbox")]
pub struct SandboxArgs {
    /// Weakest protection that is accepted
    #[arg(long = "sandbox", value_name = "RUNG", value_enum, default_value_t)]
    weakest: Weakest,
    /// Run code without any protection, with all rights of this user
    #[arg(long, conflicts_with = "weakest")]
    unsafe_no_sandbox: bool,
    /// Interpreter that runs the code: a name on the PATH, or a path; its packages can be imported
    #[arg(long, value_name = "PATH", default_value = "python3")]
    python: PathBuf,
    /// Modules to import once, before the first session, so that cells have them at once
    #[arg(long, value_name = "MODULE,..", default_value = "numpy,pandas,matplotlib.pyplot")]
    #[arg(value_delimiter = ',', value_parser = module)]
    preimport: Vec<String>,
    /// Seconds that a cell may run before it is interrupted
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::default().wall_ms_max / 1000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=604_800))]
    cell_seconds: u64,
    /// MiB of memory for all processes of a session together; without cgroups, for each of them
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::default().memory_bytes_max / MIB)]
    #[arg(value_parser = clap::value_parser!(u64).range(64..=16_777_216))]
    memory_mib: u64,
    /// MiB of disk for the files of a session
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::default().disk_bytes_max / MIB)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=16_777_216))]
    disk_mib: u64,
    /// Processes and threads of a session at once
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::default().processes_max)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=100_000))]
    processes: u64,
    /// Whom code may talk to: none, loopback (itself), full (anybody), or HOST,.. through a proxy
    #[arg(long, value_name = "WHOM", default_value = "none", value_parser = network)]
    network: Network,
    /// At the start, name every layer of the protection
    #[arg(long)]
    verbose: bool,
}

/// Rungs that need no further word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Weakest {
    /// A: started by root, with ids of nobody else
    Root,
    /// B: user namespaces
    #[default]
    User,
    /// C: Landlock and seccomp only
    Weak,
}

impl SandboxArgs {
    /// Which of the options are given of those that some settings have as well: `--python` and `--cell-seconds`.
    pub fn also_settings(&self) -> Vec<&'static str> {
        let is_other_time = self.cell_seconds * 1000 != Limits::default().wall_ms_max;
        let given = [(self.python != Path::new("python3"), "--python"), (is_other_time, "--cell-seconds")];
        given.into_iter().filter_map(|(is_given, name)| is_given.then_some(name)).collect()
    }

    /// What they ask for. Cells work in the folder `workspace` of this machine, or else on a disk of their own.
    pub fn policy(&self, workspace: Option<PathBuf>) -> Policy {
        let weakest = match self.weakest {
            Weakest::Root => Rung::Root,
            Weakest::User => Rung::User,
            Weakest::Weak => Rung::Weak,
        };
        // Without a sandbox means without: on a machine where one holds too.
        let (strongest, weakest) =
            if self.unsafe_no_sandbox { (Rung::None, Rung::None) } else { (Rung::Root, weakest) };
        Policy {
            python: self.python.clone(),
            imports: self.preimport.iter().filter(|name| !name.is_empty()).cloned().collect(),
            limits: Limits {
                wall_ms_max: self.cell_seconds * 1000,
                memory_bytes_max: self.memory_mib * MIB,
                disk_bytes_max: self.disk_mib * MIB,
                processes_max: self.processes,
                ..Limits::default()
            },
            network: self.network.clone(),
            workspace,
            weakest,
            strongest,
            ..Policy::default()
        }
    }

    /// Starts a session as they ask for, and tells what it came to.
    ///
    /// # Errors
    /// When no session starts so.
    pub fn start(&self, workspace: Option<PathBuf>) -> Result<(Session, Sandbox), SandboxError> {
        self.open(self.policy(workspace))
    }

    /// As [`SandboxArgs::start`], under a policy of theirs with something added, such as tools.
    ///
    /// # Errors
    /// When no session starts so.
    pub fn open(&self, policy: Policy) -> Result<(Session, Sandbox), SandboxError> {
        let session = Session::start(&policy)?;
        let protection = session.protection().clone();
        Ok((session, Sandbox { is_verbose: self.verbose, ..Sandbox::new(policy, protection) }))
    }
}

/// What sessions run under, and what that comes to on this machine.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// What sessions run under.
    pub policy: Policy,
    /// What stands between their code and this machine.
    pub protection: Protection,
    is_verbose: bool,
}

impl Sandbox {
    /// Both of them.
    pub fn new(policy: Policy, protection: Protection) -> Sandbox {
        Sandbox { policy, protection, is_verbose: false }
    }

    /// What a program says when it starts, after `before` on the first line: which rung holds and why not a better
    /// one, which modules are missing, and in large letters that there is no protection at all.
    pub fn announcement(&self, before: &str) -> String {
        let mut lines = vec![format!("{before}{}", describe::sandbox_line(&self.protection))];
        lines.extend(self.is_verbose.then(|| self.protection.to_string().trim_end().to_owned()));
        lines.extend(describe::missing_line(&self.protection, &self.policy.python));
        lines.extend(describe::banner(&self.protection));
        lines.join("\n")
    }
}

fn module(text: &str) -> Result<String, String> {
    let is_name = |part: &str| {
        part.chars().all(|character| character.is_alphanumeric() || character == '_')
            && part.chars().next().is_some_and(|first| !first.is_numeric())
    };
    match text.is_empty() || text.split('.').all(is_name) {
        true => Ok(text.to_owned()),
        false => Err("this is not the name of a Python module".to_owned()),
    }
}

fn network(text: &str) -> Result<Network, String> {
    match text {
        "none" => Ok(Network::None),
        "loopback" => Ok(Network::Loopback),
        "full" => Ok(Network::Full),
        hosts => {
            let hosts: Vec<String> = hosts.split(',').map(|host| host.trim().to_owned()).collect();
            AllowList::parse(&hosts).map_err(|error| error.to_string())?;
            Ok(Network::Allow(hosts))
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Program {
        #[command(flatten)]
        sandbox: SandboxArgs,
    }

    fn policy(line: &str) -> Result<Policy, String> {
        let program = Program::try_parse_from(["program"].into_iter().chain(line.split_whitespace()));
        program.map(|program| program.sandbox.policy(None)).map_err(|error| error.to_string())
    }

    #[test]
    fn without_options_the_policy_is_the_default_one() {
        assert_eq!(format!("{:?}", policy("").unwrap()), format!("{:?}", Policy::default()));
    }

    #[test]
    fn running_without_protection_takes_a_word_of_its_own() {
        let rungs = |line: &str| policy(line).map(|policy| (policy.strongest, policy.weakest));
        assert_eq!(rungs("--sandbox root"), Ok((Rung::Root, Rung::Root)));
        assert_eq!(rungs("--sandbox weak"), Ok((Rung::Root, Rung::Weak)));
        assert_eq!(rungs("--unsafe-no-sandbox"), Ok((Rung::None, Rung::None)));
        assert!(rungs("--sandbox none").unwrap_err().contains("possible values: root, user, weak"));
        assert!(rungs("--sandbox weak --unsafe-no-sandbox").is_err());
    }

    #[test]
    fn limits_are_in_the_units_of_their_names() {
        let limits = policy("--cell-seconds 5 --memory-mib 512 --disk-mib 64 --processes 32").unwrap().limits;
        assert_eq!((limits.wall_ms_max, limits.memory_bytes_max), (5000, 512 << 20));
        assert_eq!((limits.disk_bytes_max, limits.processes_max), (64 << 20, 32));
        assert!(policy("--cell-seconds 0").is_err() && policy("--memory-mib 1").is_err());
    }

    #[test]
    fn modules_and_hosts_are_lists() {
        assert_eq!(policy("--preimport numpy,scipy.stats").unwrap().imports, ["numpy", "scipy.stats"]);
        assert!(policy("--preimport=").unwrap().imports.is_empty());
        assert!(policy("--preimport os;exit").unwrap_err().contains("not the name of a Python module"));
        let allowed = Network::Allow(vec!["files.example.org".to_owned(), "*.example.net".to_owned()]);
        assert_eq!(policy("--network files.example.org,*.example.net").unwrap().network, allowed);
        assert_eq!(policy("--network loopback").unwrap().network, Network::Loopback);
        assert!(policy("--network http://example.org/").is_err());
    }
}
