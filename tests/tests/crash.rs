//! What was committed denies after a crash; what was not, left nothing.

use crate::shop;
use pg_consent_tests::cluster::{Cluster, Options};
use postgres::Client;
use std::process::Command;
use std::time::{Duration, Instant};

fn may(client: &mut Client) -> Vec<bool> {
    let rows = client
        .query(
            "SELECT consent.can_send(n::bigint, 'newsletter') FROM generate_series(1, 4) n ORDER BY n",
            &[],
        )
        .unwrap();
    rows.iter().map(|r| r.get(0)).collect()
}

fn opt_out(client: &mut Client, contact: i64) {
    client.execute("SELECT consent.opt_out($1::bigint)", &[&contact]).unwrap();
}

fn reconnected(cluster: &Cluster) -> Client {
    let since = Instant::now();
    loop {
        match cluster.connect("postgres", "postgres") {
            Ok(client) => return client,
            Err(e) if since.elapsed() > Duration::from_secs(60) => panic!("{e:#}"),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

#[test]
fn no_crash_loses_a_committed_opt_out() {
    let durable = Options::default().set("fsync", "on").set("full_page_writes", "on");
    let mut cluster = Cluster::start(durable).unwrap();
    let mut client = shop::set_up(&cluster, "bigint");
    client
        .batch_execute(
            "INSERT INTO consent_data.sender (name, is_default) VALUES ('shop', true);
             CREATE TABLE customer AS SELECT n::bigint AS contact_id, 'GB'::text AS country FROM generate_series(1, 4) n;
             SELECT consent.bind_contacts('customer');
             SELECT consent.opt_in(n::bigint, evidence => '{\"form\": 1}') FROM generate_series(1, 4) n;
             SELECT consent.refold('{1, 2, 3, 4}');",
        )
        .unwrap();
    assert_eq!(may(&mut client), [true; 4]);

    // kill -9 of the backend that has just committed: the server restarts all others and recovers from its log.
    opt_out(&mut client, 1);
    let backend: i32 = client.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    let mut other = cluster.connect("postgres", "postgres").unwrap();
    other.batch_execute("BEGIN; SELECT consent.opt_out(2::bigint)").unwrap();
    assert!(Command::new("kill").args(["-9", &backend.to_string()]).status().unwrap().success());
    while other.simple_query("SELECT 1").is_ok() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut client = reconnected(&cluster);
    assert_eq!(may(&mut client), [false, true, true, true], "only the first had committed");

    // The whole server at once.
    opt_out(&mut client, 3);
    cluster.kill().unwrap();
    cluster.restart().unwrap();
    let mut client = reconnected(&cluster);
    assert_eq!(may(&mut client), [false, true, false, true]);
    client.batch_execute("SELECT consent.refold('{1, 2, 3, 4}')").unwrap();
    assert_eq!(may(&mut client), [false, true, false, true], "nor does a refold bring anybody back");
}
