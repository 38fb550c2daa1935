//! Adds the selected rows of a batch to their groups, column by column.

use crate::{
    aggregate::{Accumulator, AggregateSpec, Func, distinct::Distinct, frequent::Hashed},
    batch::{DecodeError, Dict},
    bitmap::Bitmap,
    filter::Columns,
};

/// Adds each selected row to `accumulators[groups[row]]`. Rows without the attribute add nothing.
///
/// # Errors
/// When a column does not decode; nothing has been added then.
pub fn fold(
    spec: &AggregateSpec,
    columns: &mut Columns<'_>,
    rows: &Bitmap,
    groups: &[u32],
    accumulators: &mut [Accumulator],
) -> Result<(), DecodeError> {
    let Some(path) = &spec.path else {
        for row in rows.iter_ones() {
            accumulators[groups[row] as usize].add_events(1);
        }
        return Ok(());
    };
    if spec.func == Func::Distinct {
        let Some(dict) = columns.labels(path)? else {
            return Ok(());
        };
        let coupons: Vec<_> = dict.values.iter().map(|value| Distinct::coupon(value)).collect();
        for row in rows.iter_ones() {
            let id = dict.ids[row];
            if id != Dict::ABSENT {
                accumulators[groups[row] as usize].add_coupon(coupons[id as usize]);
            }
        }
        return Ok(());
    }
    if let Func::TopK(_) = spec.func {
        let Some(dict) = columns.labels(path)? else {
            return Ok(());
        };
        let hashed: Vec<_> = dict.values.iter().map(|value| Hashed::new(value)).collect();
        for row in rows.iter_ones() {
            let id = dict.ids[row];
            if id != Dict::ABSENT {
                accumulators[groups[row] as usize].add_value(&hashed[id as usize]);
            }
        }
        return Ok(());
    }
    let Some(numbers) = columns.numbers(path)? else {
        return Ok(());
    };
    let times = if matches!(spec.func, Func::First | Func::Last) {
        Some(columns.timestamps()?)
    } else {
        None
    };
    for row in rows.iter_ones() {
        if numbers.present.get(row) {
            let at = times.as_ref().map_or(0, |times| times[row]);
            accumulators[groups[row] as usize].add_number(at, numbers.values[row]);
        }
    }
    Ok(())
}
