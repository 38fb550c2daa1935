//! The OpenAPI document: what all routes share is added here, so that no route can forget it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Components, OpenApi, RefOr, Response, ResponseBuilder, Schema, SecurityRequirement,
        path::{Operation, PathItem},
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};

use crate::{auth::OPEN, error::ErrorBody};

/// Adds what all routes share to a document of some routes: title, bearer authentication, the error answers.
pub fn complete(api: &mut OpenApi) {
    "StreamFlow".clone_into(&mut api.info.title);
    env!("CARGO_PKG_VERSION").clone_into(&mut api.info.version);
    api.info.description = Some("Telemetry: events in, alerts and live charts out.".to_owned());
    api.info.license = None;
    api.info.contact = None;
    let components = api.components.get_or_insert_with(Components::default);
    let bearer = Http::builder()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("Access token, or API token `sfp_…`."))
        .build();
    components
        .security_schemes
        .insert("bearer".to_owned(), RefOr::T(SecurityScheme::Http(bearer)));
    components
        .schemas
        .insert(ErrorBody::name().into_owned(), ErrorBody::schema());
    open_parts(&mut components.schemas);
    for (path, item) in &mut api.paths.paths {
        for (method, operation) in operations(item) {
            operation.operation_id = Some(operation_id(method, path));
            if !OPEN.contains(&path.as_str()) {
                operation.security = Some(vec![SecurityRequirement::new::<_, _, String>("bearer", [])]);
            }
            let error = RefOr::T(error_response());
            operation.responses.responses.insert("default".to_owned(), error);
        }
    }
}

/// A closed object (`deny_unknown_fields`) that is part of a larger one (`flatten`) would refuse the larger one's own fields.
fn open_parts(schemas: &mut BTreeMap<String, RefOr<Schema>>) {
    let mut parts = Vec::new();
    for schema in schemas.values() {
        let RefOr::T(Schema::AllOf(whole)) = schema else {
            continue;
        };
        let names = whole.items.iter().filter_map(|item| match item {
            RefOr::Ref(part) => part.ref_location.rsplit('/').next(),
            RefOr::T(_) => None,
        });
        parts.extend(names.map(str::to_owned));
    }
    for name in parts {
        if let Some(RefOr::T(Schema::Object(part))) = schemas.get_mut(&name) {
            part.additional_properties = None;
        }
    }
}

/// `get_api_v1_rules_id`: handlers' own names, such as `list`, repeat from room to room, and these must not.
fn operation_id(method: &str, path: &str) -> String {
    let words = path
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    std::iter::once(method).chain(words).collect::<Vec<_>>().join("_")
}

fn error_response() -> Response {
    let schema = utoipa::openapi::Ref::from_schema_name(ErrorBody::name());
    let content = utoipa::openapi::Content::new(Some(schema));
    ResponseBuilder::new()
        .description("Any failure.")
        .content("application/json", content)
        .build()
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let verbs = [
        ("get", &mut item.get),
        ("put", &mut item.put),
        ("post", &mut item.post),
        ("delete", &mut item.delete),
        ("patch", &mut item.patch),
        ("head", &mut item.head),
    ];
    verbs
        .into_iter()
        .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// The document as it is answered.
pub(crate) fn document(api: &OpenApi) -> Value {
    serde_json::to_value(api).unwrap_or_else(|e| json!({"error": e.to_string()}))
}
