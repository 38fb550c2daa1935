//! A notification channel: the trait, and the glue between it and the interface.

use std::{cell::RefCell, time::Duration};

use serde::de::DeserializeOwned;

pub use crate::bindings::channel::{
    exports::streamflow::plugin::channel::{Notice, State},
    streamflow::plugin::types::Level,
};
use crate::{bindings::channel::exports::streamflow::plugin::channel as wit, http, log};

/// Delivers notices somewhere. One instance serves one configured channel of a hub, one call at a time.
///
/// An instance lives for many calls, and can be replaced by a fresh one at any time: keep nothing in it that must last.
pub trait Channel: Sized {
    /// The channel's configuration. The hub checks it against the manifest's schema before.
    type Config: DeserializeOwned;

    /// Makes an instance.
    ///
    /// # Errors
    /// What is wrong with the configuration, for the person who wrote it.
    fn init(config: Self::Config) -> Result<Self, String>;

    /// Delivers one notice and answers the receiver's reference, such as a message id. `attempt` counts from 1.
    ///
    /// Delivery is at least once: after a lost answer the same notice comes again, with the same `idempotency_key`.
    ///
    /// # Errors
    /// Why it was not delivered, and whether another attempt makes sense.
    fn deliver(&mut self, notice: &Notice, attempt: u32) -> Result<String, Failure>;
}

/// Why a notice was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Worth another attempt: the receiver is busy, or out of reach.
    #[error("{reason}")]
    Transient {
        /// In words.
        reason: String,
        /// Not before this time, when the receiver said so.
        retry_after: Option<Duration>,
    },
    /// The same again would fail the same way.
    #[error("{0}")]
    Permanent(String),
}

impl From<http::Error> for Failure {
    fn from(error: http::Error) -> Self {
        match error {
            http::Error::Denied(_) | http::Error::Invalid(_) | http::Error::TooLarge => {
                Self::Permanent(error.to_string())
            }
            http::Error::Connect(_) | http::Error::Timeout | http::Error::Other(_) => Self::Transient {
                reason: error.to_string(),
                retry_after: None,
            },
        }
    }
}

/// Where [`export_channel!`] keeps the instance.
#[doc(hidden)]
pub type Slot<C> = RefCell<Option<C>>;

#[doc(hidden)]
#[must_use]
pub const fn empty_slot<C: Channel>() -> Slot<C> {
    RefCell::new(None)
}

#[doc(hidden)]
pub fn init<C: Channel>(slot: &Slot<C>, config: &str) -> Result<(), String> {
    log::panics_too();
    let config = serde_json::from_str(config).map_err(|error| format!("configuration: {error}"))?;
    slot.replace(Some(C::init(config)?));
    Ok(())
}

#[doc(hidden)]
pub fn deliver<C: Channel>(slot: &Slot<C>, notice: &Notice, attempt: u32) -> Result<String, wit::Failure> {
    let mut slot = slot.borrow_mut();
    let Some(channel) = slot.as_mut() else {
        return Err(wit::Failure::Permanent("deliver was called before init".to_owned()));
    };
    channel.deliver(notice, attempt).map_err(|failure| match failure {
        Failure::Transient { reason, retry_after } => {
            let ms = retry_after.map_or(0, |after| u32::try_from(after.as_millis()).unwrap_or(u32::MAX));
            wit::Failure::Transient((reason, ms))
        }
        Failure::Permanent(reason) => wit::Failure::Permanent(reason),
    })
}

/// Makes a type that implements [`Channel`] the plugin's channel. Once per plugin.
#[macro_export]
macro_rules! export_channel {
    ($channel:ty) => {
        // The exported names are not ones that a native linker takes; there the macro only checks the trait.
        #[cfg(not(target_family = "wasm"))]
        const _: $crate::Slot<$channel> = $crate::empty_slot();

        #[cfg(target_family = "wasm")]
        const _: () = {
            ::std::thread_local! {
                static CHANNEL: $crate::Slot<$channel> = const { $crate::empty_slot() };
            }

            struct Exported;

            impl $crate::bindings::channel::exports::streamflow::plugin::channel::Guest for Exported {
                fn init(config: ::std::string::String) -> ::std::result::Result<(), ::std::string::String> {
                    CHANNEL.with(|slot| $crate::init(slot, &config))
                }

                fn deliver(
                    notice: $crate::Notice,
                    attempt: u32,
                ) -> ::std::result::Result<
                    ::std::string::String,
                    $crate::bindings::channel::exports::streamflow::plugin::channel::Failure,
                > {
                    CHANNEL.with(|slot| $crate::deliver(slot, &notice, attempt))
                }
            }

    $crate::bindings::channel::export!(Exported with_types_in $crate::bindings::channel);
        };
    };
}
