//! Columns that every batch writes in the same way, one behind the other without decoding a value: no value of theirs depends
//! on the one before it. What passed a door decodes, and a checksum guards it since; what is looked at here is that every
//! stream has as many values as stated, since a wrong number would shift the values of the batches behind.

use crate::{
    batch::{Batch, DecodeError},
    column::{
        layout::{Bounds, Encoding},
        varint::Reader,
    },
};

/// The streams of a column's parts.
pub(super) struct Joined<'a> {
    pub(super) encoding: Encoding,
    pub(super) bounds: Option<Bounds>,
    pub(super) streams: Vec<&'a [u8]>,
}

/// Integers and decimals; `None` when the parts are written in different ways or must be looked at one by one.
pub(super) fn numbers<'a>(parts: &[(&'a Batch, usize)]) -> Result<Option<Joined<'a>>, DecodeError> {
    let columns = || {
        parts
            .iter()
            .map(|(batch, column)| (*batch, &batch.layout().columns[*column]))
    };
    let Some(encoding) = columns().next().map(|(_, column)| column.place.encoding) else {
        return Ok(None);
    };
    let alike = columns().all(|(_, column)| column.place.encoding == encoding && column.bounds.is_some());
    if !alike || !matches!(encoding, Encoding::Varint | Encoding::Decimal(_)) {
        return Ok(None);
    }
    let mut streams = Vec::with_capacity(parts.len());
    for (batch, column) in columns() {
        let stream = batch.stream(column.place.stream)?;
        if values(stream) != column.present {
            return Err(DecodeError::Malformed("integers"));
        }
        streams.push(stream);
    }
    let bounds = columns().filter_map(|(_, column)| column.bounds).reduce(Bounds::merge);
    Ok(Some(Joined {
        encoding,
        bounds,
        streams,
    }))
}

/// How many varints a stream holds: each ends with the one byte of it that is below 128.
fn values(stream: &[u8]) -> usize {
    if stream.last().is_some_and(|last| *last >= 0x80) {
        return usize::MAX;
    }
    stream.iter().filter(|byte| **byte < 0x80).count()
}

/// Lengths and bytes of a column of long strings that no batch has a dictionary for; `None` otherwise.
pub(super) fn plain_texts<'a>(
    parts: &[(&'a Batch, usize)],
    long: usize,
    average: usize,
) -> Result<Option<[Vec<&'a [u8]>; 2]>, DecodeError> {
    let mut all = [Vec::with_capacity(parts.len()), Vec::with_capacity(parts.len())];
    let (mut rows, mut total) = (0, 0);
    for (batch, column) in parts {
        let column = &batch.layout().columns[*column];
        if column.place.encoding != Encoding::Plain || column.present < long {
            return Ok(None);
        }
        let [lengths, bytes] = [
            batch.stream(column.place.stream)?,
            batch.stream(column.place.stream + 1)?,
        ];
        let mut reader = Reader::new(lengths, "string lengths");
        let mut sum = 0u64;
        for _ in 0..column.present {
            sum += u64::from(reader.next_u32()?);
        }
        reader.end()?;
        if sum != bytes.len() as u64 {
            return Err(DecodeError::Malformed("string lengths"));
        }
        (rows, total) = (rows + column.present, total + bytes.len());
        all[0].push(lengths);
        all[1].push(bytes);
    }
    Ok((total > rows * average).then_some(all))
}
