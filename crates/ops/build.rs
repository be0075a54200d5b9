//! Compiles the kernels of `kernels/`: for cards with the `cuda` feature, for the processor with `emulation`.

fn main() {
    println!("cargo:rerun-if-changed=../../kernels");
    #[cfg(feature = "emulation")]
    emulation::build();
}

#[cfg(feature = "emulation")]
mod emulation {
    use std::path::Path;

    pub fn build() {
        let out = std::env::var("OUT_DIR").expect("cargo sets it");
        let kernels = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../kernels").canonicalize().expect("is there");
        let mut names: Vec<_> =
            std::fs::read_dir(&kernels).expect("is there").map(|e| e.expect("is readable").path()).collect();
        names.retain(|p| p.extension().is_some_and(|e| e == "cu"));
        names.sort();
        let text: String = names.iter().map(|p| format!("#include \"{}\"\n", p.display())).collect();
        std::fs::write(Path::new(&out).join("kernels.inc"), text).expect("is writable");
        cc::Build::new()
            .cpp(true)
            .std("c++17")
            .opt_level(2)
            .define("CODEACT_EMULATION", None)
            .warnings(true)
            .extra_warnings(true)
            .warnings_into_errors(true)
            .flag("-Wno-unknown-pragmas")
            .include(&out)
            .file(kernels.join("emulation/emulate.cpp"))
            .compile("codeact_emulation");
    }
}
