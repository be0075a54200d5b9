//! Code in a Jupyter kernel of the user's own, which nothing stands around.

use std::sync::Arc;

use codeact_eval::Sandbox;
use codeact_sandbox::jupyter::Kernel;
use codeact_sandbox::{Interpreter, Policy, Recovery, SandboxError};

use crate::{MakeInterpreter, Recording, Started};

/// Options of programs that can run code in a kernel.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Sandbox")]
pub struct JupyterArgs {
    /// Run code in this Jupyter kernel, NOT SANDBOXED: the name of an installed one, or the connection file (.json) of one
    /// that runs, which all sessions then share
    #[arg(long, value_name = "KERNEL", conflicts_with_all = ["weakest", "unsafe_no_sandbox"])]
    jupyter: Option<String>,
}

/// In front of what is said wherever there is no sandbox.
const BANNER: &str = "code runs in your own Jupyter kernel: NOT SANDBOXED";

impl JupyterArgs {
    /// Starts the kernel, if one is asked for, and says that it is not a sandbox. Of `policy`, limits on time and output,
    /// the folder and the Python count.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(&self, policy: Policy) -> Result<Option<(Kernel, Sandbox)>, SandboxError> {
        let Some(name) = &self.jupyter else { return Ok(None) };
        let kernel = Kernel::open(name, &policy)?;
        eprintln!("{BANNER}");
        let protection = kernel.protection().clone();
        Ok(Some((kernel, Sandbox::new(policy, protection))))
    }

    /// What starts a kernel for each session, or connects to the one that runs.
    pub fn make_interpreter(&self, sandbox: &Sandbox) -> Option<MakeInterpreter> {
        let (name, policy) = (self.jupyter.clone()?, sandbox.policy.clone());
        Some(Arc::new(move |_, recording| {
            let interpreter = Box::new(Kernel::open(&name, &policy)?);
            // What a kernel held is gone with it: nobody has written it down.
            let gone = "variables and files are gone: a Jupyter kernel is not recorded".to_owned();
            let recovery = matches!(recording, Recording::Restored(_)).then(|| Recovery {
                cells: 0,
                differences: vec![gone],
                cut: None,
            });
            Ok(Started { interpreter, recovery })
        }))
    }
}
