//! Recurring times, compiled: whether a moment lies in them, and when that changes. Days and hours are those of the time zone,
//! so a window at 02:00 stays there over the change to summer time.

use jiff::{
    Timestamp, ToSpan as _,
    civil::{Date, DateTime, Weekday},
    tz::TimeZone,
};
use streamflow_model::{Day, Hours, HoursSpan, RuleError};

use crate::matchers::wrong;

/// Days that are searched for the next change; a time that begins only on a 29th of February may be found late, never wrong.
const AHEAD: i32 = 400;
/// Spans, and exceptions, of one calendar.
const MOST: usize = 400;

/// Recurring times with their time zone.
#[derive(Debug, Clone)]
pub(crate) struct Calendar {
    zone: TimeZone,
    hours: Hours,
}

impl Calendar {
    /// Looks the time zone up and checks every number; `field` is the place in the document, for the errors.
    pub(crate) fn compile(field: &str, hours: &Hours) -> Result<Self, Vec<RuleError>> {
        let mut errors = Vec::new();
        let zone = TimeZone::get(&hours.time_zone).map_err(|_| {
            let reason = format!(
                "there is no time zone `{}`; write for example Europe/Vienna or UTC",
                hours.time_zone
            );
            errors.push(wrong(format!("{field}.time_zone"), reason));
        });
        if hours.spans.is_empty() || hours.spans.len() > MOST {
            errors.push(wrong(
                format!("{field}.spans"),
                format!("must have 1 to {MOST} entries"),
            ));
        }
        if hours.except.len() > MOST {
            errors.push(wrong(format!("{field}.except"), format!("at most {MOST}")));
        }
        for (nth, span) in hours.spans.iter().enumerate() {
            if span.months.iter().any(|month| !(1..=12).contains(month)) {
                errors.push(wrong(format!("{field}.spans[{nth}].months"), "a month is 1 to 12"));
            }
            if span
                .days_of_month
                .iter()
                .any(|day| *day == 0 || !(-31..=31).contains(day))
            {
                let reason = "a day is 1 to 31, or -1 to -31 from the end";
                errors.push(wrong(format!("{field}.spans[{nth}].days_of_month"), reason));
            }
        }
        match zone {
            Ok(zone) if errors.is_empty() => Ok(Self {
                zone,
                hours: hours.clone(),
            }),
            _ => Err(errors),
        }
    }

    /// Whether the moment lies in one of the times. `now` in ms.
    pub(crate) fn contains(&self, now: i64) -> bool {
        let Some(today) = self.date(now) else { return false };
        // A span ends on the next day at the latest.
        (-1..=0).any(|offset| self.spans_on(today, offset).any(|(from, to)| from <= now && now < to))
    }

    /// The first moment after `now` at which [`Self::contains`] may change; a span that goes on into the next one changes nothing.
    pub(crate) fn next_change(&self, now: i64) -> Option<i64> {
        let today = self.date(now)?;
        (-1..AHEAD).find_map(|offset| {
            let edges = self.spans_on(today, offset).flat_map(|(from, to)| [from, to]);
            edges.filter(|edge| *edge > now).min()
        })
    }

    /// `now` when the moment lies in one of the times, else when the next one begins.
    pub(crate) fn next_inside(&self, now: i64) -> Option<i64> {
        if self.contains(now) {
            return Some(now);
        }
        let today = self.date(now)?;
        (-1..AHEAD).find_map(|offset| {
            let starts = self.spans_on(today, offset).map(|(from, _)| from);
            starts.filter(|from| *from > now).min()
        })
    }

    fn date(&self, now: i64) -> Option<Date> {
        let now = Timestamp::from_millisecond(now).ok()?;
        Some(now.to_zoned(self.zone.clone()).date())
    }

    /// The spans that begin on a day, in ms.
    fn spans_on(&self, today: Date, offset: i32) -> impl Iterator<Item = (i64, i64)> + '_ {
        let day = today.checked_add(offset.days()).ok();
        let day = day.filter(|day| !self.hours.except.contains(day));
        let spans = self.hours.spans.iter().filter_map(move |span| Some((day?, span)));
        spans
            .filter(|(day, span)| begins_on(span, *day))
            .filter_map(|(day, span)| {
                let last = if span.to > span.from { day } else { day.tomorrow().ok()? };
                let at = |moment: DateTime| Some(moment.to_zoned(self.zone.clone()).ok()?.timestamp().as_millisecond());
                Some((at(day.to_datetime(span.from))?, at(last.to_datetime(span.to))?))
            })
    }
}

fn begins_on(span: &HoursSpan, day: Date) -> bool {
    let weekday = match day.weekday() {
        Weekday::Monday => Day::Mon,
        Weekday::Tuesday => Day::Tue,
        Weekday::Wednesday => Day::Wed,
        Weekday::Thursday => Day::Thu,
        Weekday::Friday => Day::Fri,
        Weekday::Saturday => Day::Sat,
        Weekday::Sunday => Day::Sun,
    };
    let from_end = day.day() - day.days_in_month() - 1;
    (span.days.is_empty() || span.days.contains(&weekday))
        && (span.months.is_empty() || span.months.contains(&day.month()))
        && (span.days_of_month.is_empty()
            || span
                .days_of_month
                .iter()
                .any(|wanted| *wanted == day.day() || *wanted == from_end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn calendar(hours: Value) -> Calendar {
        Calendar::compile("hours", &serde_json::from_value(hours).unwrap()).unwrap()
    }

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        let nights = calendar(json!({"time_zone": "Europe/Vienna", "except": ["2026-01-07"],
            "spans": [{"days": ["mon", "wed"], "from": "22:00", "to": "06:00"}]}));
        // 2026-01-05 is a Monday; Vienna is one hour ahead of UTC in winter.
        for (time, inside) in [
            ("2026-01-05T20:59:59Z", false),
            ("2026-01-05T21:00:00Z", true),
            ("2026-01-06T04:59:59Z", true),
            ("2026-01-06T05:00:00Z", false),
            ("2026-01-06T22:00:00Z", false),
            ("2026-01-07T22:00:00Z", false),
            ("2026-01-14T22:00:00Z", true),
        ] {
            assert_eq!(nights.contains(at(time)), inside, "{time}");
        }
        assert_eq!(
            nights.next_change(at("2026-01-05T12:00:00Z")),
            Some(at("2026-01-05T21:00:00Z"))
        );
        assert_eq!(
            nights.next_change(at("2026-01-05T21:00:00Z")),
            Some(at("2026-01-06T05:00:00Z"))
        );
        assert_eq!(
            nights.next_inside(at("2026-01-06T12:00:00Z")),
            Some(at("2026-01-12T21:00:00Z")),
            "the Wednesday is a holiday"
        );
    }

    #[test]
    fn the_hour_stays_over_the_change_to_summer_time() {
        let morning = calendar(json!({"time_zone": "Europe/Vienna", "spans": [{"from": "09:00", "to": "10:00"}]}));
        assert!(morning.contains(at("2026-03-28T08:30:00Z")) && !morning.contains(at("2026-03-28T07:30:00Z")));
        assert!(morning.contains(at("2026-03-29T07:30:00Z")) && !morning.contains(at("2026-03-29T08:30:00Z")));
        let night = calendar(json!({"time_zone": "Europe/Vienna", "spans": [{"from": "02:30", "to": "03:30"}]}));
        let skipped = night.next_inside(at("2026-03-29T00:00:00Z")).unwrap();
        assert!(
            skipped < at("2026-03-29T02:00:00Z"),
            "a time that the clocks skip is not lost"
        );
    }

    #[test]
    fn days_are_counted_from_the_end_of_the_month_too() {
        let last =
            calendar(json!({"spans": [{"days_of_month": [-1], "months": [2, 3], "from": "00:00", "to": "00:00"}]}));
        assert!(last.contains(at("2026-02-28T23:59:00Z")) && !last.contains(at("2026-03-01T00:00:00Z")));
        assert!(!last.contains(at("2026-02-27T12:00:00Z")) && last.contains(at("2026-03-31T00:00:00Z")));
        assert!(!last.contains(at("2026-04-30T12:00:00Z")));
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let hours = json!({"time_zone": "Mars/Olympus", "spans": [{"months": [13], "days_of_month": [0], "from": "1:00", "to": "02:00"}]});
        assert!(
            serde_json::from_value::<Hours>(hours.clone()).is_err(),
            "1:00 is no time"
        );
        let mut hours = hours;
        hours["spans"][0]["from"] = json!("01:00");
        let errors = Calendar::compile("hours", &serde_json::from_value(hours).unwrap()).unwrap_err();
        let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "hours.time_zone",
                "hours.spans[0].months",
                "hours.spans[0].days_of_month"
            ]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn nothing_changes_between_two_changes(
            from in 0_i8..24, to in 0_i8..24, day in 0_usize..7, start in 0_i64..400 * 24, zone in 0_usize..3,
        ) {
            let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
            let zone = ["UTC", "America/New_York", "Asia/Kolkata"][zone];
            let calendar = calendar(json!({"time_zone": zone, "spans": [
                {"days": [days[day]], "from": format!("{from:02}:00"), "to": format!("{to:02}:30")},
                {"days": [days[(day + 3) % 7]], "from": "12:00", "to": "13:00"},
            ]}));
            let now = at("2026-01-01T00:00:00Z") + start * 3_600_000;
            let change = calendar.next_change(now).unwrap();
            prop_assert!(change > now);
            let step = ((change - now) / 50).max(1);
            for probe in (now..change).step_by(usize::try_from(step).unwrap()) {
                prop_assert_eq!(calendar.contains(probe), calendar.contains(now));
            }
            let inside = calendar.next_inside(now).unwrap();
            prop_assert!(calendar.contains(inside) && (inside == now || !calendar.contains(inside - 1)));
        }
    }
}
