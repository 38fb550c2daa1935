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
pub fn fold<A: AsMut<Accumulator>>(
    spec: &AggregateSpec,
    columns: &mut Columns<'_>,
    rows: &Bitmap,
    groups: &[u32],
    accumulators: &mut [A],
) -> Result<(), DecodeError> {
    let Some(path) = &spec.path else {
        for row in rows.iter_ones() {
            accumulators[groups[row] as usize].as_mut().add_events(1);
        }
        return Ok(());
    };
    if spec.func == Func::Distinct {
        let Some(dict) = columns.labels(path)? else {
            return Ok(());
        };
        // Each value once where most rows are added; of few rows only their own.
        let all = rows.count_ones() > dict.values.len();
        let known = if all { dict.values.as_slice() } else { &[] };
        let coupons: Vec<_> = known.iter().map(|value| Distinct::coupon(value)).collect();
        for row in rows.iter_ones() {
            let id = dict.ids[row];
            if id != Dict::ABSENT {
                let coupon = match coupons.get(id as usize) {
                    Some(coupon) => *coupon,
                    None => Distinct::coupon(&dict.values[id as usize]),
                };
                accumulators[groups[row] as usize].as_mut().add_coupon(coupon);
            }
        }
        return Ok(());
    }
    if let Func::TopK(_) = spec.func {
        let Some(dict) = columns.labels(path)? else {
            return Ok(());
        };
        let all = rows.count_ones() > dict.values.len();
        let known = if all { dict.values.as_slice() } else { &[] };
        let hashed: Vec<_> = known.iter().map(|value| Hashed::new(value)).collect();
        for row in rows.iter_ones() {
            let id = dict.ids[row];
            if id != Dict::ABSENT {
                let accumulator = accumulators[groups[row] as usize].as_mut();
                match hashed.get(id as usize) {
                    Some(value) => accumulator.add_value(value),
                    None => accumulator.add_value(&Hashed::new(&dict.values[id as usize])),
                }
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
            accumulators[groups[row] as usize]
                .as_mut()
                .add_number(at, numbers.values[row]);
        }
    }
    Ok(())
}
