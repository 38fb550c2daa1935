//! Batches that together have too many columns, written again with their objects as JSON text.

use super::EncodeError;
use crate::{
    batch::{Batch, DecodeError},
    bitmap::Bitmap,
    build::BatchBuilder,
};

/// The same events in batches without attribute columns.
pub(super) fn narrow(batches: &[&Batch]) -> Result<Vec<Batch>, EncodeError> {
    let mut builder = BatchBuilder::without_columns();
    let mut narrowed = Vec::new();
    for batch in batches {
        for event in batch.events(&Bitmap::new(batch.len(), true))? {
            if builder.is_full() {
                narrowed.push(finish(&mut builder)?);
            }
            builder
                .push_event(&event)
                .map_err(|_| DecodeError::Malformed("event"))?;
        }
    }
    narrowed.push(finish(&mut builder)?);
    Ok(narrowed)
}

fn finish(builder: &mut BatchBuilder) -> Result<Batch, DecodeError> {
    let batch = builder.view();
    *builder = BatchBuilder::without_columns();
    batch
}
