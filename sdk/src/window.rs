//! Counting over time, in a form that can be part of a rule's state.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Parts into which a window's length is divided: the most by which a count is out is one of them.
const PARTS: i64 = 60;

/// A count over the last so many milliseconds. It takes at most 61 numbers of memory, however much is counted.
///
/// ```
/// use streamflow_sdk::window::Sliding;
/// let mut last_minute = Sliding::new(60_000);
/// last_minute.add(0, 3);
/// last_minute.add(30_000, 2);
/// assert_eq!(last_minute.count(30_000), 5);
/// assert_eq!(last_minute.count(62_000), 2);
/// assert_eq!(last_minute.count(100_000), 0);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Saved")]
pub struct Sliding {
    span_ms: i64,
    /// Beginnings and counts, oldest first.
    parts: VecDeque<(i64, u64)>,
    /// Of all parts: a count is this without the parts outside, of which there are none as a rule.
    #[serde(skip)]
    total: u64,
}

#[derive(Deserialize)]
struct Saved {
    span_ms: i64,
    parts: VecDeque<(i64, u64)>,
}

impl From<Saved> for Sliding {
    fn from(Saved { span_ms, parts }: Saved) -> Self {
        let total = sum(parts.iter());
        Self { span_ms, parts, total }
    }
}

fn sum<'a>(parts: impl Iterator<Item = &'a (i64, u64)>) -> u64 {
    parts.fold(0, |sum, (_, count)| sum.saturating_add(*count))
}

impl Sliding {
    /// Nothing yet, over this length of time.
    #[must_use]
    pub fn new(span_ms: i64) -> Self {
        Self {
            span_ms: span_ms.max(1),
            parts: VecDeque::new(),
            total: 0,
        }
    }

    fn part(&self) -> i64 {
        (self.span_ms / PARTS).max(1)
    }

    /// Counts `n` more at this time. What is older than the window, seen from the newest time so far, is not counted.
    #[inline]
    pub fn add(&mut self, at_ms: i64, n: u64) {
        let part = self.part().cast_unsigned();
        match self.parts.back_mut() {
            // Most events are of the newest part: then there is nothing to divide, to forget or to look for.
            Some((begin, count)) if at_ms >= *begin && at_ms.wrapping_sub(*begin).cast_unsigned() < part => {
                *count = count.saturating_add(n);
                self.total = self.total.saturating_add(n);
            }
            _ => self.add_elsewhere(at_ms, n),
        }
    }

    #[inline(never)]
    fn add_elsewhere(&mut self, at_ms: i64, n: u64) {
        // Without a product that may overflow: WebAssembly knows none, and a guest would compute it in 128 bits.
        let begin = at_ms.saturating_sub(at_ms.rem_euclid(self.part()));
        let newest = self.parts.back().map_or(begin, |(newest, _)| *newest);
        self.forget(newest.max(begin));
        if begin < newest.saturating_sub(self.span_ms) {
            return;
        }
        self.total = self.total.saturating_add(n);
        if begin > newest || self.parts.is_empty() {
            self.parts.push_back((begin, n));
            return;
        }
        let place = self.parts.partition_point(|(own, _)| *own < begin);
        match self.parts.get_mut(place) {
            Some((own, count)) if *own == begin => *count = count.saturating_add(n),
            _ => self.parts.insert(place, (begin, n)),
        }
    }

    /// How many there were in the window that ends at this time.
    #[must_use]
    #[inline]
    pub fn count(&self, now_ms: i64) -> u64 {
        let from = now_ms.saturating_sub(self.span_ms);
        match (self.parts.front(), self.parts.back()) {
            (Some((oldest, _)), Some((newest, _))) if *oldest >= from && *newest <= now_ms => self.total,
            _ => self.count_between(from, now_ms),
        }
    }

    #[inline(never)]
    fn count_between(&self, from: i64, to: i64) -> u64 {
        let before = sum(self.parts.iter().take_while(|(begin, _)| *begin < from));
        let after = sum(self.parts.iter().rev().take_while(|(begin, _)| *begin > to));
        self.total.saturating_sub(before).saturating_sub(after)
    }

    /// When the newest part of what was counted began. A tick tells of a time that all events have passed, and newer ones may have been counted by then.
    #[must_use]
    pub fn newest_ms(&self) -> Option<i64> {
        self.parts.back().map(|(begin, _)| *begin)
    }

    /// Nothing is left in the window that ends at this time.
    #[must_use]
    pub fn is_over(&self, now_ms: i64) -> bool {
        self.parts
            .back()
            .is_none_or(|(begin, _)| *begin < now_ms.saturating_sub(self.span_ms))
    }

    fn forget(&mut self, now_ms: i64) {
        let from = now_ms.saturating_sub(self.span_ms);
        while let Some((_, count)) = self.parts.pop_front_if(|(begin, _)| *begin < from) {
            self.total = self.total.saturating_sub(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn times_at_the_edges_are_times() {
        let mut window = Sliding::new(60_000);
        window.add(i64::MIN, 1);
        assert_eq!((window.count(i64::MIN), window.count(i64::MAX)), (1, 0));
        window.add(i64::MAX, 2);
        window.add(i64::MIN, 4);
        assert_eq!((window.count(i64::MIN), window.count(i64::MAX)), (0, 2));
    }

    #[test]
    fn memory_is_bounded_and_late_events_count_while_they_are_within() {
        let mut window = Sliding::new(60_000);
        for at in (0..1_000_000).step_by(10) {
            window.add(at, 1);
        }
        assert!(window.parts.len() <= 62, "{}", window.parts.len());
        let count = window.count(999_990);
        assert!((5_900..=6_100).contains(&count), "{count}");
        window.add(950_000, 1);
        assert_eq!(window.count(999_990), count + 1);
        window.add(0, 1);
        assert_eq!(window.count(999_990), count + 1);
        assert!(!window.is_over(1_000_000) && window.is_over(2_000_000));
        assert_eq!(window.newest_ms(), Some(999_000));
    }

    #[test]
    fn a_count_is_the_sum_of_the_parts_within_in_any_order_and_after_a_restart() {
        let mut window = Sliding::new(6_000);
        let mut parts = BTreeMap::new();
        let mut at = 1_i64;
        for n in 0..5_000_i64 {
            at = (at * 48_271) % 2_147_483_647;
            // Ahead of all others, of about the time that has come, or late.
            let away = [at % 9_000, at % 30, -(at % 7_000)][n as usize % 3];
            let (time, more) = (n * 20 + away, 1 + n.unsigned_abs() % 3);
            window.add(time, more);
            let begin = time.div_euclid(100) * 100;
            let newest = parts.keys().next_back().map_or(begin, |newest| begin.max(*newest));
            *parts.entry(begin).or_insert(0) += more;
            parts.retain(|begin, _| *begin >= newest - 6_000);
            assert!(
                window.parts.iter().map(|(begin, count)| (begin, count)).eq(&parts),
                "{n}"
            );
            let now = n * 20 + at % 10_007;
            let within = |(begin, _): &&(i64, u64)| *begin >= now - 6_000 && *begin <= now;
            assert_eq!(window.count(now), sum(window.parts.iter().filter(within)), "{n}");
            assert!(window.parts.iter().is_sorted_by_key(|(begin, _)| *begin));
        }
        let saved = serde_json::to_string(&window).unwrap();
        assert!(saved.starts_with("{\"span_ms\":6000,\"parts\":[[") && !saved.contains("total"));
        assert_eq!(serde_json::from_str::<Sliding>(&saved).unwrap(), window);
    }
}
