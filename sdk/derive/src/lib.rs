//! `#[derive(Schema)]` of `streamflow-sdk`: the JSON schema of a configuration, from the struct that it is read into.
//!
//! The schema is made when the plugin is compiled, from the struct, its doc comments, serde's attributes and `#[schema(…)]`.

mod attributes;
mod names;

use attributes::{Constraints, Serde, description};
use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DataEnum, DeriveInput, Error, Field, Fields, Ident, Result, Type, parse_macro_input};

/// Implements `streamflow_sdk::schema::Schema` for a struct with named fields, or an enum without any.
///
/// A field's doc comment becomes its description. `#[schema(…)]` takes `title`, `default`, `minimum`, `maximum`, `exclusive_minimum`,
/// `exclusive_maximum`, `min_length`, `max_length`, `min_items`, `max_items`, `pattern`, `format`, and `secret`, with which the hub hides the value. A field
/// must be given unless it is an `Option` or serde has a default for it.
#[proc_macro_derive(Schema, attributes(schema, serde))]
pub fn schema(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

fn expand(input: &DeriveInput) -> Result<TokenStream> {
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(&input.generics, "a configuration has no parameters"));
    }
    let container = Serde::read(&input.attrs)?;
    let body = match &input.data {
        Data::Struct(data) => object(&data.fields, &container, &input.ident)?,
        Data::Enum(data) => choices(data, &container)?,
        Data::Union(_) => return Err(Error::new_spanned(&input.ident, "a union has no schema")),
    };
    let name = &input.ident;
    Ok(quote! {
        impl ::streamflow_sdk::schema::Schema for #name {
            const BODY: ::streamflow_sdk::schema::Text = ::streamflow_sdk::schema::Text::new() #body;
        }
    })
}

/// Calls that append to a text: the members of an object's schema.
fn object(fields: &Fields, container: &Serde, name: &Ident) -> Result<TokenStream> {
    let Fields::Named(named) = fields else {
        return Err(Error::new_spanned(
            name,
            "a configuration is a struct with named fields",
        ));
    };
    let closed = if container.deny_unknown_fields {
        "\"additionalProperties\":false,"
    } else {
        ""
    };
    let opening = format!("\"type\":\"object\",{closed}\"properties\":{{");
    let (mut calls, mut required, mut first) = (quote! { .push(#opening) }, Vec::new(), true);
    for field in &named.named {
        let serde = Serde::read(&field.attrs)?;
        if serde.skip {
            continue;
        }
        let Some(ident) = &field.ident else { continue };
        let key = serde.name_of_field(ident, container.rename_all.as_deref())?;
        let comma = if std::mem::take(&mut first) { "" } else { "," };
        let property = property(field, ident)?;
        let (kind, begin) = (&field.ty, format!("{comma}{}:{{", json(&key)));
        calls.extend(quote! { .push(#begin).join(&<#kind as ::streamflow_sdk::schema::Schema>::BODY).push(#property) });
        if !is_option(kind) && !serde.default && !container.default {
            required.push(json(&key));
        }
    }
    let end = if required.is_empty() {
        "}".to_owned()
    } else {
        format!("}},\"required\":[{}]", required.join(","))
    };
    calls.extend(quote! { .push(#end) });
    Ok(calls)
}

/// What stands behind the schema of a field's type, to the end of its braces.
fn property(field: &Field, ident: &Ident) -> Result<String> {
    let constraints = Constraints::read(&field.attrs)?;
    let mut text = String::new();
    let title = constraints.title.unwrap_or_else(|| names::title(&ident.to_string()));
    text.push_str(&format!(",\"title\":{}", json(&title)));
    if let Some(description) = description(&field.attrs) {
        text.push_str(&format!(",\"description\":{}", json(&description)));
    }
    for (key, value) in constraints.members {
        text.push_str(&format!(",\"{key}\":{value}"));
    }
    text.push('}');
    Ok(text)
}

fn choices(data: &DataEnum, container: &Serde) -> Result<TokenStream> {
    let mut names = Vec::with_capacity(data.variants.len());
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(Error::new_spanned(
                variant,
                "only variants without fields have a schema",
            ));
        }
        let serde = Serde::read(&variant.attrs)?;
        if !serde.skip {
            names.push(json(
                &serde.name_of_variant(&variant.ident, container.rename_all.as_deref())?,
            ));
        }
    }
    let text = format!("\"enum\":[{}]", names.join(","));
    Ok(quote! { .push(#text) })
}

fn is_option(kind: &Type) -> bool {
    let Type::Path(path) = kind else { return false };
    path.path.segments.last().is_some_and(|last| last.ident == "Option")
}

/// A text as JSON writes it.
fn json(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &str) -> String {
        expand(&syn::parse_str(code).unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn what_has_no_schema_is_refused_with_the_reason() {
        for (code, words) in [
            ("struct A<T> { a: T }", "parameters"),
            ("struct A(u8);", "named fields"),
            ("enum A { B(u8) }", "without fields"),
            ("union A { a: u8 }", "union"),
            ("struct A { #[serde(flatten)] a: B }", "flatten"),
            ("struct A { #[schema(most = 3)] a: u8 }", "most"),
            ("struct A { #[schema(minimum = x)] a: u8 }", "a number"),
            ("#[serde(rename_all = \"Title\")] struct A { a: u8 }", "rename_all"),
        ] {
            let reason = refused(code);
            assert!(reason.contains(words), "{code}: {reason}");
        }
    }

    #[test]
    fn texts_are_escaped() {
        assert_eq!(json("a\"\\\n\u{1}ü"), "\"a\\\"\\\\\\n\\u0001ü\"");
    }
}
