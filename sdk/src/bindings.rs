//! What the interface in `wit/` looks like in Rust, generated; one module for each kind of plugin.

/// World `channel-plugin`.
pub mod channel {
    wit_bindgen::generate!({
        path: "../wit",
        world: "channel-plugin",
        pub_export_macro: true,
        default_bindings_module: "streamflow_sdk::bindings::channel",
    });
}

/// World `transform-plugin`; what it shares with channels is the same.
pub mod transform {
    wit_bindgen::generate!({
        path: "../wit",
        world: "transform-plugin",
        pub_export_macro: true,
        default_bindings_module: "streamflow_sdk::bindings::transform",
        with: {
            "streamflow:plugin/types@0.1.0": super::channel::streamflow::plugin::types,
            "streamflow:plugin/log@0.1.0": super::channel::streamflow::plugin::log,
        },
    });
}

/// World `rule-plugin`; what it shares with channels is the same.
pub mod rule {
    wit_bindgen::generate!({
        path: "../wit",
        world: "rule-plugin",
        pub_export_macro: true,
        default_bindings_module: "streamflow_sdk::bindings::rule",
        with: {
            "streamflow:plugin/types@0.1.0": super::channel::streamflow::plugin::types,
            "streamflow:plugin/log@0.1.0": super::channel::streamflow::plugin::log,
        },
    });
}
