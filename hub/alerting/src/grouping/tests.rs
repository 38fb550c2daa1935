use proptest::prelude::*;
use streamflow_model::Span;

use super::*;

const WAIT: i64 = 30;
const INTERVAL: i64 = 100;
const REPEAT: i64 = 1000;

fn group() -> Group {
    let target = Target {
        route: "{}".to_owned(),
        channels: vec!["ops".to_owned()],
        escalation: None,
        group_by: Vec::new(),
        group_wait: Span::from_ms(WAIT),
        group_interval: Span::from_ms(INTERVAL),
        repeat_interval: Span::from_ms(REPEAT),
    };
    Group::new("g".to_owned(), "{}:{}".to_owned(), BTreeMap::new(), target)
}

const fn contents(news: bool, firing: bool) -> Contents {
    Contents {
        news,
        firing,
        open: firing,
    }
}

#[test]
fn it_waits_for_more_then_tells_then_keeps_its_distance_then_repeats() {
    let mut group = group();
    group.news(0);
    group.news(20);
    assert_eq!(group.due(), Some(30), "the first alert decides");
    assert_eq!(group.look(29, contents(true, true)), Look::Nothing);
    assert_eq!(group.look(30, contents(true, true)), Look::Tell);
    assert_eq!(group.due(), Some(30 + REPEAT));
    group.news(50);
    assert_eq!(group.due(), Some(30 + INTERVAL));
    assert_eq!(group.look(130, contents(true, true)), Look::Tell);
    group.news(500);
    assert_eq!(
        group.due(),
        Some(500),
        "long after the last notification news goes out at once"
    );
    assert_eq!(group.look(500, contents(true, true)), Look::Tell);
    assert_eq!(group.look(1500, contents(false, true)), Look::Tell, "a repetition");
    group.news(1700);
    assert_eq!(group.look(1700, contents(true, false)), Look::Tell, "the end");
    assert_eq!((group.due(), group.notices), (None, 5));
}

#[test]
fn what_is_over_before_anybody_was_told_ends_in_silence() {
    let mut group = group();
    group.news(0);
    assert_eq!(group.look(30, contents(false, false)), Look::End);
}

#[test]
fn what_is_muted_or_acknowledged_is_not_repeated_and_not_forgotten() {
    let mut group = group();
    group.news(0);
    assert_eq!(group.look(30, contents(true, true)), Look::Tell);
    let quiet = Contents {
        news: false,
        firing: false,
        open: true,
    };
    assert_eq!(group.look(30 + REPEAT, quiet), Look::Nothing);
    assert_eq!(group.due(), None);
    group.news(3000);
    assert_eq!(group.look(3000, contents(true, true)), Look::Tell);
}

#[test]
fn a_changed_route_counts_from_the_last_notification_and_a_lost_one_tells_only_the_end() {
    let mut group = group();
    group.news(0);
    group.look(30, contents(true, true));
    let sooner = Target {
        repeat_interval: Span::from_ms(200),
        ..group.target.clone()
    };
    group.follow(Some(&sooner), 100);
    assert_eq!(group.look(100, contents(false, true)), Look::Nothing);
    assert_eq!(group.due(), Some(230));
    group.follow(None, 150);
    assert_eq!(group.look(150, contents(false, true)), Look::Nothing);
    assert_eq!(group.due(), None, "no repetition");
    group.news(900);
    assert_eq!(group.look(900, contents(true, false)), Look::Tell);
}

#[derive(Debug, Clone)]
enum Act {
    Begin,
    End,
    Wait(i64),
    Restart,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        2 => Just(Act::Begin),
        2 => Just(Act::End),
        4 => (1_i64..400).prop_map(Act::Wait),
        1 => Just(Act::Restart),
    ];
    prop::collection::vec(act, 1..60)
}

proptest! {
    /// Whatever happens: everything that fires is told of within the wait or the interval, nothing is told sooner than the interval
    /// after the last time, and a group that fires on is repeated exactly at its interval.
    #[test]
    fn news_is_told_in_time_and_never_too_often(acts in acts()) {
        let mut group = group();
        let (mut now, mut firing, mut untold, mut oldest): (i64, u32, u32, Option<i64>) = (0, 0, 0, None);
        let mut told: Vec<i64> = Vec::new();
        for act in acts {
            let end = match act {
                Act::Begin => { firing += 1; untold += 1; oldest = oldest.or(Some(now)); group.news(now); now }
                // Of an alert that was told of.
                Act::End if firing > untold => { firing -= 1; untold += 1; oldest = oldest.or(Some(now)); group.news(now); now }
                Act::End => now,
                Act::Wait(ms) => now + ms,
                Act::Restart => { group = serde_json::from_str(&serde_json::to_string(&group).unwrap()).unwrap(); group.restarted(now); now }
            };
            loop {
                let at = group.due().filter(|due| *due <= end).unwrap_or(end);
                now = now.max(at);
                let look = group.look(now, Contents { news: untold > 0, firing: firing > 0, open: firing > 0 });
                if look == Look::Tell {
                    if let Some(last) = told.last() {
                        prop_assert!(now - last >= INTERVAL.min(REPEAT), "{now} after {last}");
                        prop_assert!(untold > 0 || now - last >= REPEAT);
                    }
                    told.push(now);
                    (untold, oldest) = (0, None);
                }
                if group.due().is_none_or(|due| due > end) { break; }
            }
            if let Some(oldest) = oldest {
                let latest = told.last().map_or(oldest + WAIT, |last| oldest.max(last + INTERVAL));
                prop_assert!(now <= latest, "untold since {oldest}, now {now}");
            }
            if let (Some(last), true) = (told.last(), firing > 0) {
                prop_assert!(now - last <= REPEAT);
            }
        }
    }
}
