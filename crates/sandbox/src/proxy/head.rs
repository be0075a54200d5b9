//! Heads of requests and responses: read strictly, and rewritten for the next hop.
//!
//! Source: RFC 9110 (fields, CONNECT), RFC 9112 (request lines, framing). What is doubtful is refused, not repaired.

use super::allow::{Fault, Host};

const METHOD_BYTES_MAX: usize = 32;

/// Fields that speak of one connection and end here. How the body is framed stays, since the body is passed as it is.
const HOP_BY_HOP: [&str; 7] =
    ["connection", "proxy-connection", "keep-alive", "proxy-authorization", "proxy-authenticate", "te", "upgrade"];

/// What a client asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub method: String,
    pub host: Host,
    pub port: u16,
    /// `None` for CONNECT, which passes bytes both ways.
    pub plain: Option<Plain>,
}

/// A request that is passed on: its head for the server, and how long its body is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plain {
    pub head: Vec<u8>,
    /// `None`: in chunks that end themselves.
    pub body_bytes: Option<u64>,
}

/// Behind the empty line that ends a head, if it is there. The first `seen` bytes did not hold it.
pub(super) fn end(bytes: &[u8], seen: usize) -> Option<usize> {
    let from = seen.saturating_sub(3);
    bytes[from..].windows(4).position(|window| window == b"\r\n\r\n").map(|index| from + index + 4)
}

/// Read the head of a request, its empty line included.
pub(super) fn request(head: &[u8]) -> Result<Request, Fault> {
    let (line, lines) = lines(head)?;
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(("the first line is no request", "send `METHOD target HTTP/1.1`"));
    };
    if !is_token(method) || method.len() > METHOD_BYTES_MAX || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(("the first line is no request", "send `METHOD target HTTP/1.1`"));
    }
    if version != "HTTP/1.1" && version != "HTTP/1.0" {
        return Err(("the version is not spoken here", "send HTTP/1.1"));
    }
    let fields = fields(&lines)?;
    if method == "CONNECT" {
        let (host, port) = Host::with_port(target, None)?;
        return Ok(Request { method: method.to_string(), host, port, plain: None });
    }
    let (authority, path) = absolute(target)?;
    let (host, port) = Host::with_port(authority, Some(80))?;
    let body_bytes = body(&fields)?;
    let path = match path {
        "" if method == "OPTIONS" => "*".to_string(),
        path if path.starts_with('/') => path.to_string(),
        path => format!("/{path}"),
    };
    let first = [format!("{method} {path} {version}"), format!("Host: {authority}")];
    let kept = kept(&fields).filter(|(name, _)| !name.eq_ignore_ascii_case("host"));
    let plain = Plain { head: written(&first, kept), body_bytes };
    Ok(Request { method: method.to_string(), host, port, plain: Some(plain) })
}

/// Read the head of a response; gives the one for the client, and whether another head follows it.
pub(super) fn response(head: &[u8]) -> Result<(Vec<u8>, bool), Fault> {
    const NO_RESPONSE: Fault = ("the answer is not HTTP/1", "use CONNECT for what is not HTTP");
    let (line, lines) = lines(head)?;
    let (version, status) = line.split_once(' ').ok_or(NO_RESPONSE)?;
    let code = status.get(..3).filter(|code| code.bytes().all(|byte| byte.is_ascii_digit())).ok_or(NO_RESPONSE)?;
    if !version.starts_with("HTTP/1.") || !matches!(status.as_bytes().get(3), None | Some(b' ')) {
        return Err(NO_RESPONSE);
    }
    let fields = fields(&lines)?;
    // 101 would end HTTP on this connection; nobody asked for it, since `Upgrade` is not passed on.
    let is_interim = code.starts_with('1') && code != "101";
    let rewritten = if is_interim { head.to_vec() } else { written(&[line.to_string()], kept(&fields)) };
    Ok((rewritten, is_interim))
}

/// `http://authority/path` in two; the path keeps its query.
fn absolute(target: &str) -> Result<(&str, &str), Fault> {
    let is_scheme = |scheme: &str| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    if is_scheme("https://") {
        return Err(("https goes through CONNECT", "send `CONNECT host:443`"));
    }
    if !is_scheme("http://") {
        return Err((
            "this is a proxy, it has no pages of its own",
            "send `GET http://host/path` or `CONNECT host:443`",
        ));
    }
    let rest = &target["http://".len()..];
    Ok(rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())))
}

/// How long the body of a request is.
fn body(fields: &[Field<'_>]) -> Result<Option<u64>, Fault> {
    let all = |wanted: &str| -> Vec<&[u8]> {
        fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| *value).collect()
    };
    match (all("content-length").as_slice(), all("transfer-encoding").as_slice()) {
        ([], []) => Ok(Some(0)),
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => Ok(None),
        ([length], []) if !length.is_empty() && length.iter().all(u8::is_ascii_digit) => {
            let digits = std::str::from_utf8(length).unwrap_or_default();
            digits.parse().map(Some).map_err(|_| ("the Content-Length is too large", "send less"))
        }
        _ => Err(("the length of the body is doubtful", "send one Content-Length, or `Transfer-Encoding: chunked`")),
    }
}

/// The first line, and the lines of the fields.
fn lines(head: &[u8]) -> Result<(&str, Vec<&[u8]>), Fault> {
    let mut rest = head.strip_suffix(b"\r\n\r\n").unwrap_or(head);
    let mut lines = Vec::new();
    while let Some(at) = rest.windows(2).position(|pair| pair == b"\r\n") {
        lines.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    lines.push(rest);
    if lines.iter().any(|line| line.iter().any(|byte| *byte != b'\t' && byte.is_ascii_control())) {
        return Err(("the head holds control characters", "end every line with CR LF"));
    }
    let first = std::str::from_utf8(lines.remove(0)).map_err(|_| ("the first line is not ASCII", "encode the path"))?;
    Ok((first, lines))
}

/// A name, and its value without white space around it, which may be in any encoding.
type Field<'a> = (&'a str, &'a [u8]);

fn fields<'a>(lines: &[&'a [u8]]) -> Result<Vec<Field<'a>>, Fault> {
    let field = |line: &&'a [u8]| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = std::str::from_utf8(&line[..colon]).ok().filter(|name| is_token(name))?;
        Some((name, line[colon + 1..].trim_ascii()))
    };
    let fields: Option<Vec<_>> = lines.iter().map(field).collect();
    fields.ok_or(("a header line is malformed", "write `Name: value`, each on one line"))
}

/// The fields that are for the other end, without those that `Connection` names.
fn kept<'a>(fields: &'a [Field<'a>]) -> impl Iterator<Item = &'a Field<'a>> {
    // What frames the message or names its host stays whatever `Connection` says.
    const STAY: [&str; 3] = ["content-length", "transfer-encoding", "host"];
    let of_connection = fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("connection"));
    let named: Vec<&[u8]> =
        of_connection.flat_map(|(_, value)| value.split(|byte| *byte == b',')).map(|name| name.trim_ascii()).collect();
    fields.iter().filter(move |(name, _)| {
        let is = |other: &&str| name.eq_ignore_ascii_case(other);
        let is_named = named.iter().any(|other| name.as_bytes().eq_ignore_ascii_case(other));
        STAY.iter().any(is) || !(HOP_BY_HOP.iter().any(is) || is_named)
    })
}

fn written<'a>(first: &[String], fields: impl Iterator<Item = &'a Field<'a>>) -> Vec<u8> {
    let mut head = first.join("\r\n").into_bytes();
    for (name, value) in fields {
        head.extend_from_slice(format!("\r\n{name}: ").as_bytes());
        head.extend_from_slice(value);
    }
    head.extend_from_slice(b"\r\nConnection: close\r\n\r\n");
    head
}

fn is_token(text: &str) -> bool {
    let is_mark = |byte: u8| b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || is_mark(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(request: &Request) -> &str {
        std::str::from_utf8(&request.plain.as_ref().unwrap().head).unwrap()
    }

    #[test]
    fn a_plain_request_is_rewritten_for_the_server() {
        let asked =
            b"POST http://Example.com:8080/a?b=c HTTP/1.1\r\nHost: other.example\r\nProxy-Connection: keep-alive\r\n\
            Connection: keep-alive, X-Hop,content-length\r\nX-Hop: 1\r\nX-Kept:  two words \r\nTE: trailers\r\n\
            Proxy-Authorization: Basic eA==\r\nContent-Length: 5\r\n\r\n";
        let request = request(asked).unwrap();
        assert_eq!((request.host.to_string().as_str(), request.port), ("example.com", 8080));
        assert_eq!(
            text(&request),
            "POST /a?b=c HTTP/1.1\r\nHost: Example.com:8080\r\nX-Kept: two words\r\nContent-Length: 5\r\n\
            Connection: close\r\n\r\n"
        );
        assert_eq!(request.plain.unwrap().body_bytes, Some(5));
    }

    #[test]
    fn the_target_may_lack_port_and_path() {
        let plain = |line: &str| request(format!("{line} HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
        assert!(text(&plain("GET http://example.com")).starts_with("GET / HTTP/1.1\r\nHost: example.com\r\n"));
        assert!(text(&plain("GET HTTP://example.com?q")).starts_with("GET /?q HTTP/1.1\r\n"));
        assert!(text(&plain("OPTIONS http://example.com")).starts_with("OPTIONS * HTTP/1.1\r\n"));
        assert_eq!(plain("GET http://[::1]/").host.to_string(), "::1");
        let tunnel = plain("CONNECT example.com:443");
        assert_eq!((tunnel.port, tunnel.plain), (443, None));
    }

    #[test]
    fn doubtful_requests_are_refused() {
        let cases = [
            ("GET /page HTTP/1.1", "no pages"),
            ("GET https://example.com/ HTTP/1.1", "CONNECT"),
            ("GET http://user@example.com/ HTTP/1.1", "not a host name"),
            ("GET http:///x HTTP/1.1", "no host"),
            ("CONNECT example.com HTTP/1.1", "no port"),
            ("GET http://example.com/ HTTP/2", "version"),
            ("GET http://example.com/ b HTTP/1.1", "no request"),
            ("G\u{e9}T http://example.com/ HTTP/1.1", "no request"),
            ("", "no request"),
            ("GET http://example.com/ HTTP/1.1\r\nA: b\nC: d", "control"),
            ("GET http://example.com/ HTTP/1.1\r\nA: b\0", "control"),
            ("GET http://example.com/ HTTP/1.1\r\nA: b\rC: d", "control"),
            ("GET http://example.com/ HTTP/1.1\r\nA: b\r\n folded", "malformed"),
            ("GET http://example.com/ HTTP/1.1\r\nA : b", "malformed"),
            ("GET http://example.com/ HTTP/1.1\r\n: b", "malformed"),
            ("GET http://example.com/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2", "doubtful"),
            ("GET http://example.com/ HTTP/1.1\r\nContent-Length: +1", "doubtful"),
            ("GET http://example.com/ HTTP/1.1\r\nContent-Length: 99999999999999999999", "too large"),
            ("GET http://example.com/ HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked", "doubtful"),
            ("GET http://example.com/ HTTP/1.1\r\nTransfer-Encoding: gzip, chunked", "doubtful"),
        ];
        for (head, reason) in cases {
            let fault = request(format!("{head}\r\n\r\n").as_bytes()).unwrap_err();
            assert!(fault.0.contains(reason), "{head:?}: {}", fault.0);
        }
    }

    #[test]
    fn responses_say_that_the_connection_ends() {
        let (head, more) =
            response(b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nX: \xff\r\n\r\n").unwrap();
        assert_eq!((head.as_slice(), more), (&b"HTTP/1.1 200 OK\r\nX: \xff\r\nConnection: close\r\n\r\n"[..], false));
        let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
        assert_eq!(response(interim).unwrap(), (interim.to_vec(), true));
        for garbage in ["SSH-2.0-x", "HTTP/1.1", "HTTP/1.1 2x0 OK", "HTTP/2 200", "HTTP/1.1 2000 OK"] {
            assert!(response(format!("{garbage}\r\n\r\n").as_bytes()).is_err(), "{garbage}");
        }
    }

    #[test]
    fn the_end_of_a_head_is_found_across_reads() {
        let head = b"GET / HTTP/1.1\r\n\r\nrest";
        for seen in 0..18 {
            assert_eq!(end(head, seen), Some(18), "{seen}");
        }
        assert_eq!(end(&head[..17], 0), None);
        assert_eq!(end(b"", 0), None);
    }
}
