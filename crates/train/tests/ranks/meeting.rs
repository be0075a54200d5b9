//! How ranks find each other, what they do together over TCP, and what else may come to a port.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use codeact_train::ranks::{Collective, Meeting, Patience, Place, RankError, RendezvousPoint, Tcp, Threads};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const SHORT: Patience = Patience {
    rendezvous: Duration::from_secs(20),
    silence: Duration::from_secs(20),
    beat: Duration::from_millis(50),
    notice: Duration::from_secs(20),
    outside: Duration::from_secs(20),
};

/// Longest that anything here may take on a busy machine.
const SOON: Duration = Duration::from_secs(15);

fn never(error: &RankError) {
    panic!("a rank hangs: {error}");
}

/// The greeting of a rank, byte for byte.
fn greeting(rank: u32, count: u32) -> Vec<u8> {
    let mut bytes = b"codeact ranks \r\n".to_vec();
    bytes.extend([1, rank, count].into_iter().flat_map(u32::to_le_bytes));
    bytes.extend(env!("CARGO_PKG_VERSION").bytes());
    bytes.resize(16 + 12 + 32, 0);
    bytes
}

fn connect(meeting: &Meeting) -> TcpStream {
    TcpStream::connect((meeting.host.as_str(), meeting.port)).unwrap()
}

/// As many ranks over TCP, each on a thread.
fn meet<T: Send>(count: usize, patience: Patience, act: impl Fn(Tcp) -> T + Sync) -> Vec<T> {
    let point = RendezvousPoint::local().unwrap();
    let (meeting, act) = (point.meeting().unwrap(), &act);
    std::thread::scope(|scope| {
        let mut point = Some(point);
        let ranks = (0..count).map(|rank| {
            let (meeting, point) = (meeting.clone(), point.take().filter(|_| rank == 0));
            scope.spawn(move || act(Tcp::meet(Place { rank, count }, &meeting, point, patience, never).unwrap()))
        });
        let ranks: Vec<_> = ranks.collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

/// Rank 0 of `count`, and what became of it.
fn first(
    count: usize,
    patience: Patience,
    guests: impl FnOnce(&Meeting),
    act: impl FnOnce(&Tcp) -> Result<(), RankError> + Send,
) -> Result<(), RankError> {
    let point = RendezvousPoint::local().unwrap();
    let meeting = point.meeting().unwrap();
    let met = &meeting;
    std::thread::scope(|scope| {
        let place = Place { rank: 0, count };
        let rank = scope.spawn(move || act(&Tcp::meet(place, met, Some(point), patience, never)?));
        guests(&meeting);
        rank.join().unwrap()
    })
}

fn vector(rank: usize, count: usize) -> Tensor {
    let mut random = ChaCha8Rng::seed_from_u64(rank as u64);
    let values = (0..count).map(|_| random.next_u32() as f32 / 1e5 - 2e4).collect();
    Tensor::from_vec(values, count, &Device::Cpu).unwrap()
}

/// What a rank has after everything that ranks do together.
fn everything(ranks: &dyn Collective, count: usize) -> (Vec<f32>, Vec<f32>, Vec<f64>, Vec<Vec<u8>>) {
    let rank = ranks.place().rank;
    let (sum, spread) = (vector(rank, count), vector(rank, count));
    ranks.sum(&sum).unwrap();
    ranks.spread(&spread).unwrap();
    let mut numbers = [rank as f64, 0.1];
    ranks.sum_f64(&mut numbers).unwrap();
    let all = ranks.gather(&vec![rank as u8; rank * 3]).unwrap();
    ranks.leave(None);
    (sum.to_vec1().unwrap(), spread.to_vec1().unwrap(), numbers.to_vec(), all)
}

#[test]
fn sums_over_tcp_have_the_bits_of_threads_and_of_the_order_of_ranks() {
    // More chunks than a rank is ahead, the last one not full; and next to nothing.
    for count in [0, 1, 7 * (1 << 18) + 17] {
        let over_tcp = meet(3, SHORT, |ranks| everything(&ranks, count));
        let by_threads: Vec<_> = std::thread::scope(|scope| {
            let ranks = Threads::new(3).into_iter().map(|ranks| scope.spawn(move || everything(&ranks, count)));
            ranks.collect::<Vec<_>>().into_iter().map(|rank| rank.join().unwrap()).collect()
        });
        let values = |rank| vector(rank, count).to_vec1::<f32>().unwrap();
        let in_order: Vec<f32> =
            values(0).iter().zip(values(1)).zip(values(2)).map(|((zero, one), two)| zero + one + two).collect();
        for (over_tcp, by_threads) in over_tcp.iter().zip(&by_threads) {
            assert!(over_tcp.0 == in_order && over_tcp.1 == values(0));
            assert!(over_tcp == by_threads);
            assert_eq!(over_tcp.2, [3.0, 0.1 + 0.1 + 0.1]);
            assert_eq!(over_tcp.3, [vec![], vec![1; 3], vec![2; 6]]);
        }
    }
}

#[test]
fn a_rank_of_another_run_is_refused_by_what_differs() {
    let refused = |bytes: Vec<u8>, told: &str| {
        let begun = Instant::now();
        let answer = |meeting: &Meeting| {
            let mut guest = connect(meeting);
            guest.write_all(&bytes).unwrap();
            let mut heard = Vec::new();
            // Whether it is closed or reset does not matter.
            let _ = guest.read_to_end(&mut heard);
            assert!(String::from_utf8_lossy(&heard).contains(told), "{}", String::from_utf8_lossy(&heard));
        };
        let error = first(3, SHORT, answer, |_| Ok(())).unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
        assert!(error.exit_code() == 2 && begun.elapsed() < SOON);
    };
    refused(greeting(1, 4), "rank 1 was started as one of 4, rank 0 as one of 3");
    refused(greeting(0, 3), "a second rank 0 came");
    refused(greeting(3, 3), "a second rank 3 came");
    refused(greeting(u32::MAX, 3), "a second rank 4294967295 came");
    let mut other = greeting(2, 3);
    other[16] = 9;
    refused(other, "rank 2 is codeact-train ");
    let twice = |meeting: &Meeting| {
        let mut guests = [connect(meeting), connect(meeting)];
        for guest in &mut guests {
            guest.write_all(&greeting(1, 3)).unwrap();
        }
        // Held open until rank 0 has decided.
        let _ = guests[0].read_to_end(&mut Vec::new());
    };
    let error = first(3, SHORT, twice, |_| Ok(())).unwrap_err();
    assert!(error.to_string().starts_with("two programs say that they are rank 1"), "{error}");
}

#[test]
fn ranks_that_do_not_come_are_named() {
    let patience = Patience { rendezvous: Duration::from_millis(300), ..SHORT };
    let error = first(4, patience, |_| {}, |_| Ok(())).unwrap_err();
    assert!(error.to_string().starts_with("ranks 1, 2, 3 did not come within "), "{error}");
    let meeting = RendezvousPoint::local().unwrap().meeting().unwrap();
    let error = Tcp::meet(Place { rank: 2, count: 4 }, &meeting, None, patience, never).unwrap_err();
    assert!(error.to_string().starts_with("rank 2 could not reach rank 0 at `127.0.0.1:"), "{error}");
    for host in ["not a host", "", "[::1", "\u{0}"] {
        let meeting = Meeting { host: host.to_owned(), port: 1 };
        for rank in [0, 1] {
            let error = Tcp::meet(Place { rank, count: 2 }, &meeting, None, patience, never).unwrap_err();
            assert!(error.to_string().starts_with("cannot find the host"), "{host:?}: {error}");
            assert!(error.to_string().contains("hint: set MASTER_ADDR"), "{error}");
        }
    }
}

#[test]
fn whatever_comes_to_the_port_the_ranks_meet() {
    let point = RendezvousPoint::local().unwrap();
    let meeting = point.meeting().unwrap();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let place = |rank| Place { rank, count: 2 };
        let met = &meeting;
        let zero = scope.spawn(move || Tcp::meet(place(0), met, Some(point), SHORT, never).unwrap().gather(b"zero"));
        let mut random = ChaCha8Rng::seed_from_u64(11);
        let mut open = Vec::new();
        for attempt in 0..400 {
            let mut stranger = connect(&meeting);
            let mut bytes = greeting(random.next_u32(), 2);
            match attempt % 5 {
                0 => bytes = b"GET / HTTP/1.1\r\n\r\n".to_vec(),
                1 => bytes.truncate(random.next_u32() as usize % bytes.len()),
                2 => bytes[random.next_u32() as usize % 16] ^= 1 + (random.next_u32() % 255) as u8,
                3 => bytes = (0..random.next_u32() % 5000).map(|_| random.next_u32() as u8).collect(),
                _ => bytes.clear(),
            }
            // It may be thrown out while it still writes.
            let _ = stranger.write_all(&bytes);
            if attempt % 8 == 0 {
                open.push(stranger);
            }
        }
        let one = Tcp::meet(place(1), &meeting, None, SHORT, never).unwrap();
        assert_eq!(one.gather(b"one").unwrap(), [b"zero".to_vec(), b"one".to_vec()]);
        assert_eq!(zero.join().unwrap().unwrap(), [b"zero".to_vec(), b"one".to_vec()]);
    });
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[test]
fn a_rank_that_talks_nonsense_is_gone_and_nobody_waits_for_it() {
    let mut random = ChaCha8Rng::seed_from_u64(12);
    for attempt in 0..60 {
        let mut bytes: Vec<u8> = (0..random.next_u32() % 200).map(|_| random.next_u32() as u8).collect();
        match attempt % 4 {
            // Frames of every kind with every length.
            0 => bytes.splice(0..0, [2, 255, 255, 255, 255]).for_each(drop),
            1 => bytes.splice(0..0, [(random.next_u32() % 8) as u8, 3, 0, 0, 0]).for_each(drop),
            2 => bytes.splice(0..0, [2, 100, 0, 0, 0]).for_each(drop),
            _ => {}
        }
        let guest = |meeting: &Meeting| {
            let mut guest = connect(meeting);
            guest.write_all(&greeting(1, 2)).unwrap();
            let _ = guest.write_all(&bytes);
        };
        let sum = |ranks: &Tcp| {
            let begun = Instant::now();
            let told = ranks.sum(&vector(0, 5)).and_then(|()| ranks.sum_f64(&mut [1.0; 3]));
            let told = told.and_then(|()| ranks.gather(&[]).map(drop)).and_then(|()| ranks.check());
            assert!(begun.elapsed() < SOON);
            told
        };
        let error = first(2, SHORT, guest, sum).unwrap_err();
        let is_named = matches!(&error, RankError::Lost { rank: 1, .. } | RankError::Nonsense { rank: 1, .. });
        assert!(is_named, "{attempt}: {error}");
    }
}

#[test]
fn a_rank_that_is_silent_is_gone_and_a_program_that_hangs_is_told() {
    static TOLD: AtomicUsize = AtomicUsize::new(0);
    fn tell(error: &RankError) {
        assert!(error.to_string().starts_with("rank 1 is gone: it gives no sign of life"), "{error}");
        TOLD.fetch_add(1, Ordering::SeqCst);
    }
    let patience = Patience { silence: Duration::from_millis(200), notice: Duration::from_millis(200), ..SHORT };
    let point = RendezvousPoint::local().unwrap();
    let meeting = point.meeting().unwrap();
    let mut guest = connect(&meeting);
    guest.write_all(&greeting(1, 2)).unwrap();
    let ranks = Tcp::meet(Place { rank: 0, count: 2 }, &meeting, Some(point), patience, tell).unwrap();
    let begun = Instant::now();
    while TOLD.load(Ordering::SeqCst) == 0 {
        assert!(begun.elapsed() < SOON, "nobody was told");
        std::thread::yield_now();
    }
    assert!(matches!(ranks.check(), Err(RankError::Lost { rank: 1, .. })));
}

#[test]
fn a_call_that_waits_for_a_rank_that_is_gone_is_ended_long_before_a_step_would_be() {
    static TOLD: AtomicUsize = AtomicUsize::new(0);
    fn tell(error: &RankError) {
        assert!(error.to_string().starts_with("rank 1 is gone: "), "{error}");
        TOLD.fetch_add(1, Ordering::SeqCst);
    }
    let patience = Patience { notice: Duration::from_secs(600), outside: Duration::from_millis(200), ..SHORT };
    let point = RendezvousPoint::local().unwrap();
    let meeting = point.meeting().unwrap();
    let mut guest = connect(&meeting);
    guest.write_all(&greeting(1, 2)).unwrap();
    let ranks = Tcp::meet(Place { rank: 0, count: 2 }, &meeting, Some(point), patience, tell).unwrap();
    drop(guest);
    let begun = Instant::now();
    let wait = |is_over: &dyn Fn() -> bool| {
        while !is_over() {
            assert!(begun.elapsed() < SOON, "it is not over");
            std::thread::yield_now();
        }
    };
    // It is known, and this rank is at its own work: no reason to end it.
    wait(&|| ranks.check().is_err());
    let known = Instant::now();
    wait(&|| known.elapsed() > 2 * patience.outside);
    assert_eq!(TOLD.load(Ordering::SeqCst), 0);
    let outside = ranks.outside();
    wait(&|| TOLD.load(Ordering::SeqCst) > 0);
    drop(outside);
}

#[test]
fn all_hear_which_rank_failed_and_why() {
    let told = meet(3, SHORT, |ranks| {
        if ranks.place().rank == 2 {
            ranks.leave(Some("no room on the disk"));
            return String::new();
        }
        let told = ranks.gather(&[]).and_then(|_| ranks.gather(&[])).unwrap_err().to_string();
        ranks.leave(Some(&told));
        told
    });
    for told in &told[..2] {
        assert!(told.starts_with("rank 2 is gone: it ended: no room on the disk\n"), "{told}");
    }
}
