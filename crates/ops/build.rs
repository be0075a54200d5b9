//! Compiles `kernels/*.cu`: with `cuda` for the cards, with `emulation` for the processor; without either nothing.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Cargo says what is enabled by these; `cfg!` would be of the build script.
    let (cuda, emulation) = (env::var_os("CARGO_FEATURE_CUDA"), env::var_os("CARGO_FEATURE_EMULATION"));
    if cuda.is_none() && emulation.is_none() {
        return;
    }
    let folder = path("CARGO_MANIFEST_DIR").join("../../kernels");
    let folder = fs::canonicalize(&folder).unwrap_or_else(|error| panic!("`{}`: {error}", folder.display()));
    println!("cargo::rerun-if-changed={}", folder.display());
    let (kernels, out) = (kernels(&folder), path("OUT_DIR"));
    if cuda.is_some() {
        cuda::compile(&kernels, &out);
    }
    #[cfg(feature = "emulation")]
    emulation::compile(&folder, &kernels, &out);
}

fn path(variable: &str) -> PathBuf {
    PathBuf::from(env::var_os(variable).expect("Cargo sets it"))
}

/// The kernel files, by name.
fn kernels(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).expect("the folder was found just now");
    let paths = files.map(|file| file.expect("a folder that can be listed").path());
    let mut kernels: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|ends| ends == "cu")).collect();
    kernels.sort();
    kernels
}

/// With nvcc, for all cards at once.
mod cuda {
    use std::collections::VecDeque;
    use std::fmt::Write as _;
    use std::path::{Path, PathBuf};
    use std::process::{Command, exit};
    use std::sync::Mutex;
    use std::{env, fs, thread};

    /// Machine code for Ampere (A100; RTX 30), Ada and Hopper.
    const MACHINE_CODE: [&str; 4] = ["80", "86", "89", "90a"];
    /// What the driver compiles for cards that came later.
    const PTX: &str = "90";

    /// Writes one `fatbin` for each kernel file, and `fatbins.rs` that holds them all.
    pub fn compile(kernels: &[PathBuf], out: &Path) {
        let nvcc = find().unwrap_or_else(|| {
            fail(
                "no `nvcc` in CUDA_HOME, CUDA_PATH or on the PATH",
                "run `eval \"$(scripts/cuda-toolkit.sh)\"`, which finds or installs the CUDA toolkit",
            )
        });
        let waiting = Mutex::new(kernels.iter().collect::<VecDeque<_>>());
        let next = || waiting.lock().expect("no thread panics while it holds this").pop_front();
        // As many at once as Cargo allows; a file with all its architectures is one job.
        let jobs = env::var("NUM_JOBS").ok().and_then(|jobs| jobs.parse().ok()).unwrap_or(1);
        thread::scope(|scope| {
            for _ in 0..kernels.len().min(jobs) {
                scope.spawn(|| {
                    while let Some(kernel) = next() {
                        compile_one(&nvcc, kernel, &fatbin(kernel, out));
                    }
                });
            }
        });
        fs::write(out.join("fatbins.rs"), fatbins(kernels, out)).expect("OUT_DIR can be written");
    }

    /// nvcc of the toolkit that candle would use as well.
    fn find() -> Option<PathBuf> {
        for variable in ["CUDA_HOME", "CUDA_PATH"] {
            println!("cargo::rerun-if-env-changed={variable}");
            let nvcc = env::var_os(variable).map(|home| Path::new(&home).join("bin/nvcc"));
            if let Some(nvcc) = nvcc.filter(|nvcc| nvcc.is_file()) {
                return Some(nvcc);
            }
        }
        println!("cargo::rerun-if-env-changed=PATH");
        env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join("nvcc")).find(|nvcc| nvcc.is_file())
    }

    fn fatbin(kernel: &Path, out: &Path) -> PathBuf {
        out.join(kernel.file_name().expect("a file has a name")).with_extension("fatbin")
    }

    fn compile_one(nvcc: &Path, kernel: &Path, fatbin: &Path) {
        let mut command = Command::new(nvcc);
        command.args(["--fatbin", "-std=c++17", "-O3", "-Werror", "all-warnings"]);
        for architecture in MACHINE_CODE {
            command.args(["-gencode", &format!("arch=compute_{architecture},code=sm_{architecture}")]);
        }
        command.args(["-gencode", &format!("arch=compute_{PTX},code=compute_{PTX}")]);
        command.arg("-o").arg(fatbin).arg(kernel);
        let output = command.output();
        let output = output.unwrap_or_else(|error| fail(&format!("`{}`: {error}", nvcc.display()), "reinstall it"));
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            eprint!("{}", String::from_utf8_lossy(&said));
            fail(&format!("nvcc refused `{}`", kernel.display()), "its reasons stand above, in the standard error");
        }
    }

    /// The source of `fatbins.rs`.
    fn fatbins(kernels: &[PathBuf], out: &Path) -> String {
        let machine_code = MACHINE_CODE.map(|architecture| format!("sm_{architecture}")).join(" ");
        let mut source = format!(
            "/// What the kernels were compiled for.\n\
             pub(crate) const ARCHITECTURES: &str = \"{machine_code}, PTX {PTX}\";\n\n\
             #[repr(align(16))]\nstruct Aligned<T>(T);\n\n\
             /// The name of each kernel file and what nvcc made of it, aligned as the driver reads it.\n\
             pub(crate) const FATBINS: &[(&str, &[u8])] = &[\n"
        );
        for kernel in kernels {
            let (name, fatbin) = (kernel.file_stem().expect("a file has a name"), fatbin(kernel, out));
            writeln!(source, "    ({name:?}, &Aligned(*include_bytes!({fatbin:?})).0),").expect("a string grows");
        }
        source + "];\n"
    }

    fn fail(what: &str, hint: &str) -> ! {
        println!("cargo::error={what}; {hint}");
        exit(1)
    }
}

/// With the C++ compiler, into one library that runs them thread by thread.
#[cfg(feature = "emulation")]
mod emulation {
    use std::path::{Path, PathBuf};
    use std::{env, fs};

    pub fn compile(folder: &Path, kernels: &[PathBuf], out: &Path) {
        let includes = kernels.iter().map(|kernel| format!("#include \"{}\"\n", kernel.display()));
        fs::write(out.join("kernels.inc"), includes.collect::<String>()).expect("OUT_DIR can be written");
        let mut build = cc::Build::new();
        build.cpp(true).std("c++17").opt_level(2).define("CODEACT_EMULATION", None);
        build.include(out).file(folder.join("emulation/emulate.cpp"));
        build.warnings(true).extra_warnings(true).warnings_into_errors(true).flag("-Wno-unknown-pragmas");
        if env::var_os("CARGO_FEATURE_ASAN").is_some() {
            build.flag("-fsanitize=address").flag("-fno-omit-frame-pointer");
            // The program starts with the library of the sanitizer loaded before: LD_PRELOAD.
            println!("cargo::rustc-link-lib=dylib=asan");
        }
        build.compile("codeact_emulation");
    }
}
