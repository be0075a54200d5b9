//! Pictures of a conversation, kept as files: a terminal cannot show them.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// Pictures that one program keeps; the code that makes them is not to be trusted with a disk.
const FIGURES_MAX: u32 = 1000;
const KINDS: [(&str, &str); 4] =
    [("image/png", "png"), ("image/jpeg", "jpg"), ("image/svg+xml", "svg"), ("image/gif", "gif")];

/// A folder that pictures go to, as `figure-1.png` and so on. No file that is there already is touched.
#[derive(Debug)]
pub(super) struct Figures {
    folder: PathBuf,
    kept: u32,
    next: u32,
}

impl Figures {
    pub fn new(folder: &Path) -> Figures {
        Figures { folder: folder.to_owned(), kept: 0, next: 1 }
    }

    /// Keeps the picture of a display, if it has one, and gives the line that tells of it.
    pub fn keep(&mut self, data: &BTreeMap<String, String>) -> Option<String> {
        let (mime, ending, content) =
            KINDS.iter().find_map(|(mime, ending)| Some((*mime, *ending, data.get(*mime)?)))?;
        let is_text = mime.ends_with("+xml");
        let bytes = if is_text { content.clone().into_bytes() } else { BASE64_STANDARD.decode(content.trim()).ok()? };
        let size = size_of_png(&bytes).map(|(width, height)| format!(" {width}x{height}")).unwrap_or_default();
        Some(match self.write(&bytes, ending) {
            Ok(path) => format!("[figure{size}: {}]", path.display()),
            Err(error) => format!("[figure{size}, not kept: {error}]"),
        })
    }

    fn write(&mut self, bytes: &[u8], ending: &str) -> io::Result<PathBuf> {
        if self.kept == FIGURES_MAX {
            return Err(io::Error::other(format!("there are {FIGURES_MAX} already")));
        }
        loop {
            let path = self.folder.join(format!("figure-{}.{ending}", self.next));
            self.next = self.next.checked_add(1).ok_or_else(|| io::Error::other("no number is left"))?;
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(mut file) => {
                    file.write_all(bytes)?;
                    self.kept += 1;
                    return Ok(path);
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Width and height stand in the first 24 bytes.
fn size_of_png(bytes: &[u8]) -> Option<(u32, u32)> {
    let head = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n")?;
    let number = |at: usize| Some(u32::from_be_bytes(head.get(at..at + 4)?.try_into().ok()?));
    Some((number(8)?, number(12)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_get_names_that_are_free() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("figure-1.png"), "mine").unwrap();
        let mut figures = Figures::new(folder.path());
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        png.extend([0, 0, 2, 128, 0, 0, 1, 224]);
        let data = |mime: &str, content: String| {
            BTreeMap::from([(mime.to_owned(), content), ("text/plain".into(), "x".into())])
        };
        let told = figures.keep(&data("image/png", BASE64_STANDARD.encode(&png))).unwrap();
        let path = folder.path().join("figure-2.png");
        assert_eq!(told, format!("[figure 640x480: {}]", path.display()));
        assert_eq!(std::fs::read(path).unwrap(), png);
        assert_eq!(std::fs::read(folder.path().join("figure-1.png")).unwrap(), b"mine");
        let told = figures.keep(&data("image/svg+xml", "<svg/>".to_owned())).unwrap();
        assert!(told.starts_with("[figure: ") && told.ends_with("figure-3.svg]"), "{told}");
        assert_eq!(figures.keep(&data("text/html", "<p>".to_owned())), None);
        assert_eq!(figures.keep(&data("image/png", "no base64!".to_owned())), None);
    }

    #[test]
    fn a_folder_that_is_not_there_is_told() {
        let told =
            Figures::new(Path::new("/no/such/folder")).keep(&[("image/gif".to_owned(), "R0lG".to_owned())].into());
        assert!(told.unwrap().starts_with("[figure, not kept: "));
    }
}
