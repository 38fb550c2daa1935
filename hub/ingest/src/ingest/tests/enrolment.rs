//! Tokens, certificates and the allow-list.

use std::sync::Arc;

use rcgen::KeyPair;
use streamflow_model::{Instant, Role, Span};
use streamflow_proto::wire::{RefusalCode, RenewRequest, ToAgent, ToHub, close};

use super::{
    Hub,
    agent::{Agent, Credentials, authority, enroll, frame, token_request, try_enroll},
    http, until,
};
use crate::{enroll, pki::Pki};

#[tokio::test]
async fn a_token_works_once_and_the_certificate_is_the_agents_own() {
    let hub = Hub::start().await;
    let token = enroll::create_token(&*hub.store, &hub.dir, Span::from_secs(60))
        .await
        .unwrap();
    let key = KeyPair::generate().unwrap();
    let enrolled = try_enroll(&hub, token_request(&token, &key)).await.unwrap();
    assert_ne!(
        enrolled.agent_id, "00000000-0000-0000-0000-000000000001",
        "names in the request are not believed"
    );
    assert_eq!(
        crate::pki::agent_id(&enrolled.chain_der[0].clone().into()),
        Some(enrolled.agent_id)
    );
    let again = try_enroll(&hub, token_request(&token, &key)).await.unwrap_err();
    assert_eq!(again.code, RefusalCode::UsedToken);
    hub.stop().await;
}

#[tokio::test]
async fn wrong_and_expired_tokens_and_broken_requests_are_refused() {
    let hub = Hub::start().await;
    let key = KeyPair::generate().unwrap();
    let token = enroll::create_token(&*hub.store, &hub.dir, Span::from_secs(60))
        .await
        .unwrap();
    let good = token_request(&token, &key);

    let mut wrong = good.clone();
    wrong.secret = "00".repeat(32);
    assert_eq!(
        try_enroll(&hub, wrong).await.unwrap_err().code,
        RefusalCode::UnknownToken
    );
    let mut unknown = good.clone();
    unknown.token_id = "nobody".to_owned();
    assert_eq!(
        try_enroll(&hub, unknown).await.unwrap_err().code,
        RefusalCode::UnknownToken
    );
    let mut broken = good.clone();
    broken.csr_der.pop();
    assert_eq!(
        try_enroll(&hub, broken).await.unwrap_err().code,
        RefusalCode::BadRequest
    );

    let pki = Pki::load_or_create(&hub.dir, 0).unwrap();
    let late = Instant(Instant::now().0 + 61_000);
    let expired = enroll::enroll(&*hub.store, &pki, &good, Span::from_secs(60), late)
        .await
        .unwrap_err();
    assert_eq!(expired.code, RefusalCode::ExpiredToken);
    assert!(try_enroll(&hub, good).await.is_ok(), "refusals do not use the token up");
    hub.stop().await;
}

#[tokio::test]
async fn of_fifty_enrolments_with_one_token_exactly_one_wins() {
    let hub = Hub::start().await;
    let token = enroll::create_token(&*hub.store, &hub.dir, Span::from_secs(60))
        .await
        .unwrap();
    let pki = Arc::new(Pki::load_or_create(&hub.dir, 0).unwrap());
    let request = Arc::new(token_request(&token, &KeyPair::generate().unwrap()));
    let mut race = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (store, pki, request) = (Arc::clone(&hub.store), Arc::clone(&pki), Arc::clone(&request));
        race.spawn(async move { enroll::enroll(&*store, &pki, &request, Span::from_secs(60), Instant::now()).await });
    }
    let results = race.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(
        results
            .iter()
            .filter_map(|result| result.as_ref().err())
            .all(|refused| refused.code == RefusalCode::UsedToken)
    );
    assert_eq!(hub.store.docs(enroll::AGENTS, None, 100).await.unwrap().len(), 1);
    hub.stop().await;
}

#[tokio::test]
async fn strangers_get_nowhere() {
    let hub = Hub::start().await;
    let mine = authority(&hub);

    let mut nobody = Agent::dial(hub.quic, &mine, None).await.unwrap();
    nobody.hello(1).await;
    assert_eq!(nobody.close_code().await, u64::from(close::PROTOCOL));

    let elsewhere = tempfile::tempdir().unwrap();
    let other = Pki::load_or_create(elsewhere.path(), Instant::now().0).unwrap();
    let key = KeyPair::generate().unwrap();
    let credentials = |pki: &Pki, ttl: i64, now: i64| {
        let csr = token_request(&format!("sf1.a.{0}.{0}", "00".repeat(32)), &key).csr_der;
        let id = uuid::Uuid::from_u128(7).to_string();
        let leaf = pki.agent(&csr, &id, Span::from_ms(ttl), now).unwrap();
        let chain = vec![leaf];
        Credentials {
            id,
            ca: mine.clone(),
            chain,
            key: rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        }
    };
    let now = Instant::now().0;
    let own = Pki::load_or_create(&hub.dir, now).unwrap();
    for (what, strange) in [
        ("another authority", credentials(&other, 60_000, now)),
        ("expired", credentials(&own, 60_000, now - 3_600_000)),
        ("not yet valid", credentials(&own, 60_000, now + 7_200_000)),
    ] {
        // with TLS 1.3 the client may believe for a moment that it is connected
        if let Ok(mut agent) = Agent::dial(hub.quic, &mine, Some(&strange)).await {
            let hello = streamflow_proto::wire::encode(&ToHub::Heartbeat(Default::default())).unwrap();
            drop(agent.send.write_all(&hello).await);
            assert!(agent.hear().await.is_err(), "{what}");
        }
    }
    // signed by the right authority, but nobody enrolled it
    let unlisted = credentials(&own, 60_000, now);
    let agent = Agent::dial(hub.quic, &mine, Some(&unlisted)).await.unwrap();
    assert_eq!(agent.close_code().await, u64::from(close::FORBIDDEN));
    assert_eq!(hub.count().await, 0);
    hub.stop().await;
}

#[tokio::test]
async fn a_revoked_agent_is_cut_and_stays_out_and_others_go_on() {
    let hub = Hub::start().await;
    let (bad, good) = (enroll(&hub).await, enroll(&hub).await);
    let (bad_agent, _) = Agent::open(&hub, &bad, 1).await;
    let (mut good_agent, _) = Agent::open(&hub, &good, 1).await;
    let (status, _) = http::call(
        hub.as_role(Role::Editor),
        "POST",
        &format!("/api/v1/agents/{}/revoke", bad.id),
        &[],
        "",
    )
    .await;
    assert_eq!(status, 403);
    let (status, _) = http::call(
        hub.as_role(Role::Admin),
        "POST",
        &format!("/api/v1/agents/{}/revoke", bad.id),
        &[],
        "",
    )
    .await;
    assert_eq!(status, 204);
    assert_eq!(bad_agent.close_code().await, u64::from(close::FORBIDDEN));
    let again = Agent::dial(hub.quic, &bad.ca, Some(&bad)).await.unwrap();
    assert_eq!(again.close_code().await, u64::from(close::FORBIDDEN));
    good_agent.write(frame(1, [1]).bytes()).await;
    good_agent.acked(1).await;

    // another process takes an agent off the list by writing to the store alone
    assert!(crate::agents::revoke(&*hub.store, &good.id).await.unwrap());
    assert_eq!(good_agent.close_code().await, u64::from(close::FORBIDDEN));
    assert!(!crate::agents::revoke(&*hub.store, "nobody").await.unwrap());
    let (_, listed) = http::call(hub.as_role(Role::Viewer), "GET", "/api/v1/agents?limit=1", &[], "").await;
    assert_eq!(
        (
            listed["data"][0]["revoked"].as_bool(),
            listed["pagination"]["has_next"].as_bool()
        ),
        (Some(true), Some(true))
    );
    hub.stop().await;
}

#[tokio::test]
async fn a_certificate_is_renewed_over_the_connection_that_it_secures() {
    let hub = Hub::start().await;
    let credentials = enroll(&hub).await;
    let (mut agent, _) = Agent::open(&hub, &credentials, 1).await;
    let key = KeyPair::generate().unwrap();
    let csr_der = token_request(&format!("sf1.a.{0}.{0}", "00".repeat(32)), &key).csr_der;
    agent.say(&ToHub::Renew(RenewRequest { csr_der })).await;
    let ToAgent::Enrolled(enrolled) = agent.hear().await.unwrap() else {
        panic!("not renewed")
    };
    let renewed = Credentials::new(&key, enrolled);
    assert_eq!(renewed.id, credentials.id);
    let (mut again, _) = Agent::open(&hub, &renewed, 1).await;
    assert_eq!(
        agent.close_code().await,
        u64::from(close::REPLACED),
        "one connection per agent"
    );
    again.write(frame(1, [1]).bytes()).await;
    again.acked(1).await;
    until("one agent is connected", async || {
        hub.handle.agents().iter().filter(|agent| agent.connected).count() == 1
    })
    .await;
    hub.stop().await;
}

#[tokio::test]
async fn admins_make_tokens_over_http() {
    let hub = Hub::start().await;
    let json = [("content-type", "application/json")];
    let (status, body) = http::call(
        hub.as_role(Role::Admin),
        "POST",
        "/api/v1/agents/tokens",
        &json,
        r#"{"ttl":"10m"}"#,
    )
    .await;
    assert_eq!(status, 201);
    let key = KeyPair::generate().unwrap();
    assert!(
        try_enroll(&hub, token_request(body["data"]["token"].as_str().unwrap(), &key))
            .await
            .is_ok()
    );
    let (status, _) = http::call(
        hub.as_role(Role::Admin),
        "POST",
        "/api/v1/agents/tokens",
        &json,
        r#"{"ttl":"90d"}"#,
    )
    .await;
    assert_eq!(status, 400);
    let (status, _) = http::call(hub.as_role(Role::Editor), "POST", "/api/v1/agents/tokens", &json, "{}").await;
    assert_eq!(status, 403);
    let stored = serde_json::to_string(&hub.store.docs(enroll::TOKENS, None, 10).await.unwrap()[0].body).unwrap();
    assert!(
        !stored.contains(body["data"]["token"].as_str().unwrap().split('.').nth(2).unwrap()),
        "the secret is not stored"
    );
    hub.stop().await;
}
