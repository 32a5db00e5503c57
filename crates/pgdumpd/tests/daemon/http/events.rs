//! Server-sent events: the state now, each change, the end, and what a browser does after a break.

use std::time::Duration;

use futures_util::future::join_all;
use pgdumpd_testkit::{FakePgDump, Then, eventually};
use serde_json::{Value, json};
use tokio::time::timeout;
use uuid::Uuid;

use super::face::{Face, set_token};
use crate::harness::{SOON, World};

/// One event, as a browser understands it.
#[derive(Debug, Clone, PartialEq)]
struct Event {
    id: Option<i64>,
    name: String,
    data: Value,
}

/// A stream that is being read.
struct Events {
    response: reqwest::Response,
    text: String,
    comments: usize,
}

impl Events {
    async fn open(face: &Face, id: &str, last_id: Option<i64>) -> Self {
        let mut request = face.get(&format!("/api/backup/events/{id}"));
        if let Some(last_id) = last_id {
            request = request.header("last-event-id", &last_id.to_string());
        }
        let response = request.open().await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Self {
            response,
            text: String::new(),
            comments: 0,
        }
    }

    /// The next event; `None` at the stream's end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let block = block.to_owned();
                self.text = rest.to_owned();
                if let Some(event) = self.parse(&block) {
                    return Some(event);
                }
            }
            let chunk = timeout(SOON, self.response.chunk())
                .await
                .unwrap()
                .unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    fn parse(&mut self, block: &str) -> Option<Event> {
        let (mut id, mut name, mut data) = (None, "message".to_owned(), None);
        for line in block.lines() {
            match line.split_once(':').unwrap() {
                ("", _) => self.comments += 1,
                ("id", value) => id = Some(value.trim().parse().unwrap()),
                ("event", value) => name = value.trim().to_owned(),
                ("data", value) => data = Some(serde_json::from_str(value).unwrap()),
                ("retry", value) => assert_eq!(value.trim(), "1000"),
                other => unreachable!("{other:?}"),
            }
        }
        data.map(|data| Event { id, name, data })
    }

    async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

#[tokio::test]
async fn a_stream_has_each_whole_state_with_a_growing_id_and_ends_once() {
    let world = World::new().await;
    let holder = world.hold_dumps().await;
    let face = Face::of(world).await;
    let id = face
        .create(json!({"target": "shop"}))
        .await
        .status(202)
        .id();
    let mut events = Events::open(&face, &id, None).await;
    let first = events.next().await.unwrap();
    assert_eq!(first.data["id"], id);
    eventually("it runs", SOON, async || {
        (face.status(&id).await.json()["state"] == "running").then_some(())
    })
    .await;
    drop(holder);
    let mut seen = vec![first];
    seen.extend(events.rest().await);
    let ids: Vec<i64> = seen.iter().map(|event| event.id.unwrap()).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    let progress: Vec<f64> = seen
        .iter()
        .map(|event| event.data["progress"].as_f64().unwrap())
        .collect();
    assert!(progress.is_sorted(), "{progress:?}");
    let (last, before) = seen.split_last().unwrap();
    assert!(
        before.iter().all(|event| event.name == "message"),
        "{seen:?}"
    );
    assert_eq!(
        (last.name.as_str(), &last.data["status"]),
        ("end", &json!("completed"))
    );
    // The whole state, as the status has it.
    let mut status = face.status(&id).await.status(200).json();
    let mut data = last.data.clone();
    for answer in [&mut status, &mut data] {
        answer.as_object_mut().unwrap().remove("elapsedTime");
    }
    assert_eq!(data, status);

    // Whoever has seen the end gets no more; whoever has not, gets it.
    let path = format!("/api/backup/events/{id}");
    let after = last.id.unwrap().to_string();
    let again = face.get(&path).header("last-event-id", &after).send().await;
    assert_eq!(again.status(204).text, "");
    let missed = Events::open(&face, &id, Some(ids[0])).await.rest().await;
    assert_eq!(missed.len(), 1);
    assert_eq!((missed[0].name.as_str(), missed[0].id), ("end", last.id));
    for nonsense in ["x", "-5", "99999999999999999999"] {
        let request = face
            .get(&path)
            .header("last-event-id", nonsense)
            .send()
            .await;
        assert!(request.status(200).text.contains("event: end"));
    }
}

#[tokio::test]
async fn a_silent_stream_says_that_it_is_alive_and_continues_after_a_break() {
    let face = Face::new().await;
    let id = face
        .create(json!({"target": "nowhere"}))
        .await
        .status(202)
        .id();
    let mut events = Events::open(&face, &id, None).await;
    let first = events.next().await.unwrap();
    // A queued job without a daemon changes nothing by itself.
    let silence = timeout(Duration::from_secs(17), events.next()).await;
    assert!(silence.is_err(), "{silence:?}");
    assert_eq!(events.comments, 1);
    drop(events);
    let mut again = Events::open(&face, &id, first.id).await;
    let state = again.next().await.unwrap();
    assert!(state.id > first.id, "{state:?}");
    assert_eq!(state.data["state"], "queued");
    face.post(&format!("/api/backup/cancel/{id}"))
        .send()
        .await
        .status(200);
    let end = again.next().await.unwrap();
    assert_eq!(
        (end.name.as_str(), &end.data["status"]),
        ("end", &json!("cancelled"))
    );
    assert!(end.id > state.id);
    assert_eq!(again.next().await, None);
}

#[tokio::test]
async fn the_stream_of_a_temporary_id_has_one_event_without_an_id() {
    let face = Face::new().await;
    let events = Events::open(&face, "temp_7", None).await.rest().await;
    assert_eq!(events.len(), 1);
    assert_eq!(
        (events[0].id, &events[0].data["id"]),
        (None, &json!("temp_7"))
    );
    assert_eq!(events[0].data["message"], "Waiting to start");
}

#[tokio::test]
async fn many_streams_and_many_requests_share_the_reads_of_the_queue() {
    let mut world = World::new().await;
    let fake = FakePgDump::new(world.cluster.major(), &[], Then::Hang);
    world.use_fake(&fake);
    world.set("http", "requests_per_second", "100000");
    set_token(&mut world, "all", &["read", "enqueue", "cancel"], &["*"]);
    let face = Face::of(world).await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        let request = face
            .post("/api/backup/create")
            .token("all")
            .json(&json!({"target": "shop"}));
        ids.push(request.send().await.status(202).id());
    }
    // A statement is two transactions: it is prepared, and executed. The server counts them with up to a second's delay.
    let transactions = async || {
        let count: i64 = sqlx::query_scalar(
            "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()",
        )
        .fetch_one(&face.world.pool)
        .await
        .unwrap();
        count
    };
    // What the daemon does for its jobs, which is not what is measured.
    let (before, began) = (transactions().await, std::time::Instant::now());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let alone = (transactions().await - before) as f64 / began.elapsed().as_secs_f64();
    let streams = join_all((0..100).map(|number| {
        let path = format!("/api/backup/events/{}", ids[number % 20]);
        async {
            let path = path;
            face.get(&path).token("all").open().await
        }
    }))
    .await;
    assert!(streams.iter().all(|stream| stream.status() == 200));
    let (before, began) = (transactions().await, std::time::Instant::now());
    let mut asked: u32 = 0;
    while began.elapsed() < Duration::from_secs(5) {
        let answers = join_all(ids.iter().map(|id| {
            let path = format!("/api/backup/status/{id}");
            async {
                let path = path;
                face.get(&path).token("all").send().await.status
            }
        }));
        let answers = answers.await;
        assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
        asked += 20;
    }
    let seconds = began.elapsed().as_secs_f64();
    let with_them = (transactions().await - before) as f64 / seconds;
    let per_second = with_them - alone;
    // 20 statements for those who ask, 1 for those who follow, and half as much again for what is counted too late.
    assert!(
        per_second < 63.0,
        "{with_them} transactions a second, {alone} without {asked} requests in {seconds} s"
    );
    assert!(with_them > 1.0, "they are counted: {with_them}");
    assert!(
        f64::from(asked) > 3.0 * per_second * seconds,
        "{asked} requests in {seconds} s, {per_second} transactions a second"
    );
}

#[tokio::test]
async fn a_reader_that_stops_reading_costs_nobody_else_anything() {
    let face = Face::new().await;
    let id = face
        .create(json!({"target": "nowhere"}))
        .await
        .status(202)
        .id();
    let silent = Events::open(&face, &id, None).await;
    let mut other = Events::open(&face, &id, None).await;
    other.next().await.unwrap();
    face.post(&format!("/api/backup/cancel/{id}"))
        .send()
        .await
        .status(200);
    assert_eq!(other.next().await.unwrap().name, "end");
    // It finds the end when it reads.
    let rest = silent.rest().await;
    assert_eq!(rest.last().unwrap().name, "end");
    assert!(Uuid::parse_str(&id).is_ok());
}
