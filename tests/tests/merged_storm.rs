//! Everything at once: servers that die and come back, lists that change, a file that is rewritten, clients of both eras that
//! call, list, read, listen and leave. No answer is ever another's, what is well stays well, and in the end all is well.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_tests::catalogue::{Catalogue, tool};
use sluice_tests::client::{Client, Era};
use sluice_tests::line::Line;
use sluice_tests::server::Server;
use sluice_tests::{Gateway, process, wait};

const STORM: Duration = Duration::from_secs(15);
const STEADY: [&str; 2] = ["calm", "even"];
const FRAIL: [&str; 2] = ["frail", "gusty"];

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// One client's doings until the storm is over; how many answers it got from servers that are always there.
async fn client(era: Era, port: u16, seed: u64, over: Arc<AtomicBool>, wrong: Arc<AtomicUsize>) -> usize {
    let (mut dice, mut answers) = (Dice(seed), 0);
    while !over.load(Ordering::SeqCst) {
        let client = Client::open(era, port, "/mcp").await;
        for n in 0..dice.roll(20) {
            let steady = dice.roll(3) > 0;
            let server = if steady { STEADY[dice.roll(2) as usize] } else { FRAIL[dice.roll(2) as usize] };
            let mark = json!({ "seed": seed, "n": n, "die": dice.roll(1 << 30) });
            match dice.roll(6) {
                0 => {
                    let listed = client.prepare("tools/list", json!({})).send_patiently(port).await.result();
                    let names: Vec<_> =
                        listed["tools"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
                    for steady in STEADY {
                        assert!(names.contains(&format!("{steady}_tool-000").as_str()), "{era:?}: {names:?}");
                    }
                }
                1 => {
                    let uri = format!("{server}+file:///r000");
                    let read = client.prepare("resources/read", json!({ "uri": uri })).send_patiently(port).await.rpc();
                    let text = read["result"]["contents"][0]["text"].as_str();
                    assert!(text.is_some() || !steady, "{era:?}: {read}");
                    let other = text.is_some_and(|text| !text.contains(&format!("\"server\":\"{server}\"")));
                    wrong.fetch_add(usize::from(other), Ordering::SeqCst);
                }
                2 => {
                    let call =
                        client.prepare("tools/call", json!({ "name": format!("{server}_hang"), "arguments": {} }));
                    // A client that loses patience.
                    let _ = tokio::time::timeout(Duration::from_millis(20), call.try_send(port)).await;
                }
                _ => {
                    let call = client
                        .prepare("tools/call", json!({ "name": format!("{server}_tool-000"), "arguments": mark }));
                    let said = call.send_patiently(port).await.rpc();
                    let text = said["result"]["content"][0]["text"].as_str();
                    assert!(text.is_some() || !steady, "{era:?}: {said}");
                    if let Some(text) = text {
                        let said: Value = serde_json::from_str(text).unwrap();
                        let right = said["server"] == server && said["arguments"] == mark;
                        wrong.fetch_add(usize::from(!right), Ordering::SeqCst);
                        answers += usize::from(steady);
                    }
                }
            }
        }
        if let (Some(session), true) = (&client.session, dice.roll(2) == 0) {
            assert_eq!(session.delete().await.status / 100, 2);
        }
    }
    answers
}

async fn storm(era: Era) {
    let offer = |name: &str| Catalogue::new(name).tools(4).tool("hang").resources(2).page(2);
    let offers = [STEADY, FRAIL].concat().into_iter().map(offer).collect::<Vec<_>>();
    let servers: Vec<_> = offers.iter().map(|offer| Server::start(era, offer)).collect();
    let lines = [Line::to(servers[2].port), Line::to(servers[3].port)];
    for line in &lines {
        line.mend().await;
    }
    let all = json!({ "calm": servers[0].config(), "even": servers[1].config(), "frail": lines[0].config(), "gusty": lines[1].config() });
    let gateway = Gateway::with(all.clone()).await;
    let (over, wrong) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..8)
        .map(|seed| tokio::spawn(client(era, gateway.port, seed, Arc::clone(&over), Arc::clone(&wrong))))
        .collect();
    let (mut dice, start, mut round) = (Dice(42), Instant::now(), 0);
    while start.elapsed() < STORM {
        round += 1;
        let one = usize::try_from(dice.roll(2)).unwrap();
        match dice.roll(7) {
            0 => lines[one].cut(),
            1 => lines[one].hang().await,
            2 => lines[one].mend().await,
            3 => servers[2 + one].forget(),
            4 => {
                offers[2 + one].change(|lists| lists.tools.push(tool(&format!("more-{round}"))));
                servers[2 + one].announce("tools").await;
            }
            5 => {
                let mut some = all.clone();
                if dice.roll(2) == 0 {
                    some.as_object_mut().unwrap().remove(FRAIL[one]);
                }
                std::fs::write(gateway.file(), json!({ "servers": some }).to_string()).unwrap();
            }
            _ => servers[one].announce("tools").await,
        }
        wait::pass(Duration::from_millis(100)).await;
    }
    for line in &lines {
        line.mend().await;
    }
    std::fs::write(gateway.file(), json!({ "servers": all }).to_string()).unwrap();
    over.store(true, Ordering::SeqCst);
    for client in clients {
        let answers = tokio::time::timeout(Duration::from_secs(70), client).await.expect("no client hangs").unwrap();
        assert!(answers > 20, "{era:?}: a client got {answers} answers");
    }
    assert_eq!(wrong.load(Ordering::SeqCst), 0, "{era:?}: answers of another server or call");
    let client = Client::open(era, gateway.port, "/mcp").await;
    let look = async || {
        let names = client.names("tools/list").await;
        let frail = client.call("frail_tool-000", json!({})).await.rpc();
        let gusty = client.call("gusty_tool-000", json!({})).await.rpc();
        (names, frail, gusty)
    };
    let is_well = |(names, frail, gusty): &(Vec<String>, Value, Value)| {
        let mut all = servers.iter().zip([STEADY, FRAIL].concat());
        all.all(|(_, name)| names.contains(&format!("{name}_tool-003")))
            && frail.get("result").is_some()
            && gusty.get("result").is_some()
    };
    wait::becomes(Duration::from_secs(45), &format!("{era:?}: all is well again"), look, is_well).await;
    let peak = process::peak_kib(gateway.pid());
    assert!(peak < 256 << 10, "{era:?}: {} MiB", peak >> 10);
}

#[tokio::test]
async fn legacy_clients_get_through_a_storm() {
    storm(Era::Legacy).await;
}

#[tokio::test]
async fn modern_clients_get_through_a_storm() {
    storm(Era::Modern).await;
}
