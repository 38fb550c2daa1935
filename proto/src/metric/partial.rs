//! What a host counted of one batch, as events of that batch.
//!
//! A carrier is an event of the type [`PARTIALS`] behind the events that it counts: `data = {"series", "events", "state"}`. `state` is base64 of a format byte and one
//! packed window after the other. Every number in it is checked before it is used, since it comes from another machine.

use std::{collections::HashMap, rc::Rc, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD as BASE64};
use serde::{Deserialize, Serialize};

use super::{Ask, Gains};
use crate::{
    aggregate::Accumulator,
    batch::{Batch, DecodeError, Dict},
    bitmap::Bitmap,
    filter::Columns,
    frame::MAX_COUNT,
    path::Path,
};

/// Type of the events that carry partial windows.
pub const PARTIALS: &str = "streamflow.partials";
/// What packed windows look like; raised with every change of an aggregate's state, or of what goes into it.
pub const FORMAT: u8 = 1;
/// Most bytes of packed windows that one batch carries.
pub const MAX_CARRIED: usize = 96 << 10;
/// Packed bytes from which on a carrier is full; an event's `data` has at most 64 KiB as JSON.
const CARRIER_BYTES: usize = 20 << 10;

/// What one series gained in one window by the events of one batch.
#[derive(Debug, Clone)]
pub struct Partial {
    /// Begin of the window, ms.
    pub start: i64,
    /// Labels of the series.
    pub labels: Arc<[String]>,
    /// Events that were counted.
    pub events: u64,
    /// Earliest of them, event time ms.
    pub first: i64,
    /// Latest of them, event time ms.
    pub last: i64,
    /// What they add.
    pub gained: Accumulator,
}

#[derive(Serialize, Deserialize)]
struct Packed {
    start: i64,
    labels: Vec<String>,
    events: u32,
    first: i64,
    last: i64,
    gained: Accumulator,
}

/// One event to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carrier {
    /// Packed windows as text.
    pub state: String,
    /// Events that it counts.
    pub events: u64,
    /// Latest of them, event time ms.
    pub last: i64,
}

/// Why windows are not packed or not read.
#[derive(Debug, thiserror::Error)]
pub enum PartialError {
    /// Too many or too large.
    #[error("its windows and series of one batch take more than {MAX_CARRIED} bytes")]
    TooLarge,
    /// Another version.
    #[error("its windows have format {0}, here is {FORMAT}")]
    Format(u8),
    /// Not what was packed.
    #[error("its windows are damaged: {0}")]
    Damaged(&'static str),
    /// A sum that is no number.
    #[error("a sum is too large")]
    Overflow,
    /// A state that cannot be written.
    #[error("its windows do not encode: {0}")]
    Encode(#[from] bincode::error::EncodeError),
}

/// Packs what the rows of one batch gained, which went into empty gains.
///
/// # Errors
/// When it is too large to go with the batch, or holds a sum that is no number.
pub fn pack(gains: &mut Gains, rows: &Bitmap, times: &[i64]) -> Result<Vec<Carrier>, PartialError> {
    let mut seen = vec![(0_u32, i64::MAX, i64::MIN); gains.len()];
    for row in rows.iter_ones() {
        let entry = gains.slot_of(row).and_then(|slot| seen.get_mut(slot));
        if let (Some((events, first, last)), Some(at)) = (entry, times.get(row)) {
            *events += 1;
            *first = (*first).min(*at);
            *last = (*last).max(*at);
        }
    }
    let (mut carriers, mut total) = (Vec::new(), 0);
    let (mut bytes, mut counted, mut newest) = (vec![FORMAT], 0, i64::MIN);
    for (gain, (events, first, last)) in gains.take().zip(seen) {
        if gain.gained.overflowed() {
            return Err(PartialError::Overflow);
        }
        let packed = Packed {
            start: gain.start,
            labels: gain.labels.to_vec(),
            events,
            first,
            last,
            gained: gain.gained,
        };
        let before = bytes.len();
        bincode::serde::encode_into_std_write(&packed, &mut bytes, bincode::config::standard())?;
        total += bytes.len() - before;
        if total > MAX_CARRIED || bytes.len() - before > CARRIER_BYTES {
            return Err(PartialError::TooLarge);
        }
        counted += u64::from(events);
        newest = newest.max(last);
        if bytes.len() >= CARRIER_BYTES {
            carriers.push(carrier(&mut bytes, &mut counted, &mut newest));
        }
    }
    if bytes.len() > 1 {
        carriers.push(carrier(&mut bytes, &mut counted, &mut newest));
    }
    Ok(carriers)
}

fn carrier(bytes: &mut Vec<u8>, counted: &mut u64, newest: &mut i64) -> Carrier {
    let carrier = Carrier {
        state: BASE64.encode(&*bytes),
        events: std::mem::take(counted),
        last: std::mem::replace(newest, i64::MIN),
    };
    bytes.truncate(1);
    carrier
}

/// The windows that a carrier of a metric holds.
///
/// # Errors
/// When they are not windows of this metric, or claim what one batch cannot hold.
pub fn unpack(state: &str, ask: &Ask) -> Result<Vec<Partial>, PartialError> {
    let bytes = BASE64.decode(state).map_err(|_| PartialError::Damaged("base64"))?;
    let (format, mut rest) = bytes.split_first().ok_or(PartialError::Damaged("empty"))?;
    if *format != FORMAT {
        return Err(PartialError::Format(*format));
    }
    let config = bincode::config::standard().with_limit::<{ 4 * CARRIER_BYTES }>();
    let mut partials = Vec::new();
    while !rest.is_empty() {
        let (packed, read) = bincode::serde::decode_from_slice::<Packed, _>(rest, config)
            .map_err(|_| PartialError::Damaged("encoding"))?;
        rest = rest.get(read..).unwrap_or_default();
        partials.push(checked(packed, ask)?);
    }
    if partials.is_empty() {
        return Err(PartialError::Damaged("empty"));
    }
    Ok(partials)
}

fn checked(packed: Packed, ask: &Ask) -> Result<Partial, PartialError> {
    let end = packed.start.checked_add(ask.base);
    let in_window = packed.start <= packed.first
        && packed.first <= packed.last
        && end.is_some_and(|end| packed.last < end)
        && packed.start.rem_euclid(ask.base) == 0;
    if !in_window {
        return Err(PartialError::Damaged("times"));
    }
    if packed.labels.len() != ask.group_by.len() {
        return Err(PartialError::Damaged("labels"));
    }
    let times = (packed.first, packed.last);
    let sound = packed.gained.is_sound(&ask.aggregate, packed.events.into(), times);
    if packed.events == 0 || packed.events > MAX_COUNT || !sound {
        return Err(PartialError::Damaged("counts"));
    }
    Ok(Partial {
        start: packed.start,
        labels: packed.labels.into(),
        events: packed.events.into(),
        first: packed.first,
        last: packed.last,
        gained: packed.gained,
    })
}

/// The rows of a batch that carry partial windows and are no events of anybody; `None` when there are none.
///
/// # Errors
/// When a column does not decode.
pub fn carriers(batch: &Batch) -> Result<Option<Bitmap>, DecodeError> {
    if !batch.may_have_kind(PARTIALS)? {
        return Ok(None);
    }
    let Some(kinds) = batch.strings(&path(&["type"]))? else {
        return Ok(None);
    };
    let wanted = kinds.values.iter().position(|kind| kind == PARTIALS);
    let rows = Bitmap::from_fn(batch.len(), |row| {
        wanted.is_some_and(|wanted| kinds.ids.get(row).is_some_and(|id| *id as usize == wanted))
    });
    Ok((!rows.is_empty()).then_some(rows))
}

/// Of these carriers, the packed windows by series; they stand in the order of the rows.
///
/// # Errors
/// When a column does not decode.
pub fn carried(columns: &mut Columns<'_>, rows: &Bitmap) -> Result<HashMap<String, Vec<(usize, String)>>, DecodeError> {
    let series = columns.strings(&path(&["data", "series"]))?;
    let states = columns.strings(&path(&["data", "state"]))?;
    let mut found: HashMap<String, Vec<(usize, String)>> = HashMap::new();
    for row in rows.iter_ones() {
        let of = |dict: &Option<Rc<Dict>>| dict.as_ref()?.get(row).map(str::to_owned);
        if let (Some(series), Some(state)) = (of(&series), of(&states)) {
            found.entry(series).or_default().push((row, state));
        }
    }
    Ok(found)
}

fn path(segments: &[&str]) -> Path {
    Path::from_segments(segments.iter().map(|segment| (*segment).to_owned()).collect())
}
