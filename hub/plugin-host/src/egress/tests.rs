use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

use super::{Egress, EgressError, EgressOptions, Lookup, connect::system_lookup};
use crate::sandbox::target;

const LONG: Duration = Duration::from_secs(10);

fn request(url: &str) -> Request<Full<Bytes>> {
    Request::get(url).body(Full::default()).unwrap()
}

fn egress(allow: &[&str], lookup: Lookup) -> Egress {
    let allow = allow.iter().map(|text| (*text).to_owned()).collect();
    Egress::with_lookup(
        &EgressOptions {
            allow,
            ..EgressOptions::default()
        },
        lookup,
    )
    .unwrap()
}

/// Every name stands for these addresses, one list per question, the last list from then on.
fn names(answers: &'static [&'static [&'static str]]) -> Lookup {
    let asked = AtomicUsize::new(0);
    Arc::new(move |_| {
        let turn = asked.fetch_add(1, Ordering::Relaxed).min(answers.len() - 1);
        let found: Vec<IpAddr> = answers[turn].iter().map(|text| text.parse().unwrap()).collect();
        Box::pin(async move { Ok(found) })
    })
}

/// What is asked for, and what every name in it would resolve to.
const FORBIDDEN: [(&str, &[&str]); 46] = [
    // literal addresses
    ("http://127.0.0.1/", &[]),
    ("http://127.0.0.1:22/", &[]),
    ("http://127.1.2.3/", &[]),
    ("http://0.0.0.0/", &[]),
    ("http://10.0.0.1/", &[]),
    ("http://172.16.0.1/", &[]),
    ("http://192.168.1.1/", &[]),
    ("http://100.64.0.1/", &[]),
    ("http://100.100.100.200/", &[]),
    ("http://169.254.169.254/latest/meta-data/", &[]),
    ("http://168.63.129.16/", &[]),
    ("http://192.0.0.192/", &[]),
    ("http://198.18.0.1/", &[]),
    ("http://224.0.0.1/", &[]),
    ("http://255.255.255.255/", &[]),
    // the same in other spellings
    ("http://2130706433/", &[]),
    ("http://0x7f000001/", &[]),
    ("http://0x7f.0.0.1/", &[]),
    ("http://0177.0.0.1/", &[]),
    ("http://017700000001/", &[]),
    ("http://127.1/", &[]),
    ("http://127.0.0.1./", &[]),
    ("http://①②⑦.⓪.⓪.①/", &[]),
    ("http://0xa9fea9fe/", &[]),
    ("http://%31%32%37.0.0.1/", &[]),
    // IPv6
    ("http://[::1]/", &[]),
    ("http://[::]/", &[]),
    ("http://[::ffff:127.0.0.1]/", &[]),
    ("http://[::ffff:7f00:1]/", &[]),
    ("http://[::127.0.0.1]/", &[]),
    ("http://[64:ff9b::127.0.0.1]/", &[]),
    ("http://[2002:7f00:1::]/", &[]),
    ("http://[fe80::1]/", &[]),
    ("http://[fd00:ec2::254]/", &[]),
    ("http://[ff02::1]/", &[]),
    // names
    ("http://localhost/", &["127.0.0.1", "::1"]),
    ("http://LOCALHOST./", &["127.0.0.1"]),
    ("http://metadata.google.internal/", &["169.254.169.254"]),
    ("http://intranet.example.org/", &["10.0.0.7"]),
    ("http://mapped.example.org/", &["::ffff:10.0.0.7"]),
    ("http://nothing.example.org/", &[]),
    // tricks of the URL
    ("http://example.org@127.0.0.1/", &[]),
    ("http://example.org:80@169.254.169.254/", &[]),
    ("file:///etc/passwd", &[]),
    ("gopher://127.0.0.1:6379/_INFO", &[]),
    // a public target's other ports
    ("http://example.org:25/", &["93.184.216.34"]),
];

#[tokio::test]
async fn forbidden_targets_are_not_connected_to() {
    for (text, addresses) in FORBIDDEN {
        let Ok(url) = target(text) else { continue };
        let egress = egress(&[], names(Box::leak(Box::new([addresses]))));
        let outcome = egress.send(request(url.as_str()), LONG).await;
        let refused = match &outcome {
            Err(EgressError::Denied(_)) => true,
            Err(EgressError::Connect(reason)) => addresses.is_empty() && reason.ends_with("has no address"),
            _ => false,
        };
        assert!(refused, "{text}: {outcome:?}");
    }
}

#[tokio::test]
async fn tricks_of_the_url_are_refused_before_any_connection() {
    for text in [
        "http://a@b.example/",
        "http://:p@b.example/",
        "file:///etc/passwd",
        "ftp://a.example/",
        "http://",
        "//a.example",
        "a b",
    ] {
        assert!(target(text).is_err(), "{text}");
    }
    assert!(target(&format!("http://a.example/{}", "x".repeat(9000))).is_err());
}

#[tokio::test]
async fn a_name_that_changes_its_address_is_checked_at_each_connection() {
    let server = MockServer::start().await;
    Mock::given(path("/"))
        .respond_with(ResponseTemplate::new(200))
        .expect(0)
        .mount(&server)
        .await;
    let url = format!("http://rebind.example.org:{}/", server.address().port());
    // First a public address, refused here for its port; then loopback, where the server listens.
    let guarded = egress(&[], names(&[&["93.184.216.34"], &["127.0.0.1"]]));
    for _ in 0..3 {
        let outcome = guarded.send(request(&url), LONG).await;
        assert!(matches!(outcome, Err(EgressError::Denied(_))), "{outcome:?}");
    }
}

#[tokio::test]
async fn of_several_addresses_only_allowed_ones_are_tried() {
    let server = MockServer::start().await;
    Mock::given(path("/"))
        .respond_with(ResponseTemplate::new(204))
        .mount(&server)
        .await;
    let port = server.address().port();
    let egress = egress(
        &[&format!("127.0.0.1:{port}")],
        names(&[&["10.0.0.1", "169.254.169.254", "127.0.0.1"]]),
    );
    let answer = egress
        .send(request(&format!("http://mixed.example.org:{port}/")), LONG)
        .await
        .unwrap();
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn redirects_are_answers() {
    let server = MockServer::start().await;
    let to = ResponseTemplate::new(302).insert_header("location", "/secret");
    Mock::given(path("/")).respond_with(to).mount(&server).await;
    Mock::given(path("/secret"))
        .respond_with(ResponseTemplate::new(200))
        .expect(0)
        .mount(&server)
        .await;
    let egress = egress(&[&server.address().to_string()], system_lookup());
    let answer = egress.send(request(&server.uri()), LONG).await.unwrap();
    assert_eq!(answer.status, StatusCode::FOUND);
}

#[tokio::test]
async fn answers_are_limited_in_size_and_time() {
    let server = MockServer::start().await;
    let of = |bytes: usize| ResponseTemplate::new(200).set_body_bytes(vec![b'x'; bytes]);
    Mock::given(path("/fits"))
        .respond_with(of(1 << 20))
        .mount(&server)
        .await;
    Mock::given(path("/large"))
        .respond_with(of((1 << 20) + 1))
        .mount(&server)
        .await;
    Mock::given(path("/slow"))
        .respond_with(of(1).set_delay(Duration::from_secs(60)))
        .mount(&server)
        .await;
    let egress = egress(&[&server.address().to_string()], system_lookup());
    let send = async |path: &str, timeout| egress.send(request(&format!("{}{path}", server.uri())), timeout).await;
    assert_eq!(send("/fits", LONG).await.unwrap().body.len(), 1 << 20);
    assert!(matches!(send("/large", LONG).await, Err(EgressError::TooLarge)));
    assert!(matches!(
        send("/slow", Duration::from_millis(100)).await,
        Err(EgressError::Timeout)
    ));
}

#[tokio::test]
async fn an_unreachable_target_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let egress = egress(&[&address.to_string()], system_lookup());
    let error = egress
        .send(request(&format!("http://{address}/")), LONG)
        .await
        .unwrap_err();
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}
