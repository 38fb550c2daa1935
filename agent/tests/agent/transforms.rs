//! A transform between a source and the spool: a real component, loaded as the program loads it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use streamflow_agent::batch::{Batcher, Sink};
use streamflow_agent::config::load;
use streamflow_agent::counters::{Counters, DropReason, SourceCounters};
use streamflow_agent::pipeline::{Agent, RunError};
use streamflow_agent::process::Processors;
use streamflow_agent::spool::inbox::{Block, Closed};
use streamflow_proto::event::Event;
use streamflow_proto::wire::{DRILL_MARK, DrillOrder, DrillStep};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::delivery::{Bench, DEADLINE, start, until, write};
use crate::fake_hub::{events, messages};

/// The component of the testbed; none where it has not been built.
pub fn component() -> Option<PathBuf> {
    built("testbed/transform-loop.wasm")
}

fn built(name: &str) -> Option<PathBuf> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/dist").join(name);
    if file.is_file() {
        return Some(file);
    }
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{} is missing: run scripts/build-plugins.sh",
        file.display()
    );
    None
}

fn processors(file: &Path, unsigned: bool) -> String {
    format!(
        "[plugins]\nallow_unsigned = {unsigned}\n[[processors]]\nkind = \"filter\"\nmatch = \"!data.message.contains('debug')\"\n[[processors]]\nkind = \"plugin\"\n\
         plugin = {file:?}\n[[processors]]\nkind = \"filter\"\nmatch = \"data.seen == true\"\n"
    )
}

/// A transform that makes who waits for it wait for ever once it has seen poison.
pub fn blocking(file: &Path) -> String {
    format!(
        "[plugins]\nallow_unsigned = true\n[plugins.limits]\ntransform_deadline_ms = 500\n\
         [[processors]]\nkind = \"plugin\"\nplugin = {file:?}\non_error = \"block\"\n"
    )
}

fn drill(name: &str, message: &str) -> DrillOrder {
    let event = serde_json::json!({
        "type": "log", "source": "drill", "data": {"message": message}, "metadata": {DRILL_MARK: name, "more": true},
    });
    DrillOrder {
        drill: name.to_owned(),
        event: event.to_string(),
    }
}

fn compiled(bench: &Bench) -> usize {
    let files = std::fs::read_dir(bench.data_dir().join("plugin-cache")).unwrap();
    let paths = files.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|end| end == "cwasm"))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_changed_turned_away_and_given_up_in_their_turn() {
    let Some(file) = component() else { return };
    let bench = Bench::new();
    let hub = bench.hub();
    let config = || bench.config(&format!("\"{}\"", hub.addr), &processors(&file, true));
    let agent = start(config()).await;
    let lines = ["one", "noise", "debug poison", "two"].map(str::to_owned);
    write(&bench.log(), &lines);
    until("the lines that are left", || messages(&bench.store) == ["one", "two"]).await;
    let shown = agent.observer.status();
    let [transform] = shown.transforms.as_slice() else {
        panic!("{shown:?}");
    };
    // The filter before it has spared it the poison, and the one behind it sees what it has set.
    assert_eq!(
        (transform.turned_away, transform.dropped, transform.state.as_str()),
        (1, 0, "active")
    );
    assert_eq!((shown.sources[0].events, shown.sources[0].filtered), (4, 2));
    assert!(transform.seconds > 0.0 && transform.memory_bytes > 0 && transform.calls > 0);
    write(&bench.log(), &["poison".to_owned()]);
    let given_up = || {
        let status = agent.observer.status();
        let dropped = status.dropped.iter().find(|one| one.reason == "transform_failed");
        dropped.map(|one| one.events) == Some(1)
    };
    until("the poison is given up", given_up).await;
    let status = agent.observer.status();
    assert_eq!(status.transforms[0].dropped, 1);
    let failures: Vec<_> = status.transforms[0]
        .failures
        .iter()
        .filter(|(_, count)| *count > 0)
        .collect();
    assert_eq!(failures, [&("deadline".to_owned(), 2)], "tried twice");
    assert!(
        status.sources[0]
            .last_error
            .as_ref()
            .unwrap()
            .contains("1 events were dropped")
    );
    // The hub hears which one, of what kind and how many; in the plugin's own words the text may stand that it was to take out.
    let told = || {
        let store = bench.store.lock().unwrap();
        store.heartbeats.last()?.sources.first()?.last_error.clone()
    };
    let expected = "transform transform-loop: deadline; 1 events were dropped";
    until("the hub hears of it", || told().as_deref() == Some(expected)).await;
    agent.stop().await;
    assert_eq!(compiled(&bench), 1);

    // What was given up is behind the agent; the code comes from the cache.
    let agent = start(config()).await;
    write(&bench.log(), &["three".to_owned()]);
    until("the next line", || messages(&bench.store) == ["one", "two", "three"]).await;
    assert_eq!(compiled(&bench), 1);
    let seen = |event: &Event| event.data.as_ref().unwrap().get().contains("\"seen\":true");
    assert!(events(&bench.store).iter().all(seen));
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_plugin_is_named_before_anything_runs() {
    let Some(file) = component() else { return };
    let bench = Bench::new();
    let config = bench.config("\"hub:4433\"", &processors(&file, false));
    let apart = config.clone();
    let built = tokio::task::spawn_blocking(move || Processors::apart(&apart, &CancellationToken::new()));
    let mistakes = built.await.unwrap().err().unwrap().0;
    let [(key, message)] = mistakes.as_slice() else {
        panic!("{mistakes:?}");
    };
    assert_eq!(key, "processors[1].plugin");
    assert!(message.contains("allow_unsigned = true"), "{message}");
    let Err(error) = Agent::build(config).await else {
        panic!("it runs");
    };
    assert!(
        matches!(&error, RunError::Processors(found) if found.0 == mistakes),
        "{error}"
    );

    let twice = format!(
        "{}[[processors]]\nkind = \"plugin\"\nplugin = {file:?}\non_error = \"ignore\"\n",
        processors(&file, true)
    );
    let text = bench.config_text("\"hub:4433\"", &twice);
    let problems = load::parse("agent.toml", &text, []).unwrap_err();
    assert!(
        problems
            .iter()
            .any(|problem| problem.message.contains("`pass`") && problem.key == "processors[3].on_error"),
        "{problems:?}"
    );
    let problems = load::parse("agent.toml", &text.replace("on_error = \"ignore\"\n", ""), []).unwrap_err();
    assert!(problems[0].message.contains("give each its own name"), "{problems:?}");
}

/// A drill that waits keeps a thread of the runtime, whose end waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_drill_that_waits_for_a_transform_does_not_keep_the_agent() {
    let Some(file) = component() else { return };
    let bench = Bench::new();
    bench.store.lock().unwrap().drill = Some(drill("d1", "poison"));
    let hub = bench.hub();
    let config = bench.config(&format!("\"{}\"", hub.addr), &blocking(&file));
    let stop = CancellationToken::new();
    let (stopping, (observer, observed), (end, ended)) = (stop.clone(), oneshot::channel(), oneshot::channel());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let agent = Agent::build(config).await.unwrap();
            drop(observer.send(agent.observer()));
            agent.run(stopping).await.unwrap();
        });
        drop(runtime);
        end.send(()).unwrap();
    });
    let observer = observed.await.unwrap();
    let failed = || {
        let status = observer.status();
        status.transforms[0].failures.iter().any(|(_, count)| *count > 0)
    };
    until("the drill waits", failed).await;
    stop.cancel();
    let ended = tokio::time::timeout(DEADLINE, ended).await;
    assert!(matches!(ended, Ok(Ok(()))), "the agent does not end");
    assert!(messages(&bench.store).is_empty());
}

/// Without its mark the hub would count the event as a real one, and wake somebody up.
#[tokio::test(flavor = "multi_thread")]
async fn a_drill_whose_mark_a_transform_takes_is_lost_and_never_sent() {
    let Some(file) = built("redact-pii.wasm") else { return };
    let bench = Bench::new();
    bench.store.lock().unwrap().drill = Some(drill("d1", "hello"));
    let hub = bench.hub();
    let processors = format!(
        "[plugins]\nallow_unsigned = true\n[[processors]]\nkind = \"plugin\"\nplugin = {file:?}\n\
         config = {{ fields = [\"metadata.{DRILL_MARK}\"], patterns = [{{ name = \"all\", regex = \"d1\" }}], action = \"drop_field\" }}\n"
    );
    let agent = start(bench.config(&format!("\"{}\"", hub.addr), &processors)).await;
    let drilled = || bench.store.lock().unwrap().drilled.clone();
    until("news of the drill", || !drilled().is_empty()).await;
    let news = drilled();
    let reason = news[0].reason.clone().unwrap_or_default();
    assert!(
        news[0].step == DrillStep::Lost && reason.contains("took the mark"),
        "{news:?}"
    );
    agent.stop().await;
    assert!(events(&bench.store).is_empty());
}

struct Unreached;

impl Sink for Unreached {
    fn append(&self, block: Block) -> Result<(), Closed> {
        panic!("{block:?}");
    }
}

#[test]
fn what_waits_for_a_transform_when_the_agent_stops_is_counted_where_it_cannot_be_read_again() {
    let Some(file) = component() else { return };
    let bench = Bench::new();
    let filter = "[[processors]]\nkind = \"filter\"\nmatch = \"data.message != 'debug'\"\n";
    let config = bench.config("\"hub:4433\"", &format!("{filter}{}", blocking(&file)));
    let stopped = CancellationToken::new();
    stopped.cancel();
    let processors = Processors::apart(&config, &stopped).unwrap();
    let (all, source) = (Arc::new(Counters::default()), SourceCounters::new("host", "host"));
    let batcher = Batcher::new(config.batch, processors, Arc::new(Unreached), source.clone());
    let mut batcher = batcher.with_losses(all.clone());
    for message in ["debug", "poison", "more"] {
        let event = format!(r#"{{"type":"log","source":"s","data":{{"message":"{message}"}}}}"#);
        batcher.builder().push_json(event.as_bytes(), 0).unwrap();
    }
    assert_eq!(batcher.flush(), Err(Closed));
    let dropped: Vec<_> = all.drops().filter(|(_, events)| *events > 0).collect();
    assert_eq!(dropped, [(DropReason::Stopped, 2)]);
    assert_eq!((source.events.get(), source.filtered.get()), (3, 1));
}
