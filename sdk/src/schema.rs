//! The JSON schema of a plugin's configuration, derived from the struct that it is read into.
//!
//! ```
//! use streamflow_sdk::{Schema, export_schema};
//!
//! #[derive(serde::Deserialize, Schema)]
//! #[serde(deny_unknown_fields)]
//! struct Config {
//!     /// An event above this raises an alert
//!     #[schema(minimum = 0)]
//!     threshold: f64,
//!     /// Minutes without one until it is over; 5 when absent
//!     #[schema(minimum = 1, maximum = 1440, default = 5)]
//!     quiet_minutes: Option<u32>,
//! }
//!
//! export_schema!(Config);
//! # fn main() {}
//! ```
//! `plugin build` takes it out of the compiled module and writes it into the manifest, so that it costs the running plugin nothing: not a byte of memory,
//! not an instruction. The hub checks every configuration against it, and draws the form from it.

use std::collections::{BTreeMap, HashMap};

pub use streamflow_sdk_derive::Schema;

/// Longest schema, as JSON.
const MAX: usize = 16 << 10;

/// Text that is put together while the plugin is compiled. One that grows too long does not compile.
#[derive(Clone, Copy)]
pub struct Text {
    bytes: [u8; MAX],
    len: usize,
}

impl Text {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: [0; MAX],
            len: 0,
        }
    }

    /// With this text behind it.
    #[must_use]
    pub const fn push(self, text: &str) -> Self {
        self.append(text.as_bytes(), text.len())
    }

    /// With that text behind it.
    #[must_use]
    pub const fn join(self, text: &Self) -> Self {
        self.append(&text.bytes, text.len)
    }

    const fn append(mut self, bytes: &[u8], len: usize) -> Self {
        assert!(
            self.len + len <= MAX,
            "the schema of the configuration is longer than 16 KiB"
        );
        let mut at = 0;
        while at < len {
            self.bytes[self.len + at] = bytes[at];
            at += 1;
        }
        self.len += len;
        self
    }

    /// Its length in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Nothing in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Its first `N` bytes.
    #[must_use]
    pub const fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        let mut at = 0;
        while at < N {
            bytes[at] = self.bytes[at];
            at += 1;
        }
        bytes
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.bytes[..self.len]))
    }
}

/// What has a JSON schema.
pub trait Schema {
    /// The members of the schema, without the braces around them; at least one.
    const BODY: Text;
}

/// The schema of a type as a JSON object.
#[must_use]
pub const fn object<S: Schema>() -> Text {
    Text::new().push("{").join(&S::BODY).push("}")
}

macro_rules! plain {
    ($($text:literal for $($kind:ty),+;)*) => {
        $($(impl Schema for $kind {
            const BODY: Text = Text::new().push($text);
        })+)*
    };
}

plain! {
    r#""type":"boolean""# for bool;
    r#""type":"string""# for String;
    r#""type":"string","minLength":1,"maxLength":1"# for char;
    r#""type":"number""# for f32, f64;
    r#""type":"integer","minimum":0,"maximum":255"# for u8;
    r#""type":"integer","minimum":0,"maximum":65535"# for u16;
    r#""type":"integer","minimum":0,"maximum":4294967295"# for u32;
    r#""type":"integer","minimum":0"# for u64, usize;
    r#""type":"integer","minimum":-128,"maximum":127"# for i8;
    r#""type":"integer","minimum":-32768,"maximum":32767"# for i16;
    r#""type":"integer","minimum":-2147483648,"maximum":2147483647"# for i32;
    r#""type":"integer""# for i64, isize;
    r#""type":"object""# for serde_json::Map<String, serde_json::Value>;
    r#""type":["object","array","string","number","boolean","null"]"# for serde_json::Value;
}

impl<S: Schema> Schema for Option<S> {
    const BODY: Text = S::BODY;
}

impl<S: Schema> Schema for Box<S> {
    const BODY: Text = S::BODY;
}

impl<S: Schema> Schema for Vec<S> {
    const BODY: Text = Text::new().push(r#""type":"array","items":{"#).join(&S::BODY).push("}");
}

impl<S: Schema> Schema for BTreeMap<String, S> {
    const BODY: Text = Text::new()
        .push(r#""type":"object","additionalProperties":{"#)
        .join(&S::BODY)
        .push("}");
}

impl<S: Schema> Schema for HashMap<String, S> {
    const BODY: Text = <BTreeMap<String, S> as Schema>::BODY;
}

/// Makes the schema of a type the schema of the plugin's configuration. Once per plugin, and then `plugin.toml` has no `[config.schema]`.
#[macro_export]
macro_rules! export_schema {
    ($config:ty) => {
        const _: () = {
            const TEXT: $crate::schema::Text = $crate::schema::object::<$config>();

            // A section that is read when the plugin is packed and is no part of what runs.
            #[cfg(target_family = "wasm")]
            #[used]
            #[unsafe(link_section = "streamflow:schema")]
            static SECTION: [u8; TEXT.len()] = TEXT.bytes();

            #[cfg(not(target_family = "wasm"))]
            const _: usize = TEXT.len();
        };
    };
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Deserialize, Schema)]
    #[serde(rename_all = "kebab-case")]
    enum Level {
        Low,
        VeryHigh,
        #[serde(rename = "top")]
        Highest,
    }

    /// The doc comment of the whole is not part of it.
    #[derive(Deserialize, Schema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Config {
        /// An event above this
        /// raises "an alert"
        #[schema(minimum = -1.5, exclusive_maximum = 1000)]
        threshold: f64,
        #[schema(minimum = 1, default = 5, title = "Quiet time")]
        quiet_minutes: Option<u32>,
        #[serde(default)]
        level: Option<Level>,
        #[serde(rename = "apiToken", alias = "token")]
        #[schema(secret, min_length = 8, pattern = "^[a-z\\d]+$")]
        token: String,
        #[serde(default = "Vec::new")]
        hosts: Vec<String>,
        #[serde(default)]
        limits: BTreeMap<String, Inner>,
        #[serde(skip)]
        own: bool,
    }

    #[derive(Deserialize, Schema, Default)]
    #[serde(default)]
    struct Inner {
        on: bool,
        r#type: i8,
    }

    export_schema!(Config);

    fn read(text: Text) -> Value {
        serde_json::from_str(&format!("{text:?}")).expect("JSON")
    }

    #[test]
    fn a_struct_becomes_the_schema_that_one_would_write() {
        let expected = json!({
            "type": "object", "additionalProperties": false, "required": ["threshold", "apiToken"],
            "properties": {
                "threshold": {"type": "number", "title": "Threshold", "description": "An event above this raises \"an alert\"", "minimum": -1.5, "exclusiveMaximum": 1000},
                "quiet_minutes": {"type": "integer", "minimum": 1, "maximum": 4_294_967_295_u32, "title": "Quiet time", "default": 5},
                "level": {"enum": ["low", "very-high", "top"], "title": "Level"},
                "apiToken": {"type": "string", "title": "Token", "writeOnly": true, "minLength": 8, "pattern": "^[a-z\\d]+$"},
                "hosts": {"type": "array", "items": {"type": "string"}, "title": "Hosts"},
                "limits": {"type": "object", "title": "Limits", "additionalProperties": {"type": "object", "properties": {
                    "on": {"type": "boolean", "title": "On"},
                    "type": {"type": "integer", "minimum": -128, "maximum": 127, "title": "Type"},
                }}},
            },
        });
        assert_eq!(read(object::<Config>()), expected);
    }

    #[test]
    fn the_bytes_of_the_section_are_the_text() {
        const TEXT: Text = object::<Level>();
        const BYTES: [u8; TEXT.len()] = TEXT.bytes();
        assert_eq!(BYTES, *br#"{"enum":["low","very-high","top"]}"#);
        assert!(Text::new().is_empty() && !TEXT.is_empty());
    }
}
