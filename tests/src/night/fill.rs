//! The CRM's rows, by binary COPY over several sessions at once.

use super::catalogue::Catalogue;
use super::person::Person;
use crate::cluster::Cluster;
use anyhow::{Context, Result, anyhow};
use chrono::{DateTime, Utc};
use postgres::Client;
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::types::Type;
use std::sync::atomic::{AtomicI64, Ordering};

/// Contacts that a session takes at a time.
const STRETCH: i64 = 20_000;

/// Contacts 1 to `contacts`, with all they did before `midnight` (seconds since 1970).
pub fn fill(
    cluster: &Cluster,
    db: &str,
    contacts: i64,
    seed: u64,
    midnight: i64,
    threads: usize,
) -> Result<()> {
    let catalogue = Catalogue::new(seed);
    let mut client = cluster.connect(db, "postgres")?;
    let mut transaction = client.transaction()?;
    for c in catalogue.categories() {
        transaction.execute(
            "INSERT INTO crm.category VALUES ($1, $2, $3, $4)",
            &[&c.id, &c.parent, &c.name, &c.sensitive],
        )?;
    }
    transaction.commit()?;
    let next = AtomicI64::new(1);
    let set = Set { contacts, seed, midnight, catalogue: &catalogue, next: &next };
    std::thread::scope(|scope| {
        let sessions: Vec<_> = (0..threads).map(|_| scope.spawn(|| session(cluster, db, &set))).collect();
        sessions.into_iter().try_for_each(|s| s.join().map_err(|_| anyhow!("a session panicked"))?)
    })
}

/// What a session needs to know.
struct Set<'a> {
    contacts: i64,
    seed: u64,
    midnight: i64,
    catalogue: &'a Catalogue,
    next: &'a AtomicI64,
}

impl Set<'_> {
    fn at(&self, ago: i64) -> Result<DateTime<Utc>> {
        DateTime::from_timestamp(self.midnight - ago, 0).context("an instant")
    }
}

/// A COPY a table, all at once: the clients are the session's own.
fn session(cluster: &Cluster, db: &str, set: &Set<'_>) -> Result<()> {
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(cluster.connect(db, "postgres")?);
    }
    let [customers, sales, engagement, answers] = clients.as_mut_slice() else { return Ok(()) };
    let mut customers =
        writer(customers, "customer", &[Type::INT8, Type::TEXT, Type::TEXT, Type::TEXT, Type::TEXT])?;
    let mut sales =
        writer(sales, "sale_unsorted", &[Type::INT8, Type::INT4, Type::INT2, Type::BOOL, Type::TIMESTAMPTZ])?;
    let mut engagement =
        writer(engagement, "engagement_unsorted", &[Type::INT8, Type::TEXT, Type::BOOL, Type::TIMESTAMPTZ])?;
    let mut answers = writer(
        answers,
        "answer_unsorted",
        &[Type::INT8, Type::TEXT, Type::TEXT, Type::INT4, Type::TIMESTAMPTZ],
    )?;
    loop {
        let first = set.next.fetch_add(STRETCH, Ordering::Relaxed);
        if first > set.contacts {
            break;
        }
        for id in first..=(first + STRETCH - 1).min(set.contacts) {
            let p = Person::new(id, set.seed, set.catalogue);
            let email = format!("c{}@example.org", p.mailbox);
            customers.write(&[&id, &p.country, &p.subscriber, &p.address_kind, &email])?;
            for s in &p.sales {
                let category = Catalogue::id(s.type_);
                sales.write(&[&id, &category, &s.company, &s.offered, &set.at(s.ago)?])?;
            }
            for e in &p.engagement {
                engagement.write(&[&id, &e.kind, &e.machine, &set.at(e.ago)?])?;
            }
            for a in &p.answers {
                answers.write(&[&id, &a.kind, &a.method, &a.type_.map(Catalogue::id), &set.at(a.ago)?])?;
            }
        }
    }
    customers.finish()?;
    sales.finish()?;
    engagement.finish()?;
    answers.finish()?;
    Ok(())
}

fn writer<'a>(client: &'a mut Client, table: &str, types: &[Type]) -> Result<BinaryCopyInWriter<'a>> {
    let sink = client
        .copy_in(&format!("COPY crm.{table} FROM STDIN (FORMAT binary)"))
        .with_context(|| format!("filling crm.{table}"))?;
    Ok(BinaryCopyInWriter::new(sink, types))
}
