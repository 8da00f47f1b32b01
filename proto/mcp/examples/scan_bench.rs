//! Prints what a scan costs: `cargo run --release -p sluice-mcp --example scan_bench`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measuring tool")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use bytes::Bytes;
use sluice_mcp::{HandleFilter, ScanLimits, SseDecoder, handles, scan};

/// Nanoseconds per run: the best of several rounds, so that neighbours on the machine do not count.
fn measure(mut run: impl FnMut()) -> f64 {
    let mut best = f64::MAX;
    let mut times = 1;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(1500) {
        let start = Instant::now();
        (0..times).for_each(|_| run());
        let spent = start.elapsed();
        best = best.min(spent.as_nanos() as f64 / f64::from(times));
        if spent < Duration::from_millis(2) {
            times *= 2;
        }
    }
    best
}

fn call(arguments: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":42,"method":"tools/call","params":{{"name":"get_weather","arguments":{arguments},"_meta":{{"progressToken":"p-17"}}}}}}"#
    )
}

fn reply(result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":42,"result":{result}}}"#)
}

fn tools(count: usize) -> String {
    let tool = |n| {
        format!(
            r#"{{"name":"tool_{n}","title":"Tool {n}","description":"Does the {n}th thing, with care, for whoever asks for it, and reports what came of it.","inputSchema":{{"type":"object","properties":{{"query":{{"type":"string","description":"What to look for."}},"limit":{{"type":"integer","minimum":1,"maximum":100}},"deep":{{"type":"boolean","default":false}}}},"required":["query"]}}}}"#
        )
    };
    let tools: Vec<String> = (0..count).map(tool).collect();
    reply(&format!(r#"{{"tools":[{}]}}"#, tools.join(",")))
}

fn records(count: usize) -> String {
    let record = |n: usize| {
        format!(
            r#"{{"id":{n},"name":"user {n}","email":"user{n}@example.com","score":{}.25,"active":true,"tags":["a","bc","def"],"note":"a sentence of ordinary length about user {n}"}}"#,
            n * 7
        )
    };
    let records: Vec<String> = (0..count).map(record).collect();
    call(&format!(r#"{{"records":[{}]}}"#, records.join(",")))
}

fn main() {
    let pretty: serde_json::Value = serde_json::from_str(&records(4000)).unwrap();
    let bodies = [
        ("call, 200 B", call(r#"{"location":"Seattle, WA","units":"metric","days":3,"note":"window seat, please"}"#)),
        ("call, 4 KB records", records(24)),
        ("list, 100 tools", tools(100)),
        ("1 MB of records", records(6000)),
        ("1 MB, pretty", serde_json::to_string_pretty(&pretty).unwrap()),
        ("1 MB, one string", call(&format!(r#"{{"text":"{}"}}"#, "lorem ipsum dolor ".repeat(58_000)))),
        ("1 MB, escapes", call(&format!(r#"{{"text":"{}"}}"#, "line\\nof text\\t\\\"x\\\" ".repeat(46_000)))),
        ("1 MB of numbers", call(&format!(r#"{{"v":[{}1]}}"#, "12.5,-3,70000,".repeat(75_000)))),
    ];
    println!("{:20} {:>9}  {:>18}  {:>18}  {:>18}  {:>9}", "body", "bytes", "scan", "handle filter", "handles", "sse");
    for (name, body) in bodies {
        let bytes = Bytes::from(body);
        let mut line = vec![measure(|| {
            let message = scan(black_box(&bytes), ScanLimits::default());
            assert!(black_box(&message).is_ok());
        })];
        let mut out = Vec::new();
        line.push(measure(|| {
            let mut filter = HandleFilter::new(4096);
            for at in (0..bytes.len()).step_by(16 << 10) {
                let chunk = bytes.slice(at..bytes.len().min(at + (16 << 10)));
                filter.feed(black_box(&chunk), &mut out, &mut |_, handle| handle.to_owned()).unwrap();
            }
            out.clear();
        }));
        line.push(measure(|| {
            let mut out = smallvec::SmallVec::new();
            handles(black_box(&bytes), &mut out);
            black_box(out);
        }));
        let event = Bytes::from(
            [b"event: message\ndata: ", &sluice_mcp::without_newlines(bytes.clone())[..], b"\n\n"].concat(),
        );
        line.push(measure(|| {
            let mut decoder = SseDecoder::new(16 << 20);
            decoder.push(event.clone());
            black_box(decoder.next().unwrap().unwrap());
        }));
        let columns: String =
            line.iter().map(|ns| format!("  {ns:>9.0} ns {:>5.2} GB/s", bytes.len() as f64 / ns)).collect();
        println!("{name:20} {:>9}{columns}", bytes.len());
    }
}
