//! A transform: the trait, and what it answers.

pub mod glue;
mod output;
mod path;

use serde::de::DeserializeOwned;

use crate::Events;
pub use output::Output;
#[cfg(not(target_family = "wasm"))]
pub(crate) use output::bit;

/// Changes events before they leave the host on which they arose: drops some, sets fields, takes fields away.
///
/// One instance serves one processor of one agent, one call at a time. It can be replaced by a fresh one at any time and keeps nothing that must last.
pub trait Transform: Sized {
    /// The processor's configuration. It has been checked against the manifest's schema before.
    type Config: DeserializeOwned;

    /// Makes an instance.
    ///
    /// # Errors
    /// What is wrong with the configuration, for the person who wrote it.
    fn init(config: Self::Config) -> Result<Self, String>;

    /// Looks at events and says what becomes of them.
    ///
    /// # Errors
    /// What went wrong, for the plugin's author. What the agent then does with the events is what its configuration says.
    fn apply(&mut self, events: &Events) -> Result<Output, String>;
}

/// Makes a type that implements [`Transform`] the plugin's transform. Once per plugin.
#[macro_export]
macro_rules! export_transform {
    ($transform:ty) => {
        // The exported names are not ones that a native linker takes; there the macro only checks the trait.
        #[cfg(not(target_family = "wasm"))]
        const _: $crate::transform_glue::Slot<$transform> = $crate::transform_glue::empty::<$transform>();

        #[cfg(target_family = "wasm")]
        const _: () = {
            ::std::thread_local! {
                static TRANSFORM: $crate::transform_glue::Slot<$transform> =
                    const { $crate::transform_glue::empty::<$transform>() };
            }

            struct Exported;

            impl $crate::bindings::transform::exports::streamflow::plugin::transform::Guest for Exported {
                fn init(config: ::std::string::String) -> ::std::result::Result<(), ::std::string::String> {
                    TRANSFORM.with(|slot| $crate::transform_glue::init(slot, &config))
                }

                fn apply(
                    events: $crate::transform_glue::Batch,
                ) -> ::std::result::Result<$crate::transform_glue::Answer, ::std::string::String> {
                    TRANSFORM.with(|slot| $crate::transform_glue::apply(slot, events))
                }
            }

    $crate::bindings::transform::export!(Exported with_types_in $crate::bindings::transform);
        };
    };
}
