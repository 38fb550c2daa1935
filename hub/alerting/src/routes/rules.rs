//! `/api/v1/rules`

use axum::{extract::State, http::StatusCode, response::IntoResponse};
use serde::{Serialize, Serializer, ser::Error as _};
use serde_json::{Map, Value};
use streamflow_model::{Role, Rule, RuleDraft, RuleError, RuleKind};
use streamflow_web::{ApiError, ApiResult, Data, Identity, Json, Page, PageQuery, Path, Query};

use super::{Rooms, editable};
use crate::{
    desk::no_rule,
    matchers::{refuse, wrong},
};

/// Fields of a rule that the hub writes. A `version` that is given must be the present one.
const READ_ONLY: [&str; 5] = ["id", "version", "created_at", "updated_at", "provisioned"];

/// A rule as it is answered: without fields that say nothing to its kind, and always have their defaults.
pub(super) struct RuleView(Rule);

impl Serialize for RuleView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let kind = self.0.draft.kind;
        let mut rule = serde_json::to_value(&self.0).map_err(S::Error::custom)?;
        if let Some(fields) = rule.as_object_mut() {
            if !kind.has_windows() {
                fields.remove("aggregate");
                fields.remove("window");
            }
            if kind != RuleKind::Threshold {
                fields.remove("condition");
                fields.remove("threshold");
            }
        }
        rule.serialize(serializer)
    }
}

/// Lists rules, oldest first
#[utoipa::path(get, path = "/api/v1/rules", tag = "rules", params(PageQuery), responses((status = 200, body = Page<Rule>)))]
pub(super) async fn list(
    State(rooms): State<Rooms>,
    identity: Identity,
    Query(query): Query<PageQuery>,
) -> ApiResult<Json<Page<RuleView>>> {
    identity.require(Role::Viewer)?;
    let limit = query.limit()?;
    let rules = rooms.handle.board.rules.borrow().clone();
    let after = query.cursor.unwrap_or_default();
    let page = rules
        .iter()
        .filter(|rule| rule.id > after)
        .take(limit + 1)
        .map(|rule| RuleView(rule.clone()))
        .collect();
    Ok(Json(Page::cut(page, limit, |rule: &RuleView| rule.0.id.clone())))
}

/// Makes a rule
#[utoipa::path(post, path = "/api/v1/rules", tag = "rules", request_body = RuleDraft,
    responses((status = 201, body = Data<Rule>), (status = 409, description = "The name is taken.")))]
pub(super) async fn create(
    State(rooms): State<Rooms>,
    identity: Identity,
    Json(draft): Json<RuleDraft>,
) -> ApiResult<impl IntoResponse> {
    identity.require(Role::Editor)?;
    check(&rooms, &draft).await?;
    let rule = rooms
        .handle
        .call(move |desk, now| desk.save_rule(None, draft, None, &identity.name, now))
        .await?;
    Ok((StatusCode::CREATED, Json(Data { data: RuleView(rule) })))
}

/// Reads a rule
#[utoipa::path(get, path = "/api/v1/rules/{id}", tag = "rules", params(("id" = String, Path)),
    responses((status = 200, body = Data<Rule>)))]
pub(super) async fn read(
    State(rooms): State<Rooms>,
    identity: Identity,
    Path(id): Path<String>,
) -> ApiResult<Json<Data<RuleView>>> {
    identity.require(Role::Viewer)?;
    Ok(Json(Data {
        data: RuleView(find(&rooms, &id)?),
    }))
}

/// Replaces a rule
///
/// Fields that are left out get their defaults. With `version`, it must be the present one.
#[utoipa::path(put, path = "/api/v1/rules/{id}", tag = "rules", params(("id" = String, Path)), request_body = RuleDraft,
    responses((status = 200, body = Data<Rule>), (status = 409, description = "The name is taken, or the rule has changed.")))]
pub(super) async fn replace(
    State(rooms): State<Rooms>,
    identity: Identity,
    Path(id): Path<String>,
    Json(body): Json<Map<String, Value>>,
) -> ApiResult<Json<Data<RuleView>>> {
    save(&rooms, identity, id, body).await
}

/// Changes some fields of a rule
#[utoipa::path(patch, path = "/api/v1/rules/{id}", tag = "rules", params(("id" = String, Path)), request_body = Object,
    responses((status = 200, body = Data<Rule>), (status = 409, description = "The name is taken, or the rule has changed.")))]
pub(super) async fn change(
    State(rooms): State<Rooms>,
    identity: Identity,
    Path(id): Path<String>,
    Json(fields): Json<Map<String, Value>>,
) -> ApiResult<Json<Data<RuleView>>> {
    identity.require(Role::Editor)?;
    let Value::Object(mut body) = serde_json::to_value(find(&rooms, &id)?).map_err(ApiError::internal)? else {
        return Err(ApiError::internal("a rule is not an object"));
    };
    body.extend(fields);
    save(&rooms, identity, id, body).await
}

/// Removes a rule; its open alerts are resolved
#[utoipa::path(delete, path = "/api/v1/rules/{id}", tag = "rules", params(("id" = String, Path)), responses((status = 204)))]
pub(super) async fn remove(
    State(rooms): State<Rooms>,
    identity: Identity,
    Path(id): Path<String>,
) -> ApiResult<StatusCode> {
    identity.require(Role::Editor)?;
    own(&rooms, &id)?;
    rooms
        .handle
        .call(move |desk, now| desk.delete_rule(&id, &identity.name, now))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn save(
    rooms: &Rooms,
    identity: Identity,
    id: String,
    body: Map<String, Value>,
) -> ApiResult<Json<Data<RuleView>>> {
    identity.require(Role::Editor)?;
    own(rooms, &id)?;
    let version = body.get("version").and_then(Value::as_i64);
    let draft: RuleDraft = editable(body, &READ_ONLY)?;
    check(rooms, &draft).await?;
    let work = move |desk: &mut crate::desk::Desk, now| desk.save_rule(Some(&id), draft, version, &identity.name, now);
    Ok(Json(Data {
        data: RuleView(rooms.handle.call(work).await?),
    }))
}

fn find(rooms: &Rooms, id: &str) -> ApiResult<Rule> {
    let board = &rooms.handle.board;
    let rules = board.rules.borrow();
    let mut all = rules.iter().chain(&board.builtin);
    let found = all.find(|rule| rule.id == id).cloned();
    found.ok_or_else(|| no_rule(id))
}

/// Refuses to change a rule that nobody has written.
fn own(rooms: &Rooms, id: &str) -> ApiResult<()> {
    if rooms.handle.board.builtin.iter().any(|rule| rule.id == id) {
        let message = "this rule is built in; the section [self] of hub.toml changes it or switches it off";
        return Err(ApiError::conflict(message));
    }
    Ok(())
}

/// Everything that is wrong with a rule, at once.
async fn check(rooms: &Rooms, draft: &RuleDraft) -> ApiResult<()> {
    let mut errors = draft.compile().err().unwrap_or_default();
    if let (RuleKind::Plugin, Some(plugin)) = (draft.kind, &draft.plugin) {
        let problems = rooms.sender.check_rule(plugin, &draft.config).await;
        errors.extend(problems.into_iter().map(|problem| wrong(problem.field, problem.reason)));
    }
    let (channels, policy) = (draft.channels.clone(), draft.escalation.clone());
    let work = move |desk: &mut crate::desk::Desk, _| {
        let register = desk.book.register();
        let unknown = channels.iter().filter_map(|name| register.knows_target(name).err());
        let mut found: Vec<RuleError> = unknown.map(|reason| wrong("channels", reason)).collect();
        if let Some(name) = policy.filter(|name| !register.escalations().contains_key(name)) {
            let reason = format!("there is no escalation policy called `{name}`");
            found.push(wrong("escalation", reason));
        }
        Ok(found)
    };
    errors.extend(rooms.handle.call(work).await?);
    if errors.is_empty() {
        return Ok(());
    }
    Err(refuse("the rule", &errors))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rule_is_answered_without_what_says_nothing_to_its_kind() {
        let has = |draft: Value| -> Vec<bool> {
            let rule = crate::sample::rule(draft);
            let answer = serde_json::to_value(RuleView(rule)).unwrap();
            let fields = ["name", "aggregate", "window", "condition", "threshold"];
            fields.iter().map(|field| answer.get(field).is_some()).collect()
        };
        assert_eq!(has(json!({})), [true; 5]);
        assert_eq!(has(json!({"kind": "anomaly"})), [true, true, true, false, false]);
        assert_eq!(has(json!({"kind": "absence"})), [true, false, false, false, false]);
        assert_eq!(has(json!({"kind": "plugin"})), [true, false, false, false, false]);
    }
}
