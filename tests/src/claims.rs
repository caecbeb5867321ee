//! What claiming costs: clients that each send one prepared statement after the other, a transaction each, with fsync.

use crate::bench::machine;
use crate::cluster::{Cluster, Options};
use anyhow::{Context, Result, ensure};
use postgres::Client;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use std::time::{Duration, Instant};

#[derive(Debug, Clone)]
pub struct Settings {
    pub contacts: u32,
    /// Of each run.
    pub duration: Duration,
    pub clients: Vec<usize>,
}

/// Nine in ten may be written to; the limits are there, and never reached.
const SHOP: &str = include_str!("claims/shop.sql");

/// What is measured; $1 is a contact.
const WORK: &[(&str, &str)] = &[
    (
        "plain INSERT",
        "INSERT INTO plain.decision (contact_id, address_hash, message_kind, category_id, channel, sender_id, campaign, message_ref, allowed,
                reason, basis, rule, jurisdiction, valid_until, not_before, obligations, evidence, policy_decision, policy_version,
                similarity_version, made_for)
         SELECT $1::bigint, t.address_hash, t.message_kind, t.category_id, t.channel, t.sender_id, t.campaign, t.message_ref, t.allowed,
                t.reason, t.basis, t.rule, t.jurisdiction, t.valid_until, t.not_before, t.obligations, t.evidence, t.policy_decision,
                t.policy_version, t.similarity_version, t.made_for FROM plain.template t",
    ),
    ("claim_send, a yes", "SELECT allowed FROM consent.claim_send($1::bigint, 'newsletter', 'shoes')"),
    (
        "… with address and message_ref",
        "SELECT allowed FROM consent.claim_send($1::bigint, 'newsletter', 'shoes', address => 'person' || $1::bigint || '@example.org', message_ref => gen_random_uuid()::text)",
    ),
    ("… a no", "SELECT allowed FROM consent.claim_send(-$1::bigint, 'newsletter', 'shoes')"),
    ("log_decision", "SELECT allowed FROM consent.log_decision($1::bigint::text, 'newsletter', 'shoes')"),
    ("explain_send, nothing written", "SELECT allowed FROM consent.explain_send($1::bigint, 'newsletter', 'shoes')"),
];

/// Latencies in microseconds.
struct Run {
    per_second: f64,
    median: f64,
    p99: f64,
}

pub fn run(settings: &Settings) -> Result<()> {
    ensure!(settings.contacts > 0 && !settings.clients.is_empty(), "no contacts or no clients");
    let options = Options::default()
        .set("fsync", "on")
        .set("full_page_writes", "on")
        .set("shared_buffers", "512MB")
        .set("max_wal_size", "4GB")
        .set("checkpoint_timeout", "1h");
    let cluster = Cluster::start(options)?;
    let mut client = cluster.connect("postgres", "postgres")?;
    client.batch_execute(
        "SET client_min_messages = warning; CREATE EXTENSION pg_consent; CALL consent.setup()",
    )?;
    client.batch_execute(&SHOP.replace(":contacts", &settings.contacts.to_string()))?;
    for (name, value) in machine::facts(&mut client)? {
        println!("{name}: {value}");
    }
    println!("fsync: on; {} contacts; {:?} a run", settings.contacts, settings.duration);
    for clients in &settings.clients {
        println!("\n{clients} client{}", if *clients == 1 { "" } else { "s" });
        println!("{:<34} {:>10} {:>8} {:>12} {:>8} {:>10}", "", "a second", "×", "median µs", "×", "99 % µs");
        let mut base: Option<Run> = None;
        for (name, sql) in WORK {
            let run = measure(&cluster, settings, *clients, sql).with_context(|| (*name).to_owned())?;
            let (faster, slower) =
                base.as_ref().map_or((1.0, 1.0), |b| (run.per_second / b.per_second, run.median / b.median));
            println!(
                "{name:<34} {:>10.0} {faster:>8.2} {:>12.0} {slower:>8.2} {:>10.0}",
                run.per_second, run.median, run.p99
            );
            base.get_or_insert(run);
        }
    }
    println!("\nload at the end: {}", machine::load());
    Ok(())
}

fn measure(cluster: &Cluster, settings: &Settings, clients: usize, sql: &str) -> Result<Run> {
    let started = Instant::now();
    let runs: Vec<Result<Vec<f64>>> = std::thread::scope(|scope| {
        let all: Vec<_> =
            (0..clients).map(|n| scope.spawn(move || one_client(cluster, settings, n, sql))).collect();
        all.into_iter()
            .map(|c| c.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a client panicked"))))
            .collect()
    });
    let seconds = started.elapsed().as_secs_f64();
    let mut times = Vec::new();
    for run in runs {
        times.extend(run?);
    }
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN);
    Ok(Run { per_second: times.len() as f64 / seconds, median: at(0.5), p99: at(0.99) })
}

fn one_client(cluster: &Cluster, settings: &Settings, n: usize, sql: &str) -> Result<Vec<f64>> {
    let mut client: Client = cluster.connect("postgres", "postgres")?;
    let statement = client.prepare(sql)?;
    let mut random = ChaCha8Rng::seed_from_u64(n as u64);
    // Plans and configuration are there after the first.
    client.query(&statement, &[&1_i64])?;
    let (mut times, started) = (Vec::new(), Instant::now());
    while started.elapsed() < settings.duration {
        let contact = random.random_range(1..=i64::from(settings.contacts));
        let asked = Instant::now();
        client.query(&statement, &[&contact])?;
        times.push(asked.elapsed().as_secs_f64() * 1e6);
    }
    Ok(times)
}
