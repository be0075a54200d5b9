//! One thing to show, in several formats.

use std::collections::BTreeMap;

/// MIME type to bytes: `text/plain` for a model, `image/png` or `text/html` for people. All of it is untrusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundle(BTreeMap<String, Vec<u8>>);

/// Formats of one bundle at most.
const FORMATS_MAX: usize = 16;

impl Bundle {
    /// Keep the pairs whose key begins with `prefix`, without it.
    pub(crate) fn collect<'a>(fields: impl Iterator<Item = (&'a str, &'a [u8])>, prefix: &str) -> Bundle {
        let formats = fields.filter_map(|(key, value)| Some((key.strip_prefix(prefix)?.to_string(), value.to_vec())));
        Bundle(formats.filter(|(mime, _)| is_mime_type(mime)).take(FORMATS_MAX).collect())
    }

    /// The bytes in format `mime`.
    pub fn get(&self, mime: &str) -> Option<&[u8]> {
        self.0.get(mime).map(Vec::as_slice)
    }

    /// All formats, by MIME type.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(mime, bytes)| (mime.as_str(), bytes.as_slice()))
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text for a model: `text/plain`, or the name of what cannot be shown as text.
    pub fn text(&self) -> Option<String> {
        let plain = self.get("text/plain").map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        plain.or_else(|| self.0.keys().next().map(|mime| format!("[{mime}]")))
    }
}

fn is_mime_type(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+-_".contains(&byte))
    };
    text.len() <= 100 && text.split_once('/').is_some_and(|(kind, name)| is_part(kind) && is_part(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_formats_get_in() {
        let pairs: [(&str, &[u8]); 4] =
            [("value/text/plain", b"1"), ("value/<script>/x", b"2"), ("error/name", b"3"), ("value/image/png", b"4")];
        let bundle = Bundle::collect(pairs.into_iter(), "value/");
        assert_eq!(bundle.iter().map(|(mime, _)| mime).collect::<Vec<_>>(), ["image/png", "text/plain"]);
        assert_eq!(bundle.text().as_deref(), Some("1"));
    }
}
