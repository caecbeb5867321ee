//! A night can be stopped, killed, slowed, watched and rehearsed, and goes on where it was.

use crate::shop;
use pg_consent_tests::cluster::{Cluster, Options};
use postgres::Client;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A home folder of one test's own.
pub struct Home(PathBuf);

impl Home {
    pub fn new(name: &str) -> Home {
        let dir = std::env::temp_dir().join(format!("pg_consent-home-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Home(dir)
    }

    /// A file for nobody else; answers with its path.
    pub fn write(&self, name: &str, content: &[u8]) -> String {
        std::fs::write(self.0.join(name), content).unwrap();
        self.chmod(name, 0o600);
        self.0.join(name).display().to_string()
    }

    pub fn chmod(&self, name: &str, mode: u32) {
        std::fs::set_permissions(self.0.join(name), PermissionsExt::from_mode(mode)).unwrap();
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// The batch with no settings but those of `home`.
fn command(home: &Home, arguments: &[&str]) -> Command {
    let here = std::env::current_exe().unwrap();
    let mut command = Command::new(here.ancestors().nth(2).unwrap().join("consent-batch"));
    for (name, _) in std::env::vars().filter(|(n, _)| n.starts_with("PG") || n == "CONSENT_DATABASE") {
        command.env_remove(name);
    }
    command.env("HOME", &home.0).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn ended(child: Child) -> (i32, String, String) {
    let run = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (run.status.code().unwrap_or(-1), text(&run.stdout), text(&run.stderr))
}

/// Exit code, output, complaints.
pub fn outcome(home: &Home, arguments: &[&str]) -> (i32, String, String) {
    ended(command(home, arguments).spawn().expect("cargo build --release -p consent-batch"))
}

/// Customers 1 to `n` who bought shoes.
fn start(n: i64) -> (Cluster, Client, Home, String) {
    let cluster = Cluster::start(Options::default()).unwrap();
    let mut client = shop::set_up(&cluster, "bigint");
    client
        .batch_execute(&format!(
            "CREATE SCHEMA crm;
             CREATE TABLE crm.customer AS SELECT n::bigint AS id, 'FR'::text AS country FROM generate_series(1, {n}) n;
             CREATE VIEW crm.contact AS SELECT id AS contact_id, country FROM crm.customer;
             CREATE VIEW crm.purchase AS SELECT id AS contact_id, timestamptz '2026-01-01' AS at, 'shoes'::text AS category,
                    'yes'::text AS opt_out_offered FROM crm.customer;
             INSERT INTO consent_data.sender (name, is_default) VALUES ('shop', true);
             INSERT INTO consent_data.category (name) VALUES ('shoes');
             SELECT consent.bind_contacts('crm.contact'), consent.bind_purchases('crm.purchase');"
        ))
        .unwrap();
    // With no more rights than it needs.
    client.batch_execute("CREATE ROLE night LOGIN; GRANT consent_batch TO night").unwrap();
    let home = Home::new(&format!("{}", cluster.data_dir().display()).replace('/', "_"));
    let url = cluster.url("postgres", "night");
    (cluster, client, home, url)
}

fn until(what: &str, mut so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !so() {
        assert!(since.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect()
}

fn runs(client: &mut Client) -> Vec<String> {
    let sql = "SELECT step || ' ' || coalesce(outcome, 'unfinished') FROM consent_data.run ORDER BY run_id";
    client.query(sql, &[]).unwrap().iter().map(|r| r.get(0)).collect()
}

const STATES: &str = "SELECT count(*) FROM consent_data.contact_state";

#[test]
fn a_refold_that_is_asked_to_stop_finishes_its_chunk_and_the_next_run_the_rest() {
    let (_cluster, mut client, home, url) = start(20_000);
    let slow = ["refold", "--database", &url, "--chunk", "500", "--rate", "2000", "--json"];
    for (name, exit) in [("-TERM", 143), ("-INT", 130)] {
        let before = shop::number(&mut client, STATES);
        let child = command(&home, &slow).spawn().unwrap();
        until("no chunk was written", || shop::number(&mut client, STATES) > before);
        signal(&child, name);
        let asked = Instant::now();
        let (code, out, complaint) = ended(child);
        assert_eq!(code, exit, "{complaint}");
        assert!(asked.elapsed() < Duration::from_secs(5), "waited for the rate");
        let written = shop::number(&mut client, STATES);
        assert!(written > before && written < 20_000 && written % 500 == 0, "{written}");
        let (out, complaints) = (lines(&out), lines(&complaint));
        assert_eq!(out.last().unwrap()["outcome"], "stopped");
        assert_eq!(
            (&complaints[0]["level"], &complaints[0]["event"]),
            (&"warning".into(), &"stopped".into())
        );
    }
    assert_eq!(runs(&mut client), ["refold stopped", "refold stopped"]);
    let (code, out, _) = outcome(&home, &["refold", "--database", &url, "--json"]);
    let out = lines(&out);
    assert_eq!((code, shop::number(&mut client, STATES)), (0, 20_000));
    assert_eq!(out.last().unwrap()["outcome"], "done");
    assert!(out.iter().all(|l| l["at"].is_string() && l["level"] == "info"));
    let (_, out, _) = outcome(&home, &["refold", "--database", &url, "--json"]);
    let figures = lines(&out).pop().unwrap()["figures"].take();
    assert_eq!((&figures["added"], &figures["drifted"]), (&0.into(), &0.into()));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (cluster, mut client, home, url) = start(10);
    let mut other = cluster.connect("postgres", "postgres").unwrap();
    let _lock = locked(&mut other, "similarity");
    let child = command(&home, &["nightly", "--force", "--lock-timeout", "60000", "--database", &url])
        .spawn()
        .unwrap();
    waits(&mut client);
    signal(&child, "-TERM");
    std::thread::sleep(Duration::from_millis(300));
    signal(&child, "-TERM");
    let asked = Instant::now();
    assert_eq!(ended(child).0, 143);
    assert!(asked.elapsed() < Duration::from_secs(8));
    assert_eq!(runs(&mut client), ["nightly unfinished", "refold done", "rescore unfinished"]);
}

#[test]
fn a_statement_that_takes_too_long_for_whoever_stops_it_is_cancelled() {
    let (cluster, mut client, home, url) = start(10);
    let mut other = cluster.connect("postgres", "postgres").unwrap();
    let _lock = locked(&mut other, "similarity");
    let child = command(&home, &["nightly", "--force", "--lock-timeout", "100000", "--database", &url])
        .spawn()
        .unwrap();
    waits(&mut client);
    signal(&child, "-TERM");
    let asked = Instant::now();
    let (code, _, complaint) = ended(child);
    assert!(code == 143 && asked.elapsed() < Duration::from_secs(60), "{complaint}");
    assert_eq!(runs(&mut client), ["nightly stopped", "refold done", "rescore stopped"]);
}

/// Keeps re-scoring waiting.
fn locked<'a>(other: &'a mut Client, table: &str) -> postgres::Transaction<'a> {
    let mut t = other.transaction().unwrap();
    t.batch_execute(&format!("LOCK TABLE consent_data.{table} IN ACCESS EXCLUSIVE MODE")).unwrap();
    t
}

fn waits(client: &mut Client) -> i32 {
    let mut pid = None;
    until("the batch does not wait", || {
        let waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name LIKE 'consent-batch %'";
        pid = client.query_opt(waiting, &[]).unwrap().map(|r| r.get(0));
        pid.is_some()
    });
    pid.unwrap()
}

#[test]
fn a_night_that_was_broken_off_goes_on_with_the_step_that_was_not_done() {
    let (cluster, mut client, home, url) = start(10);
    let mut other = cluster.connect("postgres", "postgres").unwrap();
    let night =
        ["nightly", "--force", "--database", &url, "--json", "--lock-timeout", "60000", "--wait", "50"];
    let done = |out: &str| lines(out).iter().find(|l| l["event"] == "resumed").map(|l| l["done"].clone());

    // Killed: nothing of it is left to record anything, and the server finds out by itself.
    let lock = locked(&mut other, "retention_action");
    let child = command(&home, &night).spawn().unwrap();
    waits(&mut client);
    signal(&child, "-KILL");
    ended(child);
    // Its connection breaks: it says so, and that running it again is safe.
    let child = command(&home, &night).spawn().unwrap();
    until("the next one does not go on", || {
        runs(&mut client).iter().filter(|r| *r == "retention unfinished").count() == 1
            && runs(&mut client).iter().any(|r| r == "retention killed")
    });
    let pid = waits(&mut client);
    client.execute("SELECT pg_terminate_backend($1)", &[&pid]).unwrap();
    let (code, out, complaint) = ended(child);
    assert_eq!((code, done(&out)), (1, Some(serde_json::json!(["rescore"]))), "{complaint}");
    let complaints = lines(&complaint);
    assert!(complaints.iter().any(|c| c["event"] == "killed" && c["step"] == "retention"), "{complaint}");
    let last = complaints.last().unwrap();
    assert_eq!((&last["level"], &last["exit"]), (&"error".into(), &1.into()), "{complaint}");
    assert!(last["hint"].as_str().unwrap().contains("Nothing half-done is left"), "{complaint}");
    lock.rollback().unwrap();

    // Other options, or --resume no: a whole night.
    let (code, out, _) = outcome(&home, &[&night[..], &["--resume", "no"]].concat());
    assert_eq!((code, done(&out)), (0, None));
    let all = runs(&mut client);
    assert_eq!(
        all[all.len() - 6..],
        ["nightly done", "refold done", "rescore done", "retention done", "seal done", "summarise done"]
            .map(str::to_owned)
    );
    // A night that failed and is run again with the same options does the rest only, and folds what came in since.
    let lock = locked(&mut other, "retention_action");
    let quick = ["nightly", "--force", "--database", &url, "--json", "--lock-timeout", "50"];
    assert_eq!(outcome(&home, &quick).0, 1);
    lock.rollback().unwrap();
    let before = runs(&mut client).len();
    let (code, out, complaint) = outcome(&home, &quick);
    assert_eq!((code, done(&out)), (0, Some(serde_json::json!(["rescore"]))), "{complaint}");
    assert_eq!(
        runs(&mut client)[before..],
        ["nightly done", "refold done", "retention done", "seal done", "summarise done"].map(str::to_owned)
    );
    // And after one that is done, everything.
    let (_, out, _) = outcome(&home, &quick);
    assert_eq!(done(&out), None);
}

#[test]
fn a_second_run_says_who_is_at_work_and_can_wait() {
    let (cluster, mut client, home, url) = start(10);
    let mut other = cluster.connect("postgres", "night").unwrap();
    other
        .batch_execute("SET application_name = 'the first'; SELECT pg_advisory_lock(27988542867467892)")
        .unwrap();
    let pid: i32 = other.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    let (code, _, complaint) = outcome(&home, &["refold", "--database", &url, "--text"]);
    assert_eq!(code, 3);
    for part in [format!("server process {pid}"), "the first".into(), "connected since 20".into()] {
        assert!(complaint.contains(&part), "{complaint}");
    }
    let child = command(&home, &["refold", "--database", &url, "--wait", "50"]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(shop::number(&mut client, STATES), 0);
    drop(other);
    assert_eq!(ended(child).0, 0);
    assert_eq!(shop::number(&mut client, STATES), 10);
}

/// Every row of every table, with the transaction that wrote it.
fn everything(client: &mut Client) -> Vec<(String, i64, Option<String>)> {
    let tables = "SELECT c.oid::regclass::text FROM pg_class c WHERE c.relkind = 'r'
                     AND c.relnamespace IN ('consent_data'::regnamespace, 'crm'::regnamespace) ORDER BY 1";
    let tables: Vec<String> = client.query(tables, &[]).unwrap().iter().map(|r| r.get(0)).collect();
    tables
        .into_iter()
        .map(|table| {
            let sql = format!("SELECT count(*), md5(string_agg(x.row, ',' ORDER BY x.row)) FROM (SELECT t.xmin::text || t.ctid::text || t::text AS row FROM {table} t) x");
            let row = client.query_one(&sql, &[]).unwrap();
            (table, row.get(0), row.get(1))
        })
        .collect()
}

#[test]
fn a_dry_run_writes_nothing() {
    let (_cluster, mut client, home, url) = start(50);
    assert_eq!(outcome(&home, &["refold", "--database", &url]).0, 0);
    // Something for each step to do.
    client
        .batch_execute(
            "INSERT INTO crm.customer SELECT n, 'DE' FROM generate_series(51, 60) n; DELETE FROM crm.customer WHERE id < 5;
             INSERT INTO consent_data.category (name) VALUES ('boots'); SELECT consent.opt_out(9::bigint)",
        )
        .unwrap();
    let before = everything(&mut client);
    for step in [
        &["nightly", "--apply", "--force"][..],
        &["refold"],
        &["refold", "--pending"],
        &["rescore"],
        &["retention", "--as-of", "2045-01-01T00:00:00Z", "--force"],
        &["retention", "--apply", "--full", "--force"],
        &["summarise"],
    ] {
        let (code, _, complaint) = outcome(&home, &[step, &["--dry-run", "--database", &url]].concat());
        assert!([0, 2].contains(&code), "{step:?}: {complaint}");
        assert_eq!(everything(&mut client), before, "{step:?}");
    }
    assert_eq!(outcome(&home, &["nightly", "--apply", "--force", "--database", &url]).0, 0);
    assert_ne!(everything(&mut client), before, "there was something to do");
}

#[test]
fn status_says_what_needs_attention() {
    let (_cluster, mut client, home, url) = start(10);
    let status = || {
        let (code, out, complaint) = outcome(&home, &["status", "--json", "--database", &url]);
        assert!(lines(&out).iter().any(|l| l["name"] == "contacts"));
        (
            code,
            lines(&complaint).iter().map(|l| l["message"].as_str().unwrap().to_owned()).collect::<Vec<_>>(),
        )
    };
    let (code, told) = status();
    assert!(code == 2 && told.iter().any(|t| t.contains("overdue")), "{told:?}");
    assert_eq!(outcome(&home, &["nightly", "--force", "--database", &url]).0, 0);
    assert_eq!(status(), (0, vec![]));
    assert_eq!(outcome(&home, &["refold", "--pending", "--database", &url]).0, 0);
    assert!(!runs(&mut client).iter().any(|r| r.contains("pending")), "an idle minute leaves no row");
    client
        .batch_execute(
            "INSERT INTO consent_data.run (step, finished_at, outcome) VALUES ('rescore', now(), 'failed')",
        )
        .unwrap();
    let (code, told) = status();
    assert!(code == 2 && told.iter().any(|t| t.contains("last rescore") && t.contains("failed")), "{told:?}");
    client
        .batch_execute(
            "INSERT INTO consent_data.event (contact_id, kind, at, sender_id, entered_at)
             VALUES (1, 'open', now(), 1, now() - interval '27 hours')",
        )
        .unwrap();
    assert!(status().1.iter().any(|t| t.contains("wait for a seal")));
    client.batch_execute("UPDATE consent_data.binding SET seen_at = seen_at - interval '30 days'").unwrap();
    assert!(status().1.iter().any(|t| t.contains("crm.purchase: not refolded in time")));
    client
        .batch_execute("UPDATE consent_data.run SET finished_at = finished_at - interval '27 hours'")
        .unwrap();
    assert!(status().1.iter().any(|t| t.contains("overdue")));
}

#[test]
fn wrong_arguments_are_failures_and_told_clearly() {
    let home = Home::new("arguments");
    for (arguments, told) in [
        (&["retention", "--max-share", "2"][..], "expected a number from 0 to 1"),
        (&["refold", "--chunk", "0"], "0 is not in 1.."),
        (&["refold", "--rate", "many"], "invalid digit"),
        (&["rescore", "--threshold", "0.1", "--eligible", "0.1"], "cannot be used with"),
        (&["nightly", "--resume", "maybe"], "possible values: auto, no"),
        (&["nihgtly"], "nightly"),
        (&[], "Usage"),
        (&["refold", "--database", "hots=a"], "unknown keyword `hots`"),
        (&["refold", "--database", "postgresql://u:secret@h:x/d"], "is no number from 1 to 65535"),
    ] {
        let (code, out, complaint) = outcome(&home, arguments);
        assert_eq!((code, out.as_str()), (1, ""), "{arguments:?}");
        assert!(complaint.contains(told) && !complaint.contains("secret"), "{arguments:?}: {complaint}");
    }
    let (code, _, complaint) = outcome(&home, &["refold", "--json", "--rate", "many"]);
    assert_eq!((code, &lines(&complaint)[0]["level"]), (1, &"error".into()));
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = outcome(&home, &["completions", shell]);
        assert!(code == 0 && out.contains("retention") && out.contains("max-share"), "{shell}");
    }
    let (code, out, _) = outcome(&home, &["man"]);
    assert!(code == 0 && out.contains(".TH") && out.contains("Exit codes"));
    let (code, out, _) = outcome(&home, &["--help"]);
    assert!(code == 0 && out.contains("Exit codes:") && out.contains("consent-batch nightly --apply"));
}
