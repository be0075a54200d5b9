//! Which pages and names a browser may come from.
//!
//! A page of any site can send requests to this machine. So what says that it comes from a page (`Origin`) is served
//! only if that page is trusted, and a server on loopback is called by its own names only (`Host`): a site whose name
//! was made to point here (DNS rebinding) still sends its own. A server that other machines reach may be called by any
//! name unless some are given; there only the key, which such a page does not have, or a known name makes a page its
//! own.

use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HOST, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::ApiError;
use crate::error::ErrorKind;

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");
/// What a page may send besides what it asks for, which are any: OpenAI's client in a browser describes itself in
/// `x-stainless-*`, whose names change.
const REQUEST_HEADERS: &str = "authorization, content-type, x-request-id, x-request-timeout, last-event-id";
/// More than any client asks for.
const REQUEST_HEADERS_BYTES_MAX: usize = 2 << 10;
const ANSWER_HEADERS: HeaderValue =
    HeaderValue::from_static("x-request-id, retry-after, x-codeact-ignored, x-codeact-sandbox");
/// Seconds for which a browser need not ask again.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// Which pages may use this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins {
    is_any: bool,
    is_local: bool,
    exact: Vec<String>,
}

/// By which names this server may be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosts {
    is_any: bool,
    names: Vec<String>,
}

impl Origins {
    /// * `allowed`: `*` for all, `localhost` for pages of this machine on any port, or origins as browsers write them.
    ///
    /// # Errors
    /// When one of them could never be sent; the message gives it.
    pub fn new(allowed: &[String]) -> Result<Origins, String> {
        let mut origins = Origins { is_any: false, is_local: false, exact: Vec::new() };
        for origin in allowed {
            match origin.as_str() {
                "*" => origins.is_any = true,
                "localhost" => origins.is_local = true,
                exact if host_of_origin(exact).is_some() => origins.exact.push(exact.to_ascii_lowercase()),
                other => {
                    return Err(format!(
                        "`{other}` is not an origin; it must be like `https://agent.example.org`, `localhost` or `*`"
                    ));
                }
            }
        }
        Ok(origins)
    }

    /// * `host`: by what name the request calls this server, if that name tells its own pages from others.
    fn allow(&self, origin: &str, host: Option<&str>) -> bool {
        let origin = origin.to_ascii_lowercase();
        let Some(of_page) = host_of_origin(&origin) else { return self.is_any };
        let is_own = host.is_some_and(|host| host.eq_ignore_ascii_case(of_page));
        self.is_any || is_own || self.exact.contains(&origin) || (self.is_local && is_local(name_of(of_page)))
    }

    /// The page that a request comes from, if it comes from one.
    ///
    /// * `hosts`: the names of this server.
    /// * `has_keys`: whether requests need a key.
    ///
    /// # Errors
    /// When that page may not: 403.
    pub(crate) fn check(
        &self,
        headers: &HeaderMap,
        hosts: &Hosts,
        has_keys: bool,
    ) -> Result<Option<HeaderValue>, ApiError> {
        let Some(origin) = headers.get(ORIGIN) else { return Ok(None) };
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let host = host.filter(|host| has_keys || hosts.knows(host));
        if origin.to_str().is_ok_and(|origin| self.allow(origin, host)) {
            return Ok(Some(origin.clone()));
        }
        let message =
            "pages of this origin may not use this server\nhint: `listen.origins` in the settings names those that may";
        Err(ApiError::new(ErrorKind::Forbidden, message))
    }
}

impl Hosts {
    /// * `names`: further names of this server; a port behind one makes no difference.
    /// * `is_loopback`: whether only this machine reaches it. Otherwise all names do, unless some are given.
    pub fn new(names: &[String], is_loopback: bool) -> Hosts {
        let names = names.iter().map(|name| name_of(name).to_ascii_lowercase()).collect::<Vec<_>>();
        Hosts { is_any: !is_loopback && names.is_empty(), names }
    }

    /// Whether a request can call a server so: a name or an address, a port behind it perhaps.
    pub fn is_host(text: &str) -> bool {
        let name = name_of(text);
        let port =
            text.rsplit_once(':').filter(|(before, _)| before.trim_start_matches('[').trim_end_matches(']') == name);
        let is_port = port.is_none_or(|(_, port)| port.parse::<u16>().is_ok());
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        let is_address = name.parse::<std::net::IpAddr>().is_ok();
        is_port && !name.is_empty() && (is_name || is_address)
    }

    /// Whether only this server can be meant: an address names nobody else, and a name is one of its own.
    fn knows(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let name = name_of(&host);
        name.parse::<std::net::IpAddr>().is_ok() || is_local(name) || self.names.iter().any(|known| known == name)
    }

    /// # Errors
    /// When the request calls this server by a name that is not one of its own: 403.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
        let name = name_of(&host);
        if self.is_any || is_local(name) || self.names.iter().any(|known| known == name) {
            return Ok(());
        }
        let message = "this server is not called that\nhint: `listen.hosts` in the settings names it";
        Err(ApiError::new(ErrorKind::Forbidden, message))
    }
}

/// Whether a request only asks whether a page may send another.
pub(crate) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS && headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a preflight of a page that may. It may send what headers it asks for: it is trusted, and none of them
/// does anything that the page could not do otherwise.
pub(crate) fn preflight(headers: &HeaderMap) -> Response {
    let headers = [
        (ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (ACCESS_CONTROL_ALLOW_HEADERS, allowed_headers(headers)),
        (ACCESS_CONTROL_MAX_AGE, MAX_AGE),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

fn allowed_headers(headers: &HeaderMap) -> HeaderValue {
    let mut allowed = REQUEST_HEADERS.to_owned();
    for asked in headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter().filter_map(|asked| asked.to_str().ok()) {
        let names = asked.split(',').filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok());
        for name in names.filter(|name| !REQUEST_HEADERS.split(", ").any(|known| known == name.as_str())) {
            if allowed.len() + name.as_str().len() + 2 > REQUEST_HEADERS_BYTES_MAX {
                break;
            }
            allowed = allowed + ", " + name.as_str();
        }
    }
    HeaderValue::from_str(&allowed).expect("names of header fields are visible ASCII")
}

/// Lets the page read the answer.
pub(crate) fn let_read(origin: Option<HeaderValue>, response: &mut Response) {
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, ANSWER_HEADERS);
    }
}

/// `host` or `host:port` of `scheme://host:port`.
fn host_of_origin(origin: &str) -> Option<&str> {
    let (scheme, host) = origin.split_once("://")?;
    let is_scheme =
        !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    (is_scheme && !host.is_empty() && !host.contains(['/', '@', '?', '#', ' '])).then_some(host)
}

/// The host without its port; an IPv6 address without its brackets.
fn name_of(host: &str) -> &str {
    if let Some(address) = host.strip_prefix('[') {
        return address.split_once(']').map_or("", |(address, _)| address);
    }
    host.split_once(':').map_or(host, |(name, _)| name)
}

fn is_local(name: &str) -> bool {
    let address: Option<std::net::IpAddr> = name.parse().ok();
    name == "localhost" || name.ends_with(".localhost") || address.is_some_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(allowed: &[&str]) -> Origins {
        Origins::new(&allowed.iter().map(|origin| (*origin).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn pages_of_this_machine_may_and_others_may_not() {
        let local = origins(&["localhost"]);
        for page in ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:5173", "HTTP://LOCALHOST:1"] {
            assert!(local.allow(page, None), "{page}");
        }
        let others = [
            "http://localhost.example.org",
            "http://127.0.0.1.example.org",
            "https://example.org",
            "null",
            "http://",
            "file://",
            "http://localhost@example.org",
            "http://example.org/localhost",
        ];
        for page in others {
            assert!(!local.allow(page, None), "{page}");
        }
    }

    #[test]
    fn named_pages_and_the_servers_own_may() {
        let named = origins(&["https://Agent.example.org"]);
        assert!(named.allow("https://agent.example.org", None));
        assert!(!named.allow("http://agent.example.org", None) && !named.allow("http://localhost", None));
        assert!(named.allow("http://10.0.0.5:8080", Some("10.0.0.5:8080")));
        assert!(!named.allow("http://10.0.0.5:8080", Some("10.0.0.5:8081")));
        assert!(origins(&["*"]).allow("null", None));
        assert!(Origins::new(&["example.org".to_owned()]).is_err());
    }

    #[test]
    fn a_server_on_loopback_is_called_by_its_own_names() {
        let check = |hosts: &Hosts, host: &str| {
            let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_str(host).unwrap())]);
            hosts.check(&headers).is_ok()
        };
        let loopback = Hosts::new(&["box.example.org".to_owned()], true);
        for own in ["localhost:8080", "127.0.0.1:8080", "127.1.2.3", "[::1]:8080", "BOX.example.org:1"] {
            assert!(check(&loopback, own), "{own}");
        }
        for other in ["evil.example.org:8080", "localhost.evil.org", "", "[::1", "127.0.0.1.evil.org"] {
            assert!(!check(&loopback, other), "{other}");
        }
        assert!(check(
            &Hosts::new(&["box.example.org:8080".to_owned(), "[fe80::1]:80".to_owned()], false),
            "BOX.example.org"
        ));
        assert!(check(&Hosts::new(&["[fe80::1]:80".to_owned()], false), "[fe80::1]:8080"));
        assert!(check(&Hosts::new(&[], false), "any.example.org"));
        assert!(!check(&Hosts::new(&["box.example.org".to_owned()], false), "any.example.org"));
    }

    #[test]
    fn what_no_request_can_call_a_server_is_no_host() {
        for host in ["box", "box.example.org", "box.example.org:8080", "10.0.0.5", "10.0.0.5:80", "[::1]:80", "[::1]"] {
            assert!(Hosts::is_host(host), "{host}");
        }
        for other in ["", ":80", "http://box", "box/path", "box:port", "box:99999", "*", "[::1]:x", "a b", "user@box"] {
            assert!(!Hosts::is_host(other), "{other}");
        }
    }

    #[test]
    fn a_page_under_a_name_that_anybody_may_have_is_not_the_servers_own() {
        let local = origins(&["localhost"]);
        let check = |hosts: &Hosts, host: &str, has_keys: bool| {
            let value = |text: String| HeaderValue::from_str(&text).unwrap();
            let fields = [(HOST, value(host.to_owned())), (ORIGIN, value(format!("http://{host}")))];
            local.check(&HeaderMap::from_iter(fields), hosts, has_keys).is_ok()
        };
        // Rebound: the page and the request have the same name, which is not this server's.
        let any = Hosts::new(&[], false);
        assert!(!check(&any, "evil.example.org:8080", false));
        // Without the key it gets nowhere, and an address cannot be made to point elsewhere.
        assert!(check(&any, "box.example.org:8080", true) && check(&any, "10.0.0.5:8080", false));
        assert!(check(&Hosts::new(&["box.example.org".to_owned()], false), "box.example.org:8080", false));
    }

    #[test]
    fn a_trusted_page_may_send_the_headers_it_asks_for() {
        let asked = |text: &str| {
            let headers =
                HeaderMap::from_iter([(ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_str(text).unwrap())]);
            allowed_headers(&headers).to_str().unwrap().to_owned()
        };
        assert_eq!(asked("Authorization,X-Stainless-Lang"), format!("{REQUEST_HEADERS}, x-stainless-lang"));
        assert_eq!(asked("bad name, {}, x:y,,"), REQUEST_HEADERS);
        assert!(asked(&vec!["x-long-name"; 1000].join(",")).len() <= REQUEST_HEADERS_BYTES_MAX);
        assert_eq!(allowed_headers(&HeaderMap::new()), REQUEST_HEADERS);
    }
}
