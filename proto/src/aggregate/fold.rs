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
    let pairs = || rows.iter_ones().map(move |row| (row, groups[row] as usize));
    add(spec, columns, rows.count_ones(), pairs, accumulators)
}

/// Adds each of these rows, `count` in all, to the accumulator whose number is beside it.
pub(super) fn add<A: AsMut<Accumulator>, P: Iterator<Item = (usize, usize)>>(
    spec: &AggregateSpec,
    columns: &mut Columns<'_>,
    count: usize,
    pairs: impl Fn() -> P,
    accumulators: &mut [A],
) -> Result<(), DecodeError> {
    let Some(path) = &spec.path else {
        for (_, group) in pairs() {
            accumulators[group].as_mut().add_events(1);
        }
        return Ok(());
    };
    if spec.func == Func::Distinct {
        let Some(dict) = columns.labels(path)? else {
            return Ok(());
        };
        // Each value once where most rows are added; of few rows only their own.
        let all = count > dict.values.len();
        let known = if all { dict.values.as_slice() } else { &[] };
        let coupons: Vec<_> = known.iter().map(|value| Distinct::coupon(value)).collect();
        for (row, group) in pairs() {
            let id = dict.ids[row];
            if id != Dict::ABSENT {
                let coupon = match coupons.get(id as usize) {
                    Some(coupon) => *coupon,
                    None => Distinct::coupon(&dict.values[id as usize]),
                };
                accumulators[group].as_mut().add_coupon(coupon);
            }
        }
        return Ok(());
    }
    if let Func::TopK(_) = spec.func {
        let Some(dict) = columns.labels(path)? else {
            return Ok(());
        };
        let all = count > dict.values.len();
        let known = if all { dict.values.as_slice() } else { &[] };
        let hashed: Vec<_> = known.iter().map(|value| Hashed::new(value)).collect();
        for (row, group) in pairs() {
            let id = dict.ids[row];
            if id != Dict::ABSENT {
                let accumulator = accumulators[group].as_mut();
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
    for (row, group) in pairs() {
        if numbers.present.get(row) {
            let at = times.as_ref().map_or(0, |times| times[row]);
            accumulators[group].as_mut().add_number(at, numbers.values[row]);
        }
    }
    Ok(())
}
