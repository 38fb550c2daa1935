//! The benchmark event: UUIDv7 id, 20 types, 50 sources, 8 typed attributes of which one is a message of 60 characters.

use std::fmt::Write;

/// Seeded, so that every run sees the same events.
pub struct Generator {
    state: u64,
    n: u64,
    start_ms: i64,
}

const WORDS: [&str; 16] = [
    "connection",
    "timeout",
    "user",
    "request",
    "handled",
    "cache",
    "missing",
    "retry",
    "upstream",
    "answered",
    "slowly",
    "worker",
    "started",
    "queue",
    "drained",
    "session",
];

impl Generator {
    /// A new one; events begin at `start_ms` and are a tenth of a millisecond apart.
    pub const fn new(seed: u64, start_ms: i64) -> Self {
        Self {
            state: seed,
            n: 0,
            start_ms,
        }
    }

    const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Appends one event as a line of JSON.
    pub fn line(&mut self, out: &mut String) {
        let at = self.start_ms + i64::try_from(self.n / 10).unwrap_or(0);
        self.n += 1;
        let (a, b, c) = (self.next(), self.next(), self.next());
        let id = (u128::from(at.unsigned_abs()) << 80)
            | (7 << 76)
            | (u128::from(a & 0xfff) << 64)
            | (2 << 62)
            | u128::from(b >> 2);
        let mut message = String::with_capacity(64);
        let mut dice = c;
        while message.len() < 52 {
            message += WORDS[(dice & 15) as usize];
            message.push(' ');
            dice = dice.rotate_right(4) ^ a;
        }
        let severity = ["low", "medium", "high", "critical"][usize::from(b.is_multiple_of(10))
            + usize::from(b.is_multiple_of(50))
            + usize::from(b.is_multiple_of(500))];
        writeln!(
            out,
            "{{\"id\":\"{}\",\"type\":\"type.{}\",\"source\":\"host-{:02}\",\"timestamp\":{at},\"severity\":\"{severity}\",\"data\":{{\"status\":{},\"ms\":{}.{},\"path\":\"/api/v1/item/{}\",\"method\":\"{}\",\"bytes\":{},\"cached\":{},\"region\":\"eu-{}\",\"message\":\"{:<60.60}\"}}}}",
            uuid::Uuid::from_u128(id), a % 20, b % 50, [200, 200, 200, 200, 201, 204, 404, 500][(c & 7) as usize], c % 900, a % 10, b % 400,
            ["GET", "GET", "GET", "POST", "PUT"][(a % 5) as usize], c % 100_000, a & 1 == 0, b % 6, message.trim_end(),
        )
        .expect("writing to a string");
    }

    /// `n` lines.
    pub fn lines(&mut self, n: usize) -> String {
        let mut out = String::with_capacity(n * 380);
        for _ in 0..n {
            self.line(&mut out);
        }
        out
    }
}

/// Wall clock in ms.
pub fn now_ms() -> i64 {
    i64::try_from(
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("after 1970")
            .as_millis(),
    )
    .expect("in range")
}
