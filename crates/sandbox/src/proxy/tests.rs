//! The proxy against servers and clients of this machine, some of them hostile.

use super::*;
use std::io::{Read, Write};
use std::net::Shutdown;

/// A generous bound on anything that should happen at once.
const SOON: Duration = Duration::from_secs(20);

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A server that hands each connection to `serve`.
fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let (listener, address) = listener();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

/// A server that sends back what it gets until the client has finished.
fn echo() -> SocketAddr {
    server(|mut stream| {
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut chunk) {
            if stream.write_all(&chunk[..count]).is_err() {
                return;
            }
        }
    })
}

/// A server that answers the head and `body_bytes` of a body with `answer` followed by what it got.
fn http(answer: &'static str, body_bytes: usize) -> SocketAddr {
    server(move |mut stream| {
        let got = read_request(&mut stream, body_bytes);
        stream.write_all(format!("{answer}\r\n\r\n{got}").as_bytes()).unwrap();
    })
}

fn read_request(stream: &mut TcpStream, body_bytes: usize) -> String {
    let mut got = Vec::new();
    let mut byte = [0];
    while !got.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        got.push(byte[0]);
    }
    let mut body = vec![0; body_bytes];
    stream.read_exact(&mut body).unwrap();
    String::from_utf8([got, body].concat()).unwrap()
}

struct Setting {
    proxy: Proxy,
    address: SocketAddr,
}

fn start(entries: &[String], limits: ProxyLimits) -> Setting {
    let (listener, address) = listener();
    let proxy = Proxy::start(listener, AllowList::parse(entries).unwrap(), limits).unwrap();
    Setting { proxy, address }
}

/// A proxy whose names resolve to what the test says.
fn start_resolving(entries: &[&str], found: &[&str]) -> Setting {
    let (listener, address) = listener();
    let found: Vec<SocketAddr> = found.iter().map(|address| address.parse().unwrap()).collect();
    let resolve = move |_: &str, _: u16| Ok(found.clone());
    let allow = AllowList::parse(entries).unwrap();
    let proxy = Proxy::start_with(listener, allow, ProxyLimits::default(), Box::new(resolve)).unwrap();
    Setting { proxy, address }
}

impl Setting {
    fn open(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    }

    /// Send `request`, and read until the proxy closes.
    fn ask(&self, request: &str) -> String {
        let mut stream = self.open();
        stream.write_all(request.as_bytes()).unwrap();
        rest(&mut stream)
    }

    /// A tunnel that stands.
    fn tunnel(&self, target: SocketAddr) -> TcpStream {
        let mut stream = self.open();
        stream.write_all(format!("CONNECT {target} HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
        let established = b"HTTP/1.1 200 Connection established\r\n\r\n";
        let mut answer = vec![0; established.len()];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, established);
        stream
    }

    fn verdicts(&self) -> Vec<Verdict> {
        self.proxy.decisions().0.into_iter().map(|decision| decision.verdict).collect()
    }

    /// Wait for the verdict that the proxy gives when it ends a connection.
    fn last_verdict(&self, count: usize) -> Verdict {
        let until = Instant::now() + SOON;
        while self.verdicts().len() < count && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.verdicts().pop().unwrap()
    }
}

fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_tunnel_passes_bytes_both_ways_and_half_closes() {
    let target = echo();
    let setting = start(&[target.to_string()], ProxyLimits::default());
    let mut stream = setting.tunnel(target);
    let sent: Vec<u8> = (0..1_000_000_u32).map(|index| (index % 251) as u8).collect();
    let mut writer = stream.try_clone().unwrap();
    let writing = std::thread::spawn({
        let sent = sent.clone();
        move || {
            writer.write_all(&sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        }
    });
    let mut got = Vec::new();
    stream.read_to_end(&mut got).unwrap();
    writing.join().unwrap();
    assert!(got == sent, "{} bytes came back", got.len());
    assert_eq!(setting.verdicts(), [Verdict::Allowed(target)]);
    let traffic = setting.proxy.traffic();
    assert!(traffic.sent_bytes > 1_000_000 && traffic.received_bytes == 1_000_000, "{traffic:?}");
}

#[test]
fn bytes_behind_the_head_go_through_the_tunnel() {
    let target = echo();
    let setting = start(&[target.to_string()], ProxyLimits::default());
    let mut stream = setting.open();
    stream.write_all(format!("CONNECT {target} HTTP/1.1\r\n\r\nearly").as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(rest(&mut stream).ends_with("\r\n\r\nearly"));
}

#[test]
fn a_plain_request_gets_its_answer_and_the_connection_ends() {
    let target = http("HTTP/1.1 200 OK\r\nConnection: keep-alive", 5);
    let setting = start(&[target.to_string()], ProxyLimits::default());
    // What follows the body is a second request, which this connection does not take.
    let answer = setting.ask(&format!(
        "POST http://{target}/path HTTP/1.1\r\nProxy-Authorization: x\r\nContent-Length: 5\r\n\r\n\
        helloGET / HTTP/1.1\r\n\r\n"
    ));
    assert_eq!(
        answer,
        format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\
            POST /path HTTP/1.1\r\nHost: {target}\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
        )
    );
}

#[test]
fn an_interim_answer_lets_the_body_come() {
    let target = server(|mut stream| {
        read_request(&mut stream, 0);
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        let mut body = [0; 3];
        stream.read_exact(&mut body).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        stream.write_all(&body).unwrap();
    });
    let setting = start(&[target.to_string()], ProxyLimits::default());
    let mut stream = setting.open();
    let head = format!("PUT http://{target}/ HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abc").unwrap();
    assert_eq!(rest(&mut stream), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc");
}

#[test]
fn what_is_not_listed_is_refused_with_the_way_to_allow_it() {
    let target = echo();
    let setting = start(&["example.com".into(), "127.0.0.1:1".into()], ProxyLimits::default());
    let reason = format!(
        "127.0.0.1 port {} is not on the allow-list of this sandbox; to allow it, add \"{target}\" to the list",
        target.port()
    );
    let answer = setting.ask(&format!("CONNECT {target} HTTP/1.1\r\n\r\n"));
    assert!(answer.starts_with(&format!("HTTP/1.1 403 {reason}\r\n")), "{answer}");
    assert!(answer.ends_with(&format!("\r\n\r\n{reason}\n")), "{answer}");
    let answer = setting.ask("HEAD http://example.org/ HTTP/1.1\r\n\r\n");
    assert!(answer.contains("add \"example.org\" to the list\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    let answer = setting.ask("CONNECT [2606:4700::1111]:443 HTTP/1.1\r\n\r\n");
    assert!(answer.contains("add \"[2606:4700::1111]:443\" to"), "{answer}");
    let decisions = setting.proxy.decisions().0;
    assert_eq!((decisions[0].host.as_str(), decisions[0].port), ("127.0.0.1", target.port()));
    assert_eq!(decisions[0].verdict, Verdict::Refused(reason));
    assert_eq!(decisions.len(), 3);
}

#[test]
fn a_listed_name_cannot_lead_inside() {
    let inside = ["127.0.0.1:80", "169.254.169.254:80", "[::ffff:127.0.0.1]:80", "[fd00:ec2::254]:80", "0.0.0.0:80"];
    for found in inside {
        let setting = start_resolving(&["rebind.example"], &[found]);
        let answer = setting.ask("GET http://rebind.example/ HTTP/1.1\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 403 rebind.example leads to "), "{found}: {answer}");
        assert!(matches!(setting.verdicts()[..], [Verdict::Refused(_)]));
    }
}

#[test]
fn a_listed_name_may_lead_to_a_listed_address() {
    let target = http("HTTP/1.1 204 No Content", 0);
    let name = format!("name.example:{}", target.port());
    let mapped = format!("[::ffff:127.0.0.1]:{}", target.port());
    // The first address is not listed and passed over.
    let setting = start_resolving(&[&name, &target.to_string()], &["10.0.0.1:1", &mapped]);
    let answer = setting.ask(&format!("GET http://{name}/ HTTP/1.1\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    assert_eq!(setting.verdicts(), [Verdict::Allowed(target)]);
}

#[test]
fn servers_that_fail_are_reported() {
    let closed = {
        let (_listener, address) = listener();
        address
    };
    let silent = server(drop);
    let other = server(|mut stream| {
        let _ = stream.write_all(b"SSH-2.0-test\r\n\r\n");
        rest(&mut stream);
    });
    let endless = server(|mut stream| while stream.write_all(&[b'a'; 4096]).is_ok() {});
    let entries = [closed, silent, other, endless].map(|address| address.to_string());
    let setting = start(&entries, ProxyLimits::default());
    for (target, reason) in
        [(closed, "refused"), (silent, "without an answer"), (other, "not HTTP/1"), (endless, "too long a head")]
    {
        let answer = setting.ask(&format!("GET http://{target}/ HTTP/1.1\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains(reason), "{answer}");
    }
    assert_eq!(setting.verdicts().iter().filter(|verdict| matches!(verdict, Verdict::Failed(_))).count(), 4);
}

#[test]
fn slow_and_endless_heads_end() {
    let limits = ProxyLimits { head_ms_max: 300, head_bytes_max: 1024, ..ProxyLimits::default() };
    let setting = start(&[], limits);
    let mut slow = setting.open();
    slow.write_all(b"GET http://exam").unwrap();
    assert!(rest(&mut slow).starts_with("HTTP/1.1 408 "));
    let answer = setting.ask(&format!("GET http://example.com/{} HTTP/1.1\r\n", "a".repeat(2000)));
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert!(setting.ask("GET / HTTP/1.1\r\nA: \0\r\n\r\n").starts_with("HTTP/1.1 400 "));
    assert!(setting.ask("GET / HTTP/1.1\r\n\r\n").contains("no pages of its own"));
    assert_eq!(setting.verdicts().len(), 4);
}

#[test]
fn an_idle_connection_is_closed() {
    let target = echo();
    let setting = start(&[target.to_string()], ProxyLimits { idle_ms_max: 100, ..ProxyLimits::default() });
    let mut stream = setting.tunnel(target);
    assert_eq!(rest(&mut stream), "");
    assert!(matches!(setting.last_verdict(2), Verdict::Failed(reason) if reason.contains("100 ms")));
}

#[test]
fn the_bytes_of_a_session_are_bounded() {
    let target = echo();
    let setting = start(&[target.to_string()], ProxyLimits { bytes_max: 100_000, ..ProxyLimits::default() });
    let mut stream = setting.tunnel(target);
    let mut writer = stream.try_clone().unwrap();
    std::thread::spawn(move || while writer.write_all(&[0; 1000]).is_ok() {});
    let mut got = Vec::new();
    // The end may be a reset, since bytes are underway.
    let _ = stream.read_to_end(&mut got);
    assert!(got.len() <= 100_000, "{}", got.len());
    assert!(matches!(setting.last_verdict(2), Verdict::Refused(reason) if reason.contains("100000 bytes")));
    let answer = setting.ask(&format!("CONNECT {target} HTTP/1.1\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.1 403 this session has used"), "{answer}");
}

#[test]
fn more_connections_wait_for_their_turn() {
    let target = echo();
    let setting = start(&[target.to_string()], ProxyLimits { connections_max: 2, ..ProxyLimits::default() });
    let (first, _second) = (setting.tunnel(target), setting.tunnel(target));
    let mut third = setting.open();
    third.write_all(format!("CONNECT {target} HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
    third.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut byte = [0];
    assert!(third.read(&mut byte).is_err(), "served beyond the bound");
    drop(first);
    third.set_read_timeout(Some(SOON)).unwrap();
    third.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"H");
}

#[test]
fn stopping_closes_everything_that_is_underway() {
    let target = echo();
    let (listener, address) = listener();
    let allow = AllowList::parse(&[target.to_string(), "slow.example".into()]).unwrap();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    let resolve = move |_: &str, _: u16| {
        let _ = lock(&held).recv();
        Ok(Vec::new())
    };
    let limits = ProxyLimits { connections_max: 3, ..ProxyLimits::default() };
    let proxy = Proxy::start_with(listener, allow, limits, Box::new(resolve)).unwrap();
    let setting = Setting { proxy, address };
    let mut tunnel = setting.tunnel(target);
    let mut slow = setting.open();
    slow.write_all(b"CONNECT slow.example:443 HTTP/1.1\r\n\r\n").unwrap();
    let mut silent = setting.open();
    let mut waiting = setting.open();
    let begun = Instant::now();
    drop(setting);
    assert!(begun.elapsed() < SOON);
    assert_eq!(rest(&mut tunnel), "");
    // Those that were not accepted yet see a reset.
    for stream in [&mut slow, &mut silent, &mut waiting] {
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert!(TcpStream::connect(address).is_err());
    drop(release);
}

#[test]
fn the_log_is_bounded() {
    let setting = start(&[], ProxyLimits { decisions_max: 3, ..ProxyLimits::default() });
    for index in 0..5 {
        setting.ask(&format!("CONNECT host{index}.example:443 HTTP/1.1\r\n\r\n"));
    }
    let (kept, dropped_count) = setting.proxy.decisions();
    let hosts: Vec<&str> = kept.iter().map(|decision| decision.host.as_str()).collect();
    assert_eq!((hosts, dropped_count), (vec!["host2.example", "host3.example", "host4.example"], 2));
}

#[test]
fn random_bytes_do_no_harm() {
    let target = echo();
    let limits = ProxyLimits { head_ms_max: 50, idle_ms_max: 5000, ..ProxyLimits::default() };
    let setting = start(&[target.to_string()], limits);
    let parts = ["CONNECT ", "GET http://", &target.to_string(), " HTTP/1.1", "\r\n", "\r\n\r\n", "Host: ", ":", "\0"];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |bound: usize| {
        // xorshift64: any sequence will do, as long as it is the same every time.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    for _ in 0..300 {
        let mut stream = setting.open();
        let mut bytes = Vec::new();
        for _ in 0..random(12) {
            match random(3) {
                0 => bytes.extend((0..random(200)).map(|_| random(256) as u8)),
                _ => bytes.extend_from_slice(parts[random(parts.len())].as_bytes()),
            }
        }
        // The proxy may have closed by now.
        let _ = stream.write_all(&bytes);
        if random(2) == 0 {
            let _ = stream.shutdown(Shutdown::Write);
        }
        if random(2) == 0 {
            let _ = stream.read_to_end(&mut Vec::new());
        }
    }
    let mut stream = setting.tunnel(target);
    stream.write_all(b"still here").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut stream), "still here");
}
