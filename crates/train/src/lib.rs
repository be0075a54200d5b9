//! codeact-train
