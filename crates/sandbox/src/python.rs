//! The Python that runs inside, as text: see the docstrings in `python/`.

macro_rules! sources {
    ($($name:literal)*) => { &[$(($name, include_str!(concat!("../python/", $name, ".py")))),*] };
}

/// What `python -c` gets.
pub(crate) const BOOT: &str = include_str!("../python/boot.py");

/// The rest, which it gets in its first message.
pub(crate) const SOURCES: &[(&str, &str)] = sources!(
    "cells" "channel" "checkpoint" "confine" "describe" "display" "fields" "figures" "guard" "magics"
    "private_json" "runner" "shell" "stand_in" "tools" "tracebacks" "transform" "zygote"
);
