//! A rule: the trait, what it is given, and what it answers.

mod alert;
pub mod glue;

use serde::{Serialize, de::DeserializeOwned};

use crate::Events;
pub use alert::Alert;

/// Looks at events and raises alerts. One instance serves one rule of a hub, one call at a time, and sees the log in order.
///
/// An instance lives for many calls, and can be replaced by a fresh one at any time: what must last belongs into the state, which is kept over
/// restarts, new versions and faults.
pub trait Rule: Sized {
    /// The rule's configuration. The hub checks it against the manifest's schema before.
    type Config: DeserializeOwned;
    /// What must last; `()` for none. At most 1 MiB as JSON. A later version reads what an earlier one wrote: give new fields
    /// `#[serde(default)]`.
    type State: Default + Serialize + DeserializeOwned;

    /// Makes an instance.
    ///
    /// # Errors
    /// What is wrong with the configuration, for the person who wrote it.
    fn init(config: Self::Config) -> Result<Self, String>;

    /// Looks at a part of the log. Alerts of one key are one incident: it may be raised again with every call, and people are told once.
    ///
    /// # Errors
    /// What went wrong, for the plugin's author; the hub counts and logs it, and goes on after these events.
    fn on_events(&mut self, events: &Events, state: &mut Self::State) -> Result<Vec<Alert>, String>;

    /// Time has passed: every `tick` of the manifest. `now_ms` is the events' time, ms since 1970, not the clock's, so that a replay gives the same
    /// answers.
    ///
    /// # Errors
    /// As for [`Rule::on_events`].
    fn on_tick(&mut self, now_ms: i64, state: &mut Self::State) -> Result<Vec<Alert>, String> {
        let _ = (now_ms, state);
        Ok(Vec::new())
    }
}

/// Makes a type that implements [`Rule`] the plugin's rule. Once per plugin.
#[macro_export]
macro_rules! export_rule {
    ($rule:ty) => {
        // The exported names are not ones that a native linker takes; there the macro only checks the trait.
        #[cfg(not(target_family = "wasm"))]
        const _: $crate::glue::Slot<$rule> = $crate::glue::empty::<$rule>();

        #[cfg(target_family = "wasm")]
        const _: () = {
            ::std::thread_local! {
                static RULE: $crate::glue::Slot<$rule> = const { $crate::glue::empty::<$rule>() };
            }

            struct Exported;

            impl $crate::bindings::rule::exports::streamflow::plugin::rule::Guest for Exported {
                fn init(
                    config: ::std::string::String,
                    state: ::std::option::Option<::std::vec::Vec<u8>>,
                ) -> ::std::result::Result<(), ::std::string::String> {
                    RULE.with(|slot| $crate::glue::init(slot, &config, state.as_deref()))
                }

                fn on_events(
                    events: $crate::glue::Batch,
                ) -> ::std::result::Result<::std::vec::Vec<$crate::glue::Alert>, ::std::string::String> {
                    RULE.with(|slot| $crate::glue::on_events(slot, events))
                }

                fn on_tick(
                    now: i64,
                ) -> ::std::result::Result<::std::vec::Vec<$crate::glue::Alert>, ::std::string::String> {
                    RULE.with(|slot| $crate::glue::on_tick(slot, now))
                }

                fn save() -> ::std::result::Result<::std::vec::Vec<u8>, ::std::string::String> {
                    RULE.with($crate::glue::save)
                }
            }

    $crate::bindings::rule::export!(Exported with_types_in $crate::bindings::rule);
        };
    };
}
