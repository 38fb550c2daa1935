//! PromQL: a real Prometheus server answers the same queries over the same samples, and the answers agree.

mod queries;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::Path,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use reqwest::Method;
use serde_json::{Value, json};
use streamflow_tests::{Api, Hub, HubConfig, eventually, process::Process};
use tempfile::TempDir;

use queries::QUERIES;

const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;

/// One series: name, labels, samples in ms.
type Series = (String, BTreeMap<String, String>, Vec<(i64, f64)>);

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn series(name: &str, labels: &[(&str, &str)], samples: Vec<(i64, f64)>) -> Series {
    let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    (name.to_owned(), labels, samples)
}

/// An hour of samples every 15 s from `begin`, none of them on a whole second: counters with restarts and gaps, gauges, a histogram.
fn samples(begin: i64) -> Vec<Series> {
    let times = |from: i64, to: i64| (from..to).map(move |n| begin + 7123 + n * 15_000);
    let mut all = Vec::new();
    for (place, source) in ["web-1", "web-2", "web-3"].into_iter().enumerate() {
        for (rank, code) in ["200", "404", "500"].into_iter().enumerate() {
            let step = (place * 3 + rank + 1) as i64;
            let (mut total, mut list) = (10_000.0, Vec::new());
            for (n, at) in times(rank as i64 * 17, 240 - place as i64 * 40).enumerate() {
                // A restart, and a gap of ten minutes.
                if n == 60 + place * 10 {
                    total = step as f64;
                }
                total += (n as i64 * 37 % (step * 5)) as f64;
                if !(100..140).contains(&n) || rank != 1 {
                    list.push((at, total));
                }
            }
            all.push(series(
                "http_requests",
                &[("source", source), ("code", code), ("path", "/a b\"c")],
                list,
            ));
        }
        let wave = times(0, 240)
            .enumerate()
            .map(|(n, at)| (at, ((n + place * 7) as f64 / 9.0).sin() * 20.0 - 3.0));
        all.push(series(
            "temperature",
            &[("source", source), ("room", ["a", "b", "a"][place])],
            wave.collect(),
        ));
        let limit = times(0, 240).map(|at| (at, 5.0 + place as f64));
        all.push(series("limit_degrees", &[("source", source)], limit.collect()));
        for (rank, bound) in ["0.1", "0.5", "1", "+Inf"].into_iter().enumerate() {
            let list = times(0, 240)
                .enumerate()
                .map(|(n, at)| (at, (n * (rank + 1) * (place + 2)) as f64));
            all.push(series(
                "latency_bucket",
                &[("source", source), ("le", bound)],
                list.collect(),
            ));
        }
    }
    all
}

fn events(all: &[Series]) -> Vec<Value> {
    let mut events = Vec::new();
    for (name, labels, samples) in all {
        let mut own = labels.clone();
        let source = own.remove("source").unwrap_or_default();
        for (at, value) in samples {
            // The names of agents have dots.
            events.push(json!({"type": "metric", "source": source, "timestamp": at,
                "data": {"name": name.replacen('_', ".", 1), "value": value, "labels": own}}));
        }
    }
    events
}

/// The samples as `promtool tsdb create-blocks-from openmetrics` reads them.
fn openmetrics(all: &[Series]) -> String {
    let mut text = String::new();
    for (name, labels, samples) in all {
        let quote = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"");
        let labels: Vec<String> = labels.iter().map(|(k, v)| format!("{k}=\"{}\"", quote(v))).collect();
        for (at, value) in samples {
            writeln!(
                text,
                "{name}{{{}}} {value} {}.{:03}",
                labels.join(","),
                at / 1000,
                at % 1000
            )
            .unwrap();
        }
    }
    text + "# EOF\n"
}

struct Prometheus {
    _process: Process,
    api: Api,
}

impl Prometheus {
    /// A server that holds these samples; `None` when it is not installed.
    async fn start(dir: &Path, all: &[Series]) -> Option<Self> {
        if Command::new("promtool").arg("--version").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "prometheus is not installed");
            println!("skipped: prometheus is not installed (scripts/setup.sh test installs it)");
            return None;
        }
        let (input, data) = (dir.join("samples.om"), dir.join("data"));
        std::fs::write(&input, openmetrics(all)).unwrap();
        let made = Command::new("promtool")
            .args(["tsdb", "create-blocks-from", "openmetrics"])
            .args([&input, &data])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        std::fs::write(dir.join("prometheus.yml"), "global: {}\n").unwrap();
        let address = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let process = Process::start(
            Command::new("prometheus")
                .arg(format!("--config.file={}", dir.join("prometheus.yml").display()))
                .arg(format!("--storage.tsdb.path={}", data.display()))
                .arg(format!("--web.listen-address={address}"))
                .current_dir(dir),
            &dir.join("prometheus.log"),
        );
        let api = Api::anonymous(&format!("http://{address}"));
        eventually("prometheus is ready", async || {
            let asked = api.request(Method::GET, "/-/ready").send().await;
            asked.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
        Some(Self { _process: process, api })
    }
}

async fn ask(api: &Api, prefix: &str, path: &str, parameters: &[(&str, String)]) -> Value {
    let coded = reqwest::Url::parse_with_params("http://any/", parameters).unwrap();
    let query = coded.query().unwrap_or_default();
    api.get(&format!("{prefix}/api/v1/{path}?{query}")).await.1
}

/// Values by labels and time; the order of series says nothing.
fn values(data: &Value) -> BTreeMap<String, Vec<(f64, String)>> {
    let pair = |pair: &Value| (pair[0].as_f64().unwrap(), pair[1].as_str().unwrap().to_owned());
    match data["resultType"].as_str().unwrap() {
        "scalar" | "string" => BTreeMap::from([(String::new(), vec![pair(&data["result"])])]),
        _ => data["result"]
            .as_array()
            .unwrap()
            .iter()
            .map(|series| {
                let labels: BTreeMap<String, String> = serde_json::from_value(series["metric"].clone()).unwrap();
                let list = match series["values"].as_array() {
                    Some(list) => list.iter().map(pair).collect(),
                    None => vec![pair(&series["value"])],
                };
                (format!("{labels:?}"), list)
            })
            .collect(),
    }
}

fn close(a: &str, b: &str) -> bool {
    match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(x), Ok(y)) => a == b || (x - y).abs() <= 1e-9 * x.abs().max(y.abs()) || (x.abs() < 1e-9 && y.abs() < 1e-9),
        _ => a == b,
    }
}

fn agree(query: &str, ours: &Value, theirs: &Value) -> usize {
    assert_eq!(theirs["status"], "success", "{query}: {theirs}");
    assert_eq!(ours["status"], "success", "{query}: {ours}");
    assert_eq!(ours["data"]["resultType"], theirs["data"]["resultType"], "{query}");
    let (ours, theirs) = (values(&ours["data"]), values(&theirs["data"]));
    let keys = |all: &BTreeMap<String, _>| all.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&ours), keys(&theirs), "{query}");
    for (labels, own) in &ours {
        let other = &theirs[labels];
        let same = own.len() == other.len() && own.iter().zip(other).all(|(a, b)| a.0 == b.0 && close(&a.1, &b.1));
        assert!(same, "{query} {labels}:\nours   {own:?}\ntheirs {other:?}");
    }
    ours.values().map(Vec::len).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_agrees() {
    let hub = Hub::start(&HubConfig::default());
    let api = hub.admin().await;
    // Within one day, since counters begin anew with each.
    let begin = (now() - 90 * MINUTE) / MINUTE * MINUTE;
    let crosses = (begin - 90 * MINUTE) / DAY != (begin + 70 * MINUTE) / DAY;
    let begin = if crosses { begin - 240 * MINUTE } else { begin };
    let mut all = samples(begin);
    let sent = events(&all);
    for part in sent.chunks(5000) {
        let lines: String = part.iter().map(|event| format!("{event}\n")).collect();
        let (status, answer) = api.post_raw("/events/batch", "application/x-ndjson", lines).await;
        assert_eq!(
            (status.as_u16(), &answer["data"]["accepted"]),
            (202, &json!(part.len())),
            "{answer}"
        );
    }
    // The hub's own metrics, as it says that it has them; a count of them by hand follows below.
    eventually("the metrics have counted all", async || {
        let (_, types) = api.get("/api/v1/analytics/event-types").await;
        types["data"][0]["events"] == sent.len()
    })
    .await;
    let end = begin + 65 * MINUTE;
    let read = [
        (
            "query",
            "{__name__=~\"events_by_type|events_by_type_total\"}[150m]".to_owned(),
        ),
        ("time", (end / 1000).to_string()),
    ];
    let own = ask(&api, "/prometheus", "query", &read).await;
    for one in own["data"]["result"].as_array().unwrap() {
        let mut labels: BTreeMap<String, String> = serde_json::from_value(one["metric"].clone()).unwrap();
        let name = labels.remove("__name__").unwrap();
        let list = one["values"].as_array().unwrap().iter();
        let list: Vec<(i64, f64)> = list
            .map(|pair| {
                (
                    (pair[0].as_f64().unwrap() * 1000.0).round() as i64,
                    pair[1].as_str().unwrap().parse().unwrap(),
                )
            })
            .collect();
        if name == "events_by_type" {
            let total: f64 = list.iter().map(|(_, value)| value).sum();
            assert_eq!(total, sent.len() as f64, "all windows lie in the range");
            for (at, value) in &list {
                let inside = sent
                    .iter()
                    .filter(|event| (at - 60_000..*at).contains(&event["timestamp"].as_i64().unwrap()));
                assert_eq!(*value, inside.count() as f64, "the window that ends at {at}");
            }
        }
        all.push((name, labels, list));
    }
    assert_eq!(all.len(), samples(begin).len() + 2);

    let dir = TempDir::new().unwrap();
    let Some(prometheus) = Prometheus::start(dir.path(), &all).await else {
        return;
    };
    let mut compared = 0;
    for query in QUERIES {
        // Half seconds, so that no sample lies on the edge of a range, where Prometheus 2 and 3 differ.
        for at in [
            begin + 1_830_500,
            begin + 2_405_500,
            begin + 3_590_500,
            begin + 3_890_500,
        ] {
            let parameters = [("query", (*query).to_owned()), ("time", format!("{}.5", at / 1000))];
            let ours = ask(&api, "/prometheus", "query", &parameters).await;
            let theirs = ask(&prometheus.api, "", "query", &parameters).await;
            compared += agree(&format!("{query} at {at}"), &ours, &theirs);
        }
        let parameters = [
            ("query", (*query).to_owned()),
            ("start", format!("{}.5", begin / 1000)),
            ("end", format!("{}.5", end / 1000)),
            ("step", "47".to_owned()),
        ];
        let ours = ask(&api, "/prometheus", "query_range", &parameters).await;
        let theirs = ask(&prometheus.api, "", "query_range", &parameters).await;
        compared += agree(&format!("{query} over time"), &ours, &theirs);
    }
    assert!(compared > 20_000, "{compared} values were compared");
    let at = ("time", format!("{}.5", (begin + 1_830_500) / 1000));
    for query in ["temperature[2m]", "temperature[2m] offset 5m", "\"text\""] {
        let parameters = [("query", query.to_owned()), at.clone()];
        let ours = ask(&api, "/prometheus", "query", &parameters).await;
        agree(query, &ours, &ask(&prometheus.api, "", "query", &parameters).await);
    }
    for query in [
        "1 +",
        "",
        "rate(temperature)",
        "http_requests + on(source) http_requests",
        "http_requests{",
        "sum by (",
        "nosuchfunction(temperature)",
        "label_replace(temperature, \"1x\", \"a\", \"room\", \".*\")",
        "{}",
        "temperature[5m] + 1",
    ] {
        let parameters = [("query", query.to_owned()), at.clone()];
        let ours = ask(&api, "/prometheus", "query", &parameters).await;
        let theirs = ask(&prometheus.api, "", "query", &parameters).await;
        let kind = |answer: &Value| (answer["status"].clone(), answer["error"].is_string());
        assert_eq!(kind(&ours), (json!("error"), true), "{query}: {ours}");
        assert_eq!(kind(&theirs), (json!("error"), true), "{query}: {theirs}");
    }

    // Lists of names, labels and series.
    let range = [("start", (begin / 1000).to_string()), ("end", (end / 1000).to_string())];
    let with = |name: &'static str, value: &str| {
        let mut all = range.to_vec();
        all.push((name, value.to_owned()));
        all
    };
    let ours_alone = |value: &Value| {
        value
            .as_str()
            .is_some_and(|name| name.starts_with("events_by_") || name == "device" || name == "severity")
    };
    for (path, parameters) in [
        ("labels", range.to_vec()),
        ("labels", with("match[]", "temperature")),
        ("label/__name__/values", range.to_vec()),
        ("label/code/values", range.to_vec()),
        ("label/source/values", with("match[]", "http_requests{code=\"500\"}")),
        ("series", with("match[]", "{__name__=~\"temp.*|limit.*\"}")),
    ] {
        let ours = ask(&api, "/prometheus", path, &parameters).await;
        let theirs = ask(&prometheus.api, "", path, &parameters).await;
        let sorted = |answer: &Value| {
            let list = answer["data"]
                .as_array()
                .unwrap_or_else(|| panic!("{path}: {answer}"))
                .iter();
            let mut list: Vec<String> = list
                .filter(|value| !ours_alone(value))
                .map(
                    |value| match serde_json::from_value::<BTreeMap<String, String>>(value.clone()) {
                        Ok(labels) => format!("{labels:?}"),
                        Err(_) => value.to_string(),
                    },
                )
                .collect();
            list.sort();
            list
        };
        assert_eq!(sorted(&ours), sorted(&theirs), "{path} {parameters:?}");
    }
}

#[tokio::test]
async fn what_grafana_asks_is_answered() {
    let hub = Hub::start(&HubConfig::default());
    let api = hub.admin().await;
    let form = async |path: &str, body: &'static str| {
        let path = format!("/prometheus/api/v1/{path}");
        api.post_raw(&path, "application/x-www-form-urlencoded", body).await
    };
    // Save and test.
    let (status, answer) = form("query", "query=1%2B1&time=4").await;
    assert_eq!(status, 200);
    assert_eq!(
        answer,
        json!({"status": "success", "data": {"resultType": "scalar", "result": [4, "2"]}})
    );
    let (_, build) = api.get("/prometheus/api/v1/status/buildinfo").await;
    assert!(
        build["data"]["version"].is_string() && build["data"]["application"] == "StreamFlow",
        "{build}"
    );
    let (status, answer) = form("query_range", "query=vector(1)&start=0&end=60&step=30s").await;
    assert_eq!(
        (status.as_u16(), &answer["data"]["result"][0]["values"]),
        (200, &json!([[0, "1"], [30, "1"], [60, "1"]]))
    );

    // A metric of one's own, an agent's name, their kinds.
    api.post(
        "/api/v1/metrics",
        &json!({"name": "api errors", "match": "type == 'x'", "description": "Errors"}),
    )
    .await;
    let event = json!({"type": "metric", "source": "h1", "data": {"name": "host.cpu.utilization", "value": 12.5, "labels": {"source": "core", "mode": "user"}}});
    assert_eq!(api.post("/events", &event).await.0, 202);
    let (_, kinds) = api.get("/prometheus/api/v1/metadata").await;
    assert_eq!(
        kinds["data"]["api_errors"],
        json!([{"type": "gauge", "help": "Errors", "unit": ""}])
    );
    assert_eq!(kinds["data"]["api_errors_total"][0]["type"], "counter");
    assert_eq!(kinds["data"]["host_cpu_utilization"][0]["type"], "gauge");
    let (_, one) = api.get("/prometheus/api/v1/metadata?metric=api_errors&limit=5").await;
    assert_eq!(one["data"].as_object().unwrap().len(), 1);
    let (_, answer) = api.get("/prometheus/api/v1/query?query=host_cpu_utilization").await;
    assert_eq!(
        answer["data"]["result"][0]["metric"],
        json!({"__name__": "host_cpu_utilization", "exported_source": "core", "mode": "user", "source": "h1"})
    );
    assert_eq!(answer["data"]["result"][0]["value"][1], "12.5");
    let (_, sets) = form("series", "match[]=%7B__name__%3D~%22host_.*%22%7D&limit=10").await;
    assert_eq!(sets["data"].as_array().unwrap().len(), 1, "{sets}");
    let (_, names) = form("labels", "match[]=host_cpu_utilization").await;
    assert_eq!(names["data"], json!(["__name__", "exported_source", "mode", "source"]));

    // What is not supported is named; what is wrong says what.
    for (path, word) in [
        ("query?query=sum_over_time(up[5m:1m])", "a subquery"),
        ("query?query=holt_winters(up[5m],0.5,0.5)", "holt_winters"),
        ("query?query=predict_linear(up[5m],60)", "the function `predict_linear`"),
        ("query?query=count_values(%22v%22,up)", "`count_values`"),
        ("query?query=1%20atan2%202", "atan2"),
        ("query", "\"query\": is required"),
        ("query?query=1&time=soon", "\"time\""),
        ("query_range?query=1&start=0&end=60&step=0", "\"step\""),
        ("query_range?query=1&start=60&end=0&step=1", "\"end\""),
        ("query_range?query=1&start=0&end=1e9&step=1", "11,000 points"),
        ("query_range?query=up[5m]&start=0&end=60&step=1", "instant"),
        ("series", "no match[]"),
        ("labels?limit=many", "\"limit\""),
    ] {
        let (status, answer) = api.get(&format!("/prometheus/api/v1/{path}")).await;
        assert_eq!(
            (status.as_u16(), &answer["status"], &answer["errorType"]),
            (400, &json!("error"), &json!("bad_data")),
            "{path}: {answer}"
        );
        assert!(answer["error"].as_str().unwrap().contains(word), "{path}: {answer}");
    }
    let (status, _) = Api::anonymous(&api.base).get("/prometheus/api/v1/query?query=1").await;
    assert_eq!(status, 401);
}
