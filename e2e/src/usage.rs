//! What a process, alone or with all its descendants, uses of the machine.

use std::{
    collections::BTreeMap,
    fs,
    ops::Range,
    time::{Duration, Instant},
};

use anyhow::Context;

use crate::wait::{Unmet, wait_for_condition};

/// `USER_HZ` of proc(5), the same on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// How long a process may take until its memory stays as it is.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// How long memory must stay the same, within a hundredth, to be settled.
const SETTLED_FOR: Duration = Duration::from_secs(4);

/// Ticks that a process has used itself, in user and kernel mode, among [`stat_fields`].
const OWN: Range<usize> = 11..13;

/// The same with those of its descendants that have ended.
const OWN_AND_ENDED: Range<usize> = 11..15;

/// Proportional set size of one process, in MB of 2²⁰ bytes.
pub fn process_memory(pid: u32) -> anyhow::Result<f64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let pss = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Pss:"))
        .context("no Pss")?;
    let kib: f64 = pss.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}

/// Proportional set size of the tree below `root`, in MB of 2²⁰ bytes.
pub fn memory(root: u32) -> anyhow::Result<f64> {
    sum(root, process_memory)
}

/// As [`memory`], once it does not change any more.
pub async fn settled_memory(root: u32) -> anyhow::Result<f64> {
    let mut steady = (memory(root)?, Instant::now());
    wait_for_condition("memory to settle", SETTLED_WITHIN, async || {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = memory(root)?;
        if (now - steady.0).abs() > steady.0 / 100.0 {
            steady = (now, Instant::now());
        }
        if steady.1.elapsed() >= SETTLED_FOR {
            Ok(now)
        } else {
            Err(Unmet::NotYet(format!("{now:.0} MB")))
        }
    })
    .await
}

/// CPU time that one process has used, in seconds.
pub fn process_cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    seconds(pid, OWN)
}

/// CPU time that the tree below `root` has used, in seconds; that of processes which ended is with their parents.
pub fn cpu_seconds(root: u32) -> anyhow::Result<f64> {
    sum(root, |pid| seconds(pid, OWN_AND_ENDED))
}

fn seconds(pid: u32, fields: Range<usize>) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let ticks: Option<f64> = stat_fields(&stat).and_then(|all| {
        let ticks = all.get(fields)?.iter();
        ticks.map(|ticks| ticks.parse::<f64>().ok()).sum()
    });
    let ticks = ticks.with_context(|| format!("not a stat: {stat}"))?;
    Ok(ticks / TICKS_PER_SECOND)
}

/// CPU time of the whole machine that was not idle, in seconds.
pub fn machine_seconds() -> anyhow::Result<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    busy_ticks(&stat)
        .map(|ticks| ticks / TICKS_PER_SECOND)
        .context("/proc/stat has no line `cpu`")
}

fn busy_ticks(stat: &str) -> Option<f64> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?;
    let fields: Vec<f64> = fields
        .split_whitespace()
        .map(|field| field.parse().ok())
        .collect::<Option<_>>()?;
    // user, nice, system, idle, iowait, irq, softirq, steal; guests are in the first two.
    let busy = [0, 1, 2, 5, 6, 7].map(|n| fields.get(n));
    busy.into_iter().map(|field| field.copied()).sum()
}

/// Adds what `of` says of each process of the tree; those that end meanwhile do not count.
fn sum(root: u32, of: impl Fn(u32) -> anyhow::Result<f64>) -> anyhow::Result<f64> {
    let mut total = of(root)?;
    for pid in descendants(root, &parents()?) {
        total += of(pid).unwrap_or(0.0);
    }
    Ok(total)
}

/// The parent of each process.
fn parents() -> anyhow::Result<BTreeMap<u32, u32>> {
    let mut parents = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if let Some(parent) = stat_fields(&stat).and_then(|fields| fields.get(1)?.parse().ok()) {
            parents.insert(pid, parent);
        }
    }
    Ok(parents)
}

fn descendants(root: u32, parents: &BTreeMap<u32, u32>) -> Vec<u32> {
    let children = parents
        .iter()
        .filter(|(_, parent)| **parent == root)
        .map(|(pid, _)| *pid);
    children
        .flat_map(|pid| [vec![pid], descendants(pid, parents)].concat())
        .collect()
}

/// The fields of /proc/PID/stat after the name of the program, which is in brackets and may contain spaces.
fn stat_fields(stat: &str) -> Option<Vec<&str>> {
    let (_, fields) = stat.rsplit_once(") ")?;
    Some(fields.split_whitespace().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_all_below_its_root() {
        let parents = BTreeMap::from([(2, 1), (3, 2), (4, 2), (5, 3), (6, 1)]);
        assert_eq!(descendants(2, &parents), [3, 5, 4]);
        assert!(descendants(6, &parents).is_empty());
    }

    #[test]
    fn a_program_may_have_any_name() {
        let stat = "42 (a) b (c)) S 7 42 42";
        assert_eq!(stat_fields(stat).unwrap()[..2], ["S", "7"]);
    }

    #[test]
    fn idling_and_waiting_are_not_work() {
        let stat = "cpu  10 1 5 1000 500 2 3 4 10 0\ncpu0 1 1 1 1 1 1 1 1\n";
        assert_eq!(busy_ticks(stat), Some(25.0));
    }

    #[test]
    fn memory_of_this_test_is_known() {
        assert!(memory(std::process::id()).unwrap() > 0.5);
        assert!(cpu_seconds(std::process::id()).is_ok());
    }
}
