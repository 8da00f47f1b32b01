//! What `/proc` tells of processes, and signals to them.

use std::fs;
use std::os::unix::fs::FileExt as _;

use rustix::process::{Pid, Signal, kill_process};

/// Sends a signal; a process that is gone is fine.
pub fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let _ = kill_process(pid, signal);
}

/// Whether a process lives: exists, and is not a zombie that waits for its parent.
#[must_use]
pub fn lives(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| !rest.starts_with(['Z', 'X'])))
}

/// Processes, in any depth, that carry `mark` in their command line, without this one.
#[must_use]
pub fn marked(mark: &str) -> Vec<u32> {
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|&pid: &u32| pid != std::process::id() && lives(pid))
        .filter(|pid| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(mark))
        })
        .collect()
}

/// The largest resident memory a process has had, in KiB.
#[must_use]
pub fn peak_kib(pid: u32) -> u64 {
    status_kib(pid, "VmHWM:")
}

/// The resident memory of a process, in KiB.
#[must_use]
pub fn resident_kib(pid: u32) -> u64 {
    status_kib(pid, "VmRSS:")
}

fn status_kib(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Whether bytes are somewhere in the memory that a process may write to.
#[must_use]
pub fn remembers(pid: u32, wanted: &[u8]) -> bool {
    let [memory, pages] = ["mem", "pagemap"].map(|file| fs::File::open(format!("/proc/{pid}/{file}")).unwrap());
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let address = |hexadecimal: &str| u64::from_str_radix(hexadecimal, 16).unwrap();
    let writable = maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|rights| rights.starts_with("rw")));
    let areas = writable.map(|line| line.split(' ').next().unwrap().split_once('-').unwrap());
    areas.flat_map(|(from, to)| in_use(&pages, address(from), address(to))).any(|(from, to)| {
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        // what was given back meanwhile holds nothing
        let read = memory.read_at(&mut bytes, from).unwrap_or_default();
        memchr::memmem::find(&bytes[..read], wanted).is_some()
    })
}

/// The parts of an area that there is memory for: allocators reserve a thousand times what they use.
fn in_use(pages: &fs::File, from: u64, to: u64) -> Vec<(u64, u64)> {
    let page = rustix::param::page_size() as u64;
    let mut entries = vec![0; usize::try_from((to - from) / page * 8).unwrap()];
    let read = pages.read_at(&mut entries, from / page * 8).unwrap_or_default();
    let mut parts: Vec<(u64, u64)> = Vec::new();
    // proc_pid_pagemap(5): 64 bits for each page, of which the highest says that it is there
    for (at, _) in (0..).zip(entries[..read].chunks_exact(8)).filter(|(_, entry)| entry[7] & 0x80 != 0) {
        let begin = from + at * page;
        match parts.last_mut() {
            Some((_, end)) if *end == begin => *end += page,
            _ => parts.push((begin, begin + page)),
        }
    }
    parts
}

/// The TCP ports a process itself listens on.
#[must_use]
pub fn listening(pid: u32) -> Vec<u16> {
    let inodes: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .flatten()
        .filter_map(|fd| fs::read_link(fd.path()).ok()?.to_str().map(ToOwned::to_owned))
        .filter_map(|link| Some(link.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let tables = ["tcp", "tcp6"].map(|table| fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap());
    let lines = tables.iter().flat_map(|table| table.lines().skip(1));
    lines
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let listens = fields[3] == "0A" && inodes.iter().any(|inode| inode == fields[9]);
            listens.then(|| u16::from_str_radix(fields[1].rsplit(':').next()?, 16).ok()).flatten()
        })
        .collect()
}
