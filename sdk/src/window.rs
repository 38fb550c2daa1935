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
    pub fn add(&mut self, at_ms: i64, n: u64) {
        let part = self.part();
        let begin = at_ms.div_euclid(part).saturating_mul(part);
        let newest = self.parts.back().map_or(begin, |(newest, _)| *newest);
        self.forget(newest.max(begin));
        if begin < newest.saturating_sub(self.span_ms) {
            return;
        }
        self.total = self.total.saturating_add(n);
        // Most events are of the newest part, or of the one after it.
        if begin > newest || self.parts.is_empty() {
            self.parts.push_back((begin, n));
            return;
        }
        let place = match self.parts.back() {
            Some((own, _)) if *own == begin => self.parts.len() - 1,
            _ => self.parts.partition_point(|(own, _)| *own < begin),
        };
        match self.parts.get_mut(place) {
            Some((own, count)) if *own == begin => *count = count.saturating_add(n),
            _ => self.parts.insert(place, (begin, n)),
        }
    }

    /// How many there were in the window that ends at this time.
    #[must_use]
    pub fn count(&self, now_ms: i64) -> u64 {
        let from = now_ms.saturating_sub(self.span_ms);
        let before = sum(self.parts.iter().take_while(|(begin, _)| *begin < from));
        let after = sum(self.parts.iter().rev().take_while(|(begin, _)| *begin > now_ms));
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
    use super::*;

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
        let mut at = 1_i64;
        for n in 0..5_000_i64 {
            at = (at * 48_271) % 2_147_483_647;
            window.add(n * 20 + at % 9_000, 1 + n.unsigned_abs() % 3);
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
