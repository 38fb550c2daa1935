//! What stands in attributes: of serde, of `schema`, and doc comments.

use syn::{
    Attribute, Error, Expr, ExprLit, ExprUnary, Ident, Lit, LitStr, Meta, Result, Token, UnOp, meta::ParseNestedMeta,
    parenthesized, token::Paren,
};

use crate::{json, names};

/// What of serde's attributes changes how a configuration is written.
#[derive(Default)]
pub(crate) struct Serde {
    pub(crate) default: bool,
    pub(crate) deny_unknown_fields: bool,
    pub(crate) skip: bool,
    pub(crate) rename_all: Option<String>,
    rename: Option<String>,
}

impl Serde {
    pub(crate) fn read(attributes: &[Attribute]) -> Result<Self> {
        let mut found = Self::default();
        for attribute in attributes.iter().filter(|own| own.path().is_ident("serde")) {
            attribute.parse_nested_meta(|meta| found.take(&meta))?;
        }
        Ok(found)
    }

    fn take(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        if meta.path.is_ident("flatten") {
            return Err(meta.error("`flatten` has no schema: write the fields out"));
        }
        if meta.path.is_ident("rename") && meta.input.peek(Token![=]) {
            self.rename = Some(meta.value()?.parse::<LitStr>()?.value());
            return Ok(());
        }
        if meta.path.is_ident("rename_all") && meta.input.peek(Token![=]) {
            self.rename_all = Some(meta.value()?.parse::<LitStr>()?.value());
            return Ok(());
        }
        self.default |= meta.path.is_ident("default");
        self.deny_unknown_fields |= meta.path.is_ident("deny_unknown_fields");
        self.skip |= meta.path.is_ident("skip") || meta.path.is_ident("skip_deserializing");
        // Others do not change how it is written; their values are passed over.
        if meta.input.peek(Token![=]) {
            meta.value()?.parse::<Expr>()?;
        } else if meta.input.peek(Paren) {
            let content;
            parenthesized!(content in meta.input);
            content.parse::<proc_macro2::TokenStream>()?;
        }
        Ok(())
    }

    pub(crate) fn name_of_field(&self, ident: &Ident, all: Option<&str>) -> Result<String> {
        let plain = ident.to_string();
        let plain = plain.strip_prefix("r#").unwrap_or(&plain);
        self.name(ident, plain, all, names::field)
    }

    pub(crate) fn name_of_variant(&self, ident: &Ident, all: Option<&str>) -> Result<String> {
        self.name(ident, &ident.to_string(), all, names::variant)
    }

    fn name(
        &self,
        ident: &Ident,
        plain: &str,
        all: Option<&str>,
        by: fn(&str, &str) -> Option<String>,
    ) -> Result<String> {
        match (&self.rename, all) {
            (Some(name), _) => Ok(name.clone()),
            (None, None) => Ok(plain.to_owned()),
            (None, Some(style)) => by(plain, style)
                .ok_or_else(|| Error::new_spanned(ident, format!("rename_all = \"{style}\" is not a style of serde"))),
        }
    }
}

/// What `#[schema(…)]` says of a field.
#[derive(Default)]
pub(crate) struct Constraints {
    pub(crate) title: Option<String>,
    /// Members of the JSON schema.
    pub(crate) members: Vec<(&'static str, String)>,
}

/// Names in attributes and in JSON schemas, and whether the value is a number, a text, or either.
const MEMBERS: [(&str, &str, Value); 11] = [
    ("default", "default", Value::Any),
    ("minimum", "minimum", Value::Number),
    ("maximum", "maximum", Value::Number),
    ("exclusive_minimum", "exclusiveMinimum", Value::Number),
    ("exclusive_maximum", "exclusiveMaximum", Value::Number),
    ("min_length", "minLength", Value::Number),
    ("max_length", "maxLength", Value::Number),
    ("min_items", "minItems", Value::Number),
    ("max_items", "maxItems", Value::Number),
    ("pattern", "pattern", Value::Text),
    ("format", "format", Value::Text),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Value {
    Number,
    Text,
    Any,
}

impl Constraints {
    pub(crate) fn read(attributes: &[Attribute]) -> Result<Self> {
        let mut found = Self::default();
        for attribute in attributes.iter().filter(|own| own.path().is_ident("schema")) {
            attribute.parse_nested_meta(|meta| found.take(&meta))?;
        }
        Ok(found)
    }

    fn take(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        if meta.path.is_ident("secret") {
            self.members.push(("writeOnly", "true".to_owned()));
            return Ok(());
        }
        if meta.path.is_ident("title") {
            self.title = Some(meta.value()?.parse::<LitStr>()?.value());
            return Ok(());
        }
        let Some((_, name, kind)) = MEMBERS.iter().find(|(own, ..)| meta.path.is_ident(own)) else {
            let own = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
            let known: Vec<&str> = MEMBERS.iter().map(|(own, ..)| *own).collect();
            return Err(meta.error(format!("`{own}` is none of title, secret, {}", known.join(", "))));
        };
        let value: Expr = meta.value()?.parse()?;
        self.members.push((name, written(&value, *kind)?));
        Ok(())
    }
}

fn written(value: &Expr, kind: Value) -> Result<String> {
    let refuse = || {
        let wanted = match kind {
            Value::Number => "a number",
            Value::Text => "a text",
            Value::Any => "a number, a text, true or false",
        };
        Error::new_spanned(value, format!("here stands {wanted}"))
    };
    match value {
        Expr::Unary(ExprUnary {
            op: UnOp::Neg(_), expr, ..
        }) if kind != Value::Text => Ok(format!("-{}", written(expr, Value::Number)?)),
        Expr::Lit(ExprLit { lit, .. }) => match lit {
            Lit::Int(number) if kind != Value::Text => Ok(number.base10_digits().to_owned()),
            Lit::Float(number) if kind != Value::Text => Ok(number.base10_digits().to_owned()),
            Lit::Str(text) if kind != Value::Number => Ok(json(&text.value())),
            Lit::Bool(flag) if kind == Value::Any => Ok(flag.value.to_string()),
            _ => Err(refuse()),
        },
        _ => Err(refuse()),
    }
}

/// The doc comment in one line.
pub(crate) fn description(attributes: &[Attribute]) -> Option<String> {
    let line = |attribute: &Attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit {
                lit: Lit::Str(text), ..
            }) => Some(text.value().trim().to_owned()),
            _ => None,
        },
        _ => None,
    };
    let lines: Vec<String> = attributes
        .iter()
        .filter_map(line)
        .filter(|line| !line.is_empty())
        .collect();
    (!lines.is_empty()).then(|| lines.join(" "))
}
