//! Ids for events that come without one: UUIDv7 whose random part counts up within a batch, so that a batch's ids
//! compress to almost nothing and sort as they were made.

use uuid::Uuid;

/// Makes ids.
#[derive(Debug)]
pub(super) struct Mint {
    /// 74 bits: those of a v7 that are not time, version or variant.
    tail: u128,
}

const TAIL_BITS: u32 = 74;

impl Mint {
    pub(super) fn new() -> Self {
        let mut mint = Self { tail: 0 };
        mint.reseed();
        mint
    }

    /// Starts anew from a random place, with room to count.
    pub(super) fn reseed(&mut self) {
        self.tail = Uuid::new_v4().as_u128() & ((1 << (TAIL_BITS - 1)) - 1);
    }

    /// An id of a time in milliseconds since 1970.
    pub(super) fn mint(&mut self, now_ms: i64) -> Uuid {
        self.tail += 1;
        let time = now_ms.clamp(0, (1 << 48) - 1) as u128;
        let (high, low) = (self.tail >> 62 & 0xfff, self.tail & ((1 << 62) - 1));
        Uuid::from_u128(time << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low)
    }
}

#[cfg(test)]
mod tests {
    use super::Mint;

    #[test]
    fn ids_are_v7_and_ascend() {
        let mut mint = Mint::new();
        let ids: Vec<_> = (0..1000).map(|ms| mint.mint(1_700_000_000_000 + ms / 10)).collect();
        assert!(ids.is_sorted());
        assert!(
            ids.iter()
                .all(|id| id.get_version_num() == 7 && id.get_variant() == uuid::Variant::RFC4122)
        );
        assert_eq!(ids[0].get_timestamp().map(|at| at.to_unix().0), Some(1_700_000_000));
    }
}
