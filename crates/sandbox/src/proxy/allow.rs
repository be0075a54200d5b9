//! The allow-list: which hosts and ports a session may reach.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Ports of an entry that names none.
const PORTS_DEFAULT: [u16; 2] = [80, 443];
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// Hosts and ports a session may reach through the proxy. Everything else is refused; empty refuses all.
///
/// An entry is one of
/// - `example.com`: this name, on the ports 80 and 443,
/// - `*.example.com`: every name below it at any depth, not the name itself,
/// - `example.com:8443`: on this port alone,
/// - `10.0.0.5:8080`, `[2001:db8::1]:80`, `::1`: this very address. Only such an entry opens an address of this machine
///   or of a private network, and then also to a listed name that resolves to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowList {
    rules: BTreeSet<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Rule {
    pattern: Pattern,
    /// `None`: the usual ones.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Pattern {
    Exactly(Host),
    /// Names that end in a dot and this.
    Below(String),
}

/// Where a request wants to go: an address, or a name in lower case without a final dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Host {
    Address(IpAddr),
    Name(String),
}

/// An entry of an allow-list that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("allow-list entry `{entry}`: {reason}\nhint: {hint}")]
pub struct AllowListError {
    /// The entry as it was given.
    pub entry: String,
    /// What is wrong with it.
    pub reason: String,
    /// What would be right.
    pub hint: String,
}

/// What is wrong with a host or port, and what would be right.
pub(super) type Fault = (&'static str, &'static str);

const FORMS: &str = "write `example.com`, `*.example.com`, `example.com:8443` or `10.0.0.5:8080`";

impl AllowList {
    /// Read the entries; the order does not matter and repeated ones count once.
    ///
    /// # Errors
    /// The first entry that is malformed, with what would be right.
    pub fn parse<S: AsRef<str>>(entries: &[S]) -> Result<AllowList, AllowListError> {
        let rules = entries.iter().map(|entry| {
            let entry = entry.as_ref();
            rule(entry).map_err(|(reason, hint)| AllowListError {
                entry: entry.escape_debug().take(NAME_BYTES_MAX).collect(),
                reason: reason.to_string(),
                hint: hint.to_string(),
            })
        });
        Ok(AllowList { rules: rules.collect::<Result<_, _>>()? })
    }

    /// Whether nothing is allowed.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether a request for this host and port may go on to be resolved.
    pub(super) fn allows(&self, host: &Host, port: u16) -> bool {
        self.rules.iter().filter(|rule| rule.has_port(port)).any(|rule| match (&rule.pattern, host) {
            (Pattern::Exactly(listed), host) => listed == host,
            (Pattern::Below(domain), Host::Name(name)) => {
                name.strip_suffix(domain.as_str()).is_some_and(|below| below.len() > 1 && below.ends_with('.'))
            }
            (Pattern::Below(_), Host::Address(_)) => false,
        })
    }

    /// Whether this very address is listed, so that it may be one that is not public.
    pub(super) fn lists_address(&self, address: SocketAddr) -> bool {
        self.allows(&Host::Address(address.ip().to_canonical()), address.port())
    }
}

impl fmt::Display for AllowList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, rule) in self.rules.iter().enumerate() {
            formatter.write_str(if index == 0 { "" } else { ", " })?;
            match (&rule.pattern, rule.port) {
                (Pattern::Below(domain), _) => write!(formatter, "*.{domain}")?,
                (Pattern::Exactly(Host::Address(IpAddr::V6(address))), Some(_)) => write!(formatter, "[{address}]")?,
                (Pattern::Exactly(host), _) => write!(formatter, "{host}")?,
            }
            if let Some(port) = rule.port {
                write!(formatter, ":{port}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Address(address) => address.fmt(formatter),
            Host::Name(name) => formatter.write_str(name),
        }
    }
}

impl Rule {
    fn has_port(&self, port: u16) -> bool {
        self.port.map_or(PORTS_DEFAULT.contains(&port), |listed| listed == port)
    }
}

fn rule(entry: &str) -> Result<Rule, Fault> {
    if entry.contains("://") {
        return Err(("it has a scheme", "leave out what stands before `://`; the port decides"));
    }
    if entry.contains(['/', '?', '#']) {
        return Err(("it has a path", "only host and port can be allowed, not single pages"));
    }
    let (host, port) = split(entry)?;
    if host == "*" {
        return Err(("it would allow every host", "allow the whole network instead, if that is meant"));
    }
    let pattern = match host.strip_prefix("*.") {
        None => Pattern::Exactly(Host::parse(host)?),
        Some(domain) => match Host::parse(domain)? {
            Host::Name(name) if name.contains('.') => Pattern::Below(name),
            Host::Name(_) => return Err(("it would allow a whole top-level domain", FORMS)),
            Host::Address(_) => return Err(("`*.` before an address means nothing", FORMS)),
        },
    };
    Ok(Rule { pattern, port })
}

/// Take `host`, `host:port`, `[v6]` or `[v6]:port` apart.
fn split(text: &str) -> Result<(&str, Option<u16>), Fault> {
    if text.parse::<Ipv6Addr>().is_ok() {
        return Ok((text, None));
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or(("the `[` is not closed", FORMS))?;
            if host.parse::<Ipv6Addr>().is_err() {
                return Err(("`[` and `]` hold an IPv6 address", FORMS));
            }
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return Err(("there is something after `]`", FORMS)),
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match port {
        None => None,
        Some(digits) if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            return Err(("the port is not a number", FORMS));
        }
        Some(digits) => match digits.parse() {
            Ok(port @ 1..) => Some(port),
            _ => return Err(("the port is not between 1 and 65535", FORMS)),
        },
    };
    Ok((host, port))
}

impl Host {
    /// Read `host:port` or `host` as a request gives it; the port is `port_default` where there is none.
    pub(super) fn with_port(text: &str, port_default: Option<u16>) -> Result<(Host, u16), Fault> {
        let (host, port) = split(text)?;
        let port = port.or(port_default).ok_or(("there is no port", "write `host:port`"))?;
        Ok((Host::parse(host)?, port))
    }

    fn parse(text: &str) -> Result<Host, Fault> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Host::Address(address.to_canonical()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.is_empty() {
            return Err(("there is no host", FORMS));
        }
        if !name.is_ascii() {
            return Err(("the name has letters outside ASCII", "write it as it is looked up, beginning with `xn--`"));
        }
        if name.len() > NAME_BYTES_MAX {
            return Err(("the name is longer than 253 bytes", FORMS));
        }
        let is_label = |label: &str| {
            !label.is_empty()
                && label.len() <= LABEL_BYTES_MAX
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if !name.split('.').all(is_label) {
            return Err(("this is not a host name", FORMS));
        }
        // Resolvers read `127.1`, `2130706433` and `0x7f.1` as addresses.
        let last = name.rsplit('.').next().unwrap_or(name).to_ascii_lowercase();
        let is_hexadecimal = |label: &str| {
            label.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
        };
        if last.bytes().all(|byte| byte.is_ascii_digit()) || is_hexadecimal(&last) {
            return Err(("this is neither a name nor a whole address", "write all four numbers of an IPv4 address"));
        }
        Ok(Host::Name(name.to_ascii_lowercase()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(entries: &[&str], target: &str) -> bool {
        let (host, port) = Host::with_port(target, None).unwrap();
        AllowList::parse(entries).unwrap().allows(&host, port)
    }

    #[test]
    fn names_match_whole_and_wildcards_below() {
        assert!(allows(&["Example.com."], "EXAMPLE.com.:443"));
        assert!(allows(&["example.com"], "example.com:80"));
        assert!(!allows(&["example.com"], "example.com:8080"));
        assert!(!allows(&["example.com"], "evil-example.com:443"));
        assert!(!allows(&["example.com"], "example.com.evil.org:443"));
        assert!(!allows(&["example.com"], "a.example.com:443"));
        assert!(allows(&["*.example.com"], "a.b.example.com:443"));
        assert!(!allows(&["*.example.com"], "example.com:443"));
        assert!(!allows(&["*.example.com"], "evilexample.com:443"));
        assert!(!allows(&["*.example.com"], "a.example.com:22"));
        assert!(allows(&["*.example.com:22"], "a.example.com:22"));
        assert!(!allows(&[], "example.com:443"));
    }

    #[test]
    fn addresses_match_in_every_way_they_are_written() {
        assert!(allows(&["10.0.0.5:8080"], "[::ffff:10.0.0.5]:8080"));
        assert!(allows(&["::ffff:10.0.0.5"], "10.0.0.5:80"));
        assert!(allows(&["[::1]:80"], "[0:0:0:0:0:0:0:1]:80"));
        assert!(allows(&["::1"], "[::1]:443"));
        assert!(!allows(&["10.0.0.5:8080"], "10.0.0.5:80"));
        let listed = AllowList::parse(&["10.0.0.5:8080"]).unwrap();
        assert!(listed.lists_address("[::ffff:10.0.0.5]:8080".parse().unwrap()));
        assert!(!listed.lists_address("10.0.0.6:8080".parse().unwrap()));
    }

    #[test]
    fn what_is_written_comes_back() {
        let entries = ["*.example.com:22", "10.0.0.5:8080", "[::1]:80", "a.example.com"];
        let list = AllowList::parse(&entries).unwrap();
        let shown = list.to_string();
        let again: Vec<&str> = shown.split(", ").collect();
        assert_eq!(AllowList::parse(&again).unwrap(), list);
        for entry in entries {
            assert!(again.contains(&entry), "{entry} in {shown}");
        }
    }

    #[test]
    fn malformed_entries_say_what_is_wrong() {
        let cases = [
            ("", "no host"),
            ("https://example.com", "scheme"),
            ("example.com/simple", "path"),
            ("user@example.com", "not a host name"),
            ("exa mple.com", "not a host name"),
            ("example..com", "not a host name"),
            ("ex*mple.com", "not a host name"),
            ("a.*.com", "not a host name"),
            ("*", "every host"),
            ("*:443", "every host"),
            ("*.com", "top-level"),
            ("*.10.0.0.5", "before an address"),
            ("bücher.example", "ASCII"),
            ("example.com:", "not a number"),
            ("example.com:+80", "not a number"),
            ("example.com:http", "not a number"),
            ("example.com:0", "between 1 and 65535"),
            ("example.com:65536", "between 1 and 65535"),
            ("127.1", "neither a name"),
            ("2130706433", "neither a name"),
            ("0x7f000001", "neither a name"),
            ("0x7f.0X1", "neither a name"),
            ("10.0.0.256", "neither a name"),
            ("[::1", "not closed"),
            ("[::1]x", "after `]`"),
            ("[example.com]:80", "hold an IPv6"),
            ("exa\0mple.com", "not a host name"),
        ];
        for (entry, reason) in cases {
            let error = AllowList::parse(&["example.org", entry]).unwrap_err();
            assert!(error.reason.contains(reason), "`{entry}`: {}", error.reason);
            assert!(error.to_string().contains("\nhint: "), "{error}");
        }
        assert!(AllowList::parse(&["a".repeat(254)]).is_err());
        assert!(AllowList::parse(&["\0".repeat(10_000)]).unwrap_err().entry.len() <= 4 * NAME_BYTES_MAX);
    }
}
