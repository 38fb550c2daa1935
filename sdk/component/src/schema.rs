//! A schema of the configuration that the plugin's code brings, in a custom section of the compiled module: into the manifest with it.

use serde_json::{Map, Value};
use toml::Table;

use crate::{Manifest, PackageError, sections::sections};

const SECTION: &str = "streamflow:schema";

/// The module without the section, and the manifest with what was in it. A module that has none is left alone, and so is its manifest.
pub(crate) fn take(module: &[u8], manifest: &str) -> Result<(Vec<u8>, String), PackageError> {
    let sections = sections(module).ok_or(PackageError::Cut)?;
    let mut kept = module.to_vec();
    let mut found = Vec::new();
    for (index, section) in sections.iter().enumerate().rev() {
        let Some((SECTION, data)) = section.custom else {
            continue;
        };
        let end = sections.get(index + 1).map_or(module.len(), |next| next.start);
        kept.drain(section.start..end);
        found.push(data);
    }
    let text = match found.as_slice() {
        [] => return Ok((kept, manifest.to_owned())),
        [one] => *one,
        _ => return Err(PackageError::Schema("the code exports more than one".to_owned())),
    };
    if !Manifest::parse(manifest)?.schema.is_empty() {
        let both = "both the code (export_schema!) and plugin.toml ([config.schema]) have one; remove one of them";
        return Err(PackageError::Schema(both.to_owned()));
    }
    let schema: Map<String, Value> =
        serde_json::from_slice(text).map_err(|error| PackageError::Schema(error.to_string()))?;
    Ok((kept, format!("{}\n\n{}", manifest.trim_end(), written(schema)?)))
}

/// As a part of a manifest.
fn written(schema: Map<String, Value>) -> Result<String, PackageError> {
    let refuse = |error: &dyn std::fmt::Display| PackageError::Schema(error.to_string());
    let schema = toml::Value::try_from(schema).map_err(|error| refuse(&error))?;
    let config = Table::from_iter([("schema".to_owned(), schema)]);
    let whole = Table::from_iter([("config".to_owned(), toml::Value::Table(config))]);
    toml::to_string(&whole).map_err(|error| refuse(&error))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wasm_encoder::CustomSection;

    use super::*;

    const MANIFEST: &str = "[plugin]\nname = \"a\"\nversion = \"1\"\nkind = \"rule\"\napi = \"0.1\"\n";

    fn module(schemas: &[&str]) -> Vec<u8> {
        let mut module = wat::parse_str("(module (func (export \"f\")))").unwrap();
        for text in schemas {
            use wasm_encoder::Section;
            CustomSection {
                name: SECTION.into(),
                data: text.as_bytes().into(),
            }
            .append_to(&mut module);
        }
        module
    }

    #[test]
    fn the_schema_goes_from_the_module_into_the_manifest() {
        // Of a member that is there twice the last one counts: what was written at the field.
        let text = r#"{"type":"object","required":["n"],"properties":{"n":{"type":"integer","minimum":0,"title":"N","minimum":1}}}"#;
        let (kept, manifest) = take(&module(&[text]), MANIFEST).unwrap();
        assert_eq!(kept, module(&[]));
        let schema = Manifest::parse(&manifest).unwrap().schema;
        let expected = json!({"type": "object", "required": ["n"], "properties": {"n": {"type": "integer", "minimum": 1, "title": "N"}}});
        assert_eq!(Value::Object(schema), expected);
    }

    #[test]
    fn without_one_everything_stays_as_it_is() {
        assert_eq!(
            take(&module(&[]), MANIFEST).unwrap(),
            (module(&[]), MANIFEST.to_owned())
        );
    }

    #[test]
    fn two_schemas_are_refused_wherever_they_stand() {
        let refused = |schemas: &[&str], manifest: &str, words: &str| {
            let error = take(&module(schemas), manifest).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        };
        refused(&["{}", "{}"], MANIFEST, "more than one");
        let own = format!("{MANIFEST}[config.schema]\ntype = \"object\"\n");
        refused(&["{}"], &own, "remove one");
        refused(&["nonsense"], MANIFEST, "schema of the configuration");
        refused(&["{\"default\":null}"], MANIFEST, "schema of the configuration");
    }
}
