//! How columns stand in bytes: the directory of a batch, its streams, and the numbers in them.

pub(crate) mod layout;
pub(crate) mod read;
pub(crate) mod streams;
pub(crate) mod varint;
