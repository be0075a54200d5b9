//! Files go to a hub that this test plays itself, on 127.0.0.1.
#![allow(clippy::unwrap_used)]

#[path = "source_support/fake_hub.rs"]
mod fake_hub;
mod source_support;

use std::path::Path;

use codeact_model::source::{Options, Publication, Published, SourceError, publish};
use fake_hub::{State, serve};
use source_support::*;

const NAME: &str = "someone/tiny";

/// Weights of a few pieces, which repeat: the same piece is sent once.
fn weights() -> Vec<u8> {
    let block: Vec<u8> = (0..300_000_u32).flat_map(|index| (index.wrapping_mul(2_654_435_761)).to_le_bytes()).collect();
    [block.clone(), vec![7; 5000], block].concat()
}

fn publication(folder: &Path) -> Publication {
    std::fs::write(folder.join("README.md"), "# A card\n").unwrap();
    std::fs::write(folder.join("adapter_model.safetensors"), weights()).unwrap();
    std::fs::write(folder.join("secret.txt"), "not named").unwrap();
    let file = |name: &str| (name.to_owned(), folder.join(name));
    Publication {
        repository: NAME.to_owned(),
        files: ["README.md", "adapter_model.safetensors"].map(file).into(),
        is_public: false,
        revision: None,
        message: "Upload".to_owned(),
    }
}

fn publish_at(address: &str, root: &Path, publication: &Publication) -> Result<Published, SourceError> {
    let options = Options { endpoint: Some(address.to_owned()), ..options(root) };
    publish(publication, &options, &|_| {})
}

#[test]
fn a_private_repository_is_made_and_holds_the_named_files() {
    let root = scratch();
    let (address, state) = serve(State::default());
    let published = publish_at(&address, root.path(), &publication(root.path())).unwrap();
    assert_eq!(published.url, format!("{address}/{NAME}"));
    assert_eq!(published.commit.as_deref(), Some("0123456789abcdef0123456789abcdef01234567"));
    let state = state.lock().unwrap();
    assert_eq!(state.repository, Some(true));
    assert_eq!(state.message, "Upload");
    let names: Vec<&str> = state.files.keys().map(String::as_str).collect();
    assert_eq!(names, ["README.md", "adapter_model.safetensors"]);
    assert_eq!(state.files["README.md"], b"# A card\n");
    assert!(state.files["adapter_model.safetensors"] == weights(), "the weights are there byte by byte");
}

#[test]
fn a_public_repository_takes_a_word_of_its_own() {
    let root = scratch();
    let (address, state) = serve(State { repository: Some(false), ..State::default() });
    let mut publication = publication(root.path());
    let error = publish_at(&address, root.path(), &publication).unwrap_err();
    assert!(error.to_string().contains("is public") && error.to_string().contains("`--public`"), "{error}");
    assert!(state.lock().unwrap().files.is_empty());
    publication.is_public = true;
    publish_at(&address, root.path(), &publication).unwrap();
    assert_eq!(state.lock().unwrap().files.len(), 2);
    // And a new one is public when that is said.
    let (address, state) = serve(State::default());
    publish_at(&address, root.path(), &publication).unwrap();
    assert_eq!(state.lock().unwrap().repository, Some(false));
}

#[test]
fn what_the_hub_refuses_is_told_and_nothing_is_published() {
    let root = scratch();
    let publication = publication(root.path());
    for (part, status, told) in [
        ("whoami", 401, "HTTP 401"),
        ("repos/create", 403, "HTTP 403"),
        ("commit", 403, "HTTP 403"),
        ("xorbs", 403, "nothing was published"),
        ("preupload", 404, "HTTP 404"),
    ] {
        let (address, state) = serve(State { refuse: Some((part, status)), ..State::default() });
        let error = publish_at(&address, root.path(), &publication).unwrap_err().to_string();
        assert!(error.contains(told) && error.contains("\nhint: "), "{part}: {error}");
        assert!(state.lock().unwrap().files.is_empty(), "{part}");
    }
}

#[test]
fn without_a_hub_or_a_name_nothing_is_tried() {
    let root = scratch();
    let mut publication = publication(root.path());
    let error = publish(&publication, &options(root.path()), &|_| {}).unwrap_err();
    assert!(matches!(error, SourceError::Publish { .. }) && error.to_string().contains("check the network"), "{error}");
    let offline = Options { offline: true, ..options(root.path()) };
    assert!(publish(&publication, &offline, &|_| {}).unwrap_err().to_string().contains("HF_HUB_OFFLINE"));
    for name in ["tiny", "a/b/c", "../x", "a b/c", ""] {
        publication.repository = name.to_owned();
        let error = publish(&publication, &options(root.path()), &|_| {}).unwrap_err().to_string();
        assert!(error.contains("no name of a repository"), "{name}: {error}");
    }
}
