//! Who is on call at a moment, and why. Days and hand-overs are those of the schedule's time zone, also over a change to summer
//! time.

use jiff::{Timestamp, ToSpan as _, Unit, civil::Date, tz::TimeZone};
use serde::Serialize;
use streamflow_model::{Instant, OncallSchedule, Rotation, RuleError};

use crate::{
    calendar::Calendar,
    held::{Meant, OnDuty},
    matchers::wrong,
};

/// People, rotations and overrides of one schedule.
const MOST: usize = 1000;
/// Longest turn, in days.
const LONGEST: u32 = 366;

/// A schedule, compiled.
#[derive(Debug, Clone)]
pub(crate) struct Roster {
    pub(crate) schedule: OncallSchedule,
    zone: TimeZone,
    hours: Vec<Option<Calendar>>,
}

/// Who is on call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct Oncall {
    /// The schedule.
    pub(crate) schedule: String,
    /// Who; `null` when no rotation applies, and everybody is told.
    pub(crate) person: Option<String>,
    /// Channels that are told now.
    pub(crate) channels: Vec<String>,
    /// Why it is that person.
    pub(crate) why: String,
    /// When that may change.
    pub(crate) until: Option<Instant>,
}

impl Roster {
    /// Checks a schedule; `channel` says whether there is a channel of that name.
    pub(crate) fn compile(
        schedule: OncallSchedule,
        channel: &dyn Fn(&str) -> Result<(), String>,
    ) -> Result<Self, Vec<RuleError>> {
        let mut errors = Vec::new();
        let zone = TimeZone::get(&schedule.time_zone).unwrap_or_else(|_| {
            let reason = format!(
                "there is no time zone `{}`; write for example Europe/Vienna or UTC",
                schedule.time_zone
            );
            errors.push(wrong("time_zone", reason));
            TimeZone::UTC
        });
        let sizes = [
            ("people", schedule.people.len()),
            ("rotations", schedule.rotations.len()),
            ("overrides", schedule.overrides.len()),
        ];
        for (field, size) in sizes {
            if size > MOST {
                errors.push(wrong(field, format!("at most {MOST}")));
            }
        }
        if schedule.people.is_empty() {
            errors.push(wrong("people", "a schedule needs people"));
        }
        for (nth, person) in schedule.people.iter().enumerate() {
            if person.channels.is_empty() {
                errors.push(wrong(format!("people[{nth}].channels"), "a person needs a channel"));
            }
            if schedule.people.iter().filter(|other| other.name == person.name).count() > 1 {
                errors.push(wrong(
                    format!("people[{nth}].name"),
                    format!("`{}` stands there twice", person.name),
                ));
            }
            for (at, name) in person.channels.iter().enumerate() {
                if let Err(reason) = channel(name) {
                    errors.push(wrong(format!("people[{nth}].channels[{at}]"), reason));
                }
            }
        }
        let known = |name: &str| schedule.people.iter().any(|person| person.name == name);
        let unknown = |field: String, name: &str| wrong(field, format!("`{name}` is not one of `people`"));
        let mut hours = Vec::new();
        for (nth, rotation) in schedule.rotations.iter().enumerate() {
            let field = format!("rotations[{nth}]");
            if rotation.people.is_empty() {
                errors.push(wrong(format!("{field}.people"), "a rotation needs people"));
            }
            if !(1..=LONGEST).contains(&rotation.every_days) {
                errors.push(wrong(format!("{field}.every_days"), format!("must be 1 to {LONGEST}")));
            }
            for (at, name) in rotation.people.iter().enumerate().filter(|(_, name)| !known(name)) {
                errors.push(unknown(format!("{field}.people[{at}]"), name));
            }
            let calendar = rotation.hours.as_ref();
            let calendar = calendar.map(|hours| Calendar::compile(&format!("{field}.hours"), hours));
            hours.push(calendar.transpose().unwrap_or_else(|more| {
                errors.extend(more);
                None
            }));
        }
        for (nth, one) in schedule.overrides.iter().enumerate() {
            if !known(&one.person) {
                errors.push(unknown(format!("overrides[{nth}].person"), &one.person));
            }
            if one.until <= one.from {
                errors.push(wrong(format!("overrides[{nth}].until"), "must be after `from`"));
            }
        }
        if errors.is_empty() {
            Ok(Self { schedule, zone, hours })
        } else {
            Err(errors)
        }
    }

    /// Who is on call at `now`, ms.
    pub(crate) fn who(&self, now: i64) -> Oncall {
        let name = &self.schedule.name;
        let until = self.next_change(now).map(Instant);
        let active = |one: &&streamflow_model::Override| one.from.0 <= now && now < one.until.0;
        if let Some(one) = self.schedule.overrides.iter().rev().find(active) {
            let why = format!("takes over from {} until {}", one.from, one.until);
            return self.answer(Some(&one.person), why, until);
        }
        for (nth, rotation) in self.schedule.rotations.iter().enumerate().rev() {
            let applies = self.hours[nth].as_ref().is_none_or(|calendar| calendar.contains(now));
            let Some((person, since, end)) = self.turn(rotation, now).filter(|_| applies) else {
                continue;
            };
            let why = format!(
                "turn in rotation {} of `{name}`, from {} to {}",
                nth + 1,
                Instant(since),
                Instant(end)
            );
            return self.answer(Some(person), why, until);
        }
        self.answer(
            None,
            format!("no rotation of `{name}` applies, so everybody is told"),
            until,
        )
    }

    fn answer(&self, person: Option<&str>, why: String, until: Option<Instant>) -> Oncall {
        let mut channels = Vec::new();
        let meant = self
            .schedule
            .people
            .iter()
            .filter(|one| person.is_none_or(|name| name == one.name));
        for channel in meant.flat_map(|person| &person.channels) {
            if !channels.contains(channel) {
                channels.push(channel.clone());
            }
        }
        Oncall {
            schedule: self.schedule.name.clone(),
            person: person.map(str::to_owned),
            channels,
            why,
            until,
        }
    }

    /// The channels that are told at `now`, and of whom.
    pub(crate) fn meant(&self, now: i64) -> Vec<Meant> {
        let Oncall {
            schedule,
            person,
            channels,
            ..
        } = self.who(now);
        let oncall = OnDuty { schedule, person };
        let of = |channel| Meant {
            channel,
            oncall: Some(oncall.clone()),
        };
        channels.into_iter().map(of).collect()
    }

    /// Whose turn it is in a rotation, since when and until when.
    fn turn<'a>(&self, rotation: &'a Rotation, now: i64) -> Option<(&'a str, i64, i64)> {
        let local = Timestamp::from_millisecond(now).ok()?.to_zoned(self.zone.clone());
        let mut day = local.date();
        if now < self.hand_over(rotation, day)? {
            day = day.yesterday().ok()?;
        }
        let days = (Unit::Day, day);
        let since_start = i64::from(rotation.starts_on.until(days).ok()?.get_days());
        if since_start < 0 {
            return None;
        }
        let every = i64::from(rotation.every_days);
        let turn = since_start / every;
        let person = usize::try_from(turn).ok()? % rotation.people.len();
        let begin = rotation.starts_on.checked_add((turn * every).days()).ok()?;
        let end = begin.checked_add(every.days()).ok()?;
        Some((
            &rotation.people[person],
            self.hand_over(rotation, begin)?,
            self.hand_over(rotation, end)?,
        ))
    }

    fn hand_over(&self, rotation: &Rotation, day: Date) -> Option<i64> {
        let moment = day.to_datetime(rotation.hand_over).to_zoned(self.zone.clone()).ok()?;
        Some(moment.timestamp().as_millisecond())
    }

    /// When somebody else may be on call.
    fn next_change(&self, now: i64) -> Option<i64> {
        let overrides = self.schedule.overrides.iter().flat_map(|one| [one.from.0, one.until.0]);
        let rotations = self.schedule.rotations.iter();
        let turns = rotations.clone().filter_map(|rotation| match self.turn(rotation, now) {
            Some((_, _, end)) => Some(end),
            None => self.hand_over(rotation, rotation.starts_on),
        });
        let hours = self
            .hours
            .iter()
            .flatten()
            .filter_map(|calendar| calendar.next_change(now));
        overrides.chain(turns).chain(hours).filter(|at| *at > now).min()
    }
}

#[cfg(test)]
mod tests;
