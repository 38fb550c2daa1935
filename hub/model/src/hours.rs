//! Recurring times in a time zone: maintenance windows, and the hours of channels.

use jiff::civil::{Date, Time};
use serde::{Deserialize, Serialize};

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

/// From one time of a day to another, on some days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HoursSpan {
    /// Days on which it begins; none = all.
    #[serde(default)]
    pub days: Vec<Day>,
    /// Days of the month on which it begins, from 1, or from the end, from -1; none = all.
    #[serde(default)]
    pub days_of_month: Vec<i8>,
    /// Months, 1 to 12; none = all.
    #[serde(default)]
    pub months: Vec<i8>,
    /// It begins at this time of the day.
    #[schema(value_type = String, example = "22:00")]
    pub from: Time,
    /// It ends at this time, of the next day when that is not after `from`.
    #[schema(value_type = String, example = "06:00")]
    pub to: Time,
}

/// Recurring times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// IANA name, such as `Europe/Vienna`.
    #[serde(default = "utc")]
    #[schema(example = "Europe/Vienna")]
    pub time_zone: String,
    /// Any of them.
    pub spans: Vec<HoursSpan>,
    /// Days on which none of them begins, such as holidays.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub except: Vec<Date>,
}

fn utc() -> String {
    "UTC".to_owned()
}
