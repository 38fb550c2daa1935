//! What a rule answers.

use crate::rule::glue;

/// An incident begins, goes on, or is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// Which incident: alerts of one rule with the same key are one.
    pub key: String,
    /// One line.
    pub title: String,
    /// Some lines.
    pub body: String,
    /// The number behind it.
    pub value: Option<f64>,
    /// It is over.
    pub resolved: bool,
    /// Rows of the events that show why; the last one gives the alert its time.
    pub rows: Vec<u32>,
    /// Names and values, for routing and grouping.
    pub labels: Vec<(String, String)>,
}

impl Alert {
    /// An incident that begins or goes on.
    #[must_use]
    pub fn firing(key: impl Into<String>, title: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            title: title.into(),
            body: String::new(),
            value: None,
            resolved: false,
            rows: Vec::new(),
            labels: Vec::new(),
        }
    }

    /// An incident that is over; of one that is not open nobody hears.
    #[must_use]
    pub fn resolved(key: impl Into<String>, title: impl Into<String>) -> Self {
        Self {
            resolved: true,
            ..Self::firing(key, title)
        }
    }

    /// Sets the text below the title.
    #[must_use]
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the number behind it.
    #[must_use]
    pub const fn value(mut self, value: f64) -> Self {
        self.value = Some(value);
        self
    }

    /// Names a row that shows why.
    #[must_use]
    pub fn row(mut self, row: usize) -> Self {
        self.rows.push(u32::try_from(row).unwrap_or(u32::MAX));
        self
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.push((name.into(), value.into()));
        self
    }
}

impl From<Alert> for glue::Alert {
    fn from(alert: Alert) -> Self {
        Self {
            // The hub's rule has the level of its alerts.
            level: None,
            key: alert.key,
            title: alert.title,
            body: alert.body,
            value: alert.value,
            resolved: alert.resolved,
            rows: alert.rows,
            labels: alert.labels,
        }
    }
}
