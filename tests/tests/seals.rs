//! Whoever alters, removes or inserts a row of the logs is found, and the row named; nobody else is. No row is left out of
//! the seals, whoever is writing meanwhile, and no erasure breaks one.

mod tampering;
mod writers;

use crate::retention;
use crate::shop;
use pg_consent_tests::cluster::{Cluster, Options};
use postgres::Client;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A finding: what, of which log (or `seal`), which number.
type Found = (String, String, i64);

fn program(cluster: &Cluster, database: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(retention::program());
    command.args(arguments).args(["--json", "--database", &cluster.url(database, "night")]);
    command
}

/// As the batch's own role, which has no other rights.
fn batch(cluster: &Cluster, database: &str, arguments: &[&str]) -> (i32, Vec<Value>) {
    let run = program(cluster, database, arguments).output().unwrap();
    let said = [&run.stdout[..], &run.stderr[..]].concat();
    let lines = String::from_utf8_lossy(&said).lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
    let code = run.status.code().unwrap_or(-1);
    assert!(code != 1, "{arguments:?}: {}", String::from_utf8_lossy(&said));
    (code, lines)
}

fn figures(lines: &[Value]) -> &Value {
    &lines.iter().rfind(|l| l.get("figures").is_some()).expect("a summary")["figures"]
}

fn findings(lines: &[Value]) -> Vec<Found> {
    let text = |l: &Value, name: &str| l[name].as_str().unwrap_or("seal").to_owned();
    let named = lines.iter().filter(|l| l["event"] == "finding");
    let mut found: Vec<Found> = named
        .map(|l| {
            let number = if l["row_id"].is_null() { &l["seal"] } else { &l["row_id"] };
            (text(l, "what"), text(l, "log"), number.as_i64().unwrap_or_default())
        })
        .collect();
    found.sort();
    found
}

/// Seals, and answers with how many rows.
fn seal(cluster: &Cluster, database: &str) -> i64 {
    let (code, said) = batch(cluster, database, &["seal"]);
    assert_eq!(code, 0, "{said:?}");
    figures(&said)["rows"].as_i64().unwrap()
}

/// What a verification finds.
fn verify(cluster: &Cluster, database: &str, against: Option<&Path>) -> Vec<Found> {
    let mut arguments = vec!["verify", "--seals"];
    arguments.extend(against.into_iter().flat_map(|f| ["--against", f.to_str().unwrap()]));
    let (code, said) = batch(cluster, database, &arguments);
    let found = findings(&said);
    assert_eq!(code, if found.is_empty() { 0 } else { 2 }, "{said:?}");
    assert_eq!(figures(&said)["findings"], json!(found.len()), "{said:?}");
    found
}

fn proves(client: &mut Client, log: &str, id: i64) -> Result<Value, String> {
    let proof: Value = client.query_one("SELECT consent.prove($1, $2)", &[&log, &id]).unwrap().get(0);
    let holds: bool = client.query_one("SELECT consent.verify_proof($1)", &[&proof]).unwrap().get(0);
    assert_eq!(proof["proved"], json!(holds), "{proof}");
    if holds { Ok(proof) } else { Err(proof["problem"].as_str().unwrap().to_owned()) }
}

const ROLE: &str = "CREATE ROLE night LOGIN IN ROLE consent_batch";

/// 1 to 30 opted in by a form, 31 to 34 refused with an address; some decisions.
const FACTS: &str = "
    INSERT INTO consent_data.sender (name, is_default) VALUES ('shop', true);
    SELECT consent.opt_in(n::text, evidence => '{\"form\": \"Büro/1\"}') FROM generate_series(1, 30) n;
    SELECT consent.opt_out(n::text, address => n || '@example.org', reason => 'zu viel – Ärger') FROM generate_series(1, 4) n;
    INSERT INTO consent_data.decision (contact_id, message_kind, allowed, reason, made_for)
    SELECT n, 'newsletter', n > 4, CASE WHEN n <= 4 THEN 'opted_out' END, 'claim' FROM generate_series(1, 12) n;
    INSERT INTO consent_data.outcome (decision_id, decided_at, outcome) SELECT decision_id, decided_at, 'sent' FROM consent_data.decision WHERE allowed;";

fn start() -> (Cluster, Client) {
    let cluster = Cluster::start(Options::default().set("max_prepared_transactions", "4")).unwrap();
    let mut client = shop::set_up(&cluster, "bigint");
    client.batch_execute(ROLE).unwrap();
    client.batch_execute(FACTS).unwrap();
    (cluster, client)
}

fn temporary(name: &str) -> PathBuf {
    let file = std::env::temp_dir().join(format!("pg_consent-seals-{}-{name}", std::process::id()));
    std::fs::remove_file(&file).ok();
    file
}

#[test]
fn a_run_without_news_makes_no_seal_and_a_dry_one_writes_nothing() {
    let (cluster, mut client) = start();
    let (_, said) = batch(&cluster, "postgres", &["--dry-run", "seal"]);
    let rows = figures(&said)["rows"].as_i64().unwrap();
    let seals = "SELECT count(*) FROM consent_data.seal";
    assert_eq!((rows, shop::number(&mut client, seals)), (34 + 12 + 8, 0));
    assert_eq!(seal(&cluster, "postgres"), rows);
    assert_eq!(seal(&cluster, "postgres"), 0);
    // Numbers that were taken and never used are no news.
    client.batch_execute("BEGIN; SELECT consent.opt_in('77'); ROLLBACK").unwrap();
    assert_eq!(seal(&cluster, "postgres"), 0);
    assert_eq!(shop::number(&mut client, seals), 1);
    client.batch_execute("SELECT consent.opt_in('77')").unwrap();
    assert_eq!(seal(&cluster, "postgres"), 1);
    assert_eq!(verify(&cluster, "postgres", None), []);
    // A night has it, too.
    client.batch_execute("SELECT consent.opt_in('78')").unwrap();
    let (code, said) = batch(&cluster, "postgres", &["nightly", "--force"]);
    assert!(code == 0 && said.iter().any(|l| l["step"] == "seal" && l["figures"]["rows"] == 1), "{said:?}");
}

#[test]
fn no_erasure_breaks_a_seal_or_a_proof() {
    let (cluster, mut client) = retention::shop(3, 9);
    retention::configure(&cluster, retention::DELETE);
    client
        .batch_execute(
            "SELECT consent.record_event(n, 'opt_out', at => now() - interval '4 years', sender => 'shop', evidence => '{\"a\": 1}', reason => 'enough',
                                         address => n || '@example.org') FROM generate_series(1::bigint, 5) n;
             SELECT consent.record_event(n, 'quote_request', at => now() - interval '4 years', sender => 'shop') FROM generate_series(1::bigint, 5) n;
             INSERT INTO consent_data.decision (contact_id, message_kind, allowed, made_for) SELECT n, 'newsletter', true, 'claim' FROM generate_series(1, 9) n;",
        )
        .unwrap();
    seal(&cluster, "postgres");
    let content = "SELECT string_agg(content, '' ORDER BY log, row_id) FROM consent.sealed_text WHERE log IN ('event', 'decision')";
    let before = retention::text(&mut client, content);
    // Retired by retention, and erased on request.
    for _ in 0..2 {
        assert_eq!(retention::batch(&cluster, retention::APPLY), 0);
    }
    let retired = shop::number(&mut client, "SELECT count(*) FROM consent_data.erasure");
    assert!(retired > 0, "retention erased nobody");
    client.batch_execute("SELECT consent.erase(5::bigint, 'request')").unwrap();
    let erased = "SELECT count(*) FROM consent_data.event WHERE erased_at IS NOT NULL AND event_id <= 10";
    assert!(shop::number(&mut client, erased) >= 4);
    assert!(retention::text(&mut client, content).starts_with(&before));
    assert_eq!(verify(&cluster, "postgres", None), []);
    for id in 1..=10 {
        proves(&mut client, "event", id).unwrap();
    }
    assert!(seal(&cluster, "postgres") > 0, "the erasures themselves");
    assert_eq!(verify(&cluster, "postgres", None), []);
    let proof = proves(&mut client, "erasure", 1).unwrap();
    assert_eq!(proof["chain"], json!([]));
    assert_eq!(proves(&mut client, "event", 10).unwrap()["chain"].as_array().unwrap().len(), 1);
    // Nothing of the person is in what is handed on.
    let proof = proves(&mut client, "event", 5).unwrap().to_string();
    assert!(!proof.contains("example.org") && !proof.contains("enough"), "{proof}");
}

#[test]
fn whoever_has_no_database_can_check_a_proof() {
    let (cluster, mut client) = start();
    seal(&cluster, "postgres");
    for n in 0..3 {
        client.execute("SELECT consent.opt_in($1::bigint)", &[&i64::from(100 + n)]).unwrap();
        seal(&cluster, "postgres");
    }
    let document = include_str!("../../docs/seals.md");
    let python = document.split_once("```python\n").unwrap().1.split_once("```").unwrap().0;
    let file = temporary("proof.json");
    let check = |proof: &Value| {
        std::fs::write(&file, proof.to_string()).unwrap();
        let run =
            Command::new("python3").args(["-c", python]).arg(&file).stderr(Stdio::null()).output().unwrap();
        run.status.success().then(|| String::from_utf8_lossy(&run.stdout).trim().to_owned())
    };
    let head: String = client.query_one("SELECT consent.seal_head()->>'head'", &[]).unwrap().get(0);
    for (log, id) in [("event", 1), ("event", 34), ("decision", 3), ("outcome", 8), ("event", 36)] {
        let proof = proves(&mut client, log, id).unwrap();
        assert_eq!(check(&proof), Some(head.clone()), "{log} {id}");
        let mut forged = proof.clone();
        forged["content"] = json!(proof["content"].as_str().unwrap().replace("false", "true "));
        assert_eq!(check(&forged).is_some(), forged == proof);
        for (name, value) in [
            ("index", json!(7)),
            ("size", json!(99)),
            ("path", json!([])),
            ("row_id", json!(9)),
            ("chain", json!([])),
        ] {
            let mut forged = proof.clone();
            forged[name] = value;
            assert!(forged == proof || check(&forged).is_none(), "{name} of {log} {id}");
            let holds: bool = client.query_one("SELECT consent.verify_proof($1)", &[&forged]).unwrap().get(0);
            assert!(forged == proof || !holds, "{name} of {log} {id}");
        }
    }
    // And the seal alone with a program every system has.
    let proof = proves(&mut client, "event", 2).unwrap();
    std::fs::write(&file, proof["seal"].as_str().unwrap()).unwrap();
    let sum = Command::new("sha256sum").arg(&file).output().unwrap();
    assert!(String::from_utf8_lossy(&sum.stdout).starts_with(proof["head"].as_str().unwrap()));
    std::fs::remove_file(file).unwrap();
}

#[test]
fn rows_without_a_proof_say_why() {
    let (cluster, mut client) = start();
    seal(&cluster, "postgres");
    client.batch_execute("SELECT consent.opt_in('90')").unwrap();
    assert_eq!(proves(&mut client, "event", 35).unwrap_err(), "not_sealed");
    for (log, id) in [("event", 999), ("run", 1)] {
        let error = client.query_one("SELECT consent.prove($1, $2)", &[&log, &(id as i64)]).unwrap_err();
        assert_eq!(error.code().unwrap().code(), "42704");
    }
}

#[test]
fn a_restored_old_backup_is_found_against_a_head_kept_elsewhere() {
    let (cluster, mut client) = start();
    let head = temporary("head.json");
    let export = ["seal", "--export", head.to_str().unwrap()];
    assert_eq!(batch(&cluster, "postgres", &export).0, 0);
    drop(client);
    let mut admin = cluster.connect("template1", "postgres").unwrap();
    admin.batch_execute("CREATE DATABASE backup TEMPLATE postgres").unwrap();
    client = cluster.connect("postgres", "postgres").unwrap();
    client.batch_execute("SELECT consent.opt_out('9')").unwrap();
    assert_eq!(batch(&cluster, "postgres", &export).0, 0);
    assert_eq!(verify(&cluster, "postgres", Some(&head)), []);
    let missing = |what: &str| vec![(what.to_owned(), "seal".to_owned(), 2)];
    assert_eq!(verify(&cluster, "backup", None), [], "by itself it looks whole");
    assert_eq!(verify(&cluster, "backup", Some(&head)), missing("head_missing"));
    // It goes on as if nothing had been: with another past.
    let exported = std::fs::read(&head).unwrap();
    cluster.connect("backup", "postgres").unwrap().batch_execute("SELECT consent.opt_in('9')").unwrap();
    assert_eq!(batch(&cluster, "backup", &export).0, 2, "the head of a longer chain is not replaced");
    assert_eq!(std::fs::read(&head).unwrap(), exported);
    assert_eq!(verify(&cluster, "backup", Some(&head)), missing("head_differs"));
    // Nor that of another database, however short; nor a file that has something else.
    let (other, _) = start();
    assert_eq!(batch(&other, "postgres", &export).0, 2);
    assert_eq!(std::fs::read(&head).unwrap(), exported);
    assert_eq!(verify(&other, "postgres", Some(&head)).len(), 1);
    std::fs::write(&head, "notes\n").unwrap();
    assert_eq!(program(&cluster, "postgres", &export).output().unwrap().status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(&head).unwrap(), "notes\n");
    std::fs::remove_file(head).unwrap();
}

#[test]
fn a_dump_takes_the_seals_along() {
    let (cluster, mut client) = start();
    let head = temporary("dumped.json");
    client.batch_execute("SELECT consent.erase('3', 'request')").unwrap();
    assert_eq!(batch(&cluster, "postgres", &["seal", "--export", head.to_str().unwrap()]).0, 0);
    let dump = Command::new(cluster.bin("pg_dump")).envs(cluster.env()).output().unwrap();
    assert!(dump.status.success());
    let file = temporary("dump.sql");
    std::fs::write(&file, dump.stdout).unwrap();
    client.batch_execute("CREATE DATABASE restored").unwrap();
    let run = Command::new(cluster.bin("psql"))
        .args(["-qX", "-v", "ON_ERROR_STOP=1", "-d", "restored", "-f"])
        .arg(&file)
        .envs(cluster.env())
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let mut restored = cluster.connect("restored", "postgres").unwrap();
    restored.batch_execute("SET client_min_messages = warning; CALL consent.setup()").unwrap();
    assert_eq!(verify(&cluster, "restored", Some(&head)), []);
    proves(&mut restored, "event", 1).unwrap();
    restored.batch_execute("SELECT consent.opt_in('50')").unwrap();
    assert_eq!(seal(&cluster, "restored"), 1);
    assert_eq!(verify(&cluster, "restored", Some(&head)), []);
    for file in [head, file] {
        std::fs::remove_file(file).unwrap();
    }
}

#[test]
fn no_setting_of_a_session_changes_what_is_hashed() {
    let (cluster, mut client) = start();
    let settings = [
        "timezone = 'Asia/Kathmandu'",
        "datestyle = 'German, DMY'",
        "intervalstyle = 'iso_8601'",
        "extra_float_digits = -15",
        "bytea_output = 'escape'",
        "client_encoding = 'LATIN1'",
        "standard_conforming_strings = off",
    ];
    let texts = "SELECT encode(sha256(string_agg(convert_to(content, 'UTF8'), '' ORDER BY log, row_id)), 'hex') FROM consent.sealed_text";
    let usual = retention::text(&mut client, texts);
    for setting in settings {
        client
            .batch_execute(&format!("ALTER ROLE night SET {setting}; ALTER DATABASE postgres SET {setting}"))
            .unwrap();
        // The driver can't do without its encoding and dates, so the session does it itself.
        if !setting.starts_with("client_encoding") {
            client.batch_execute(&format!("SET {setting}")).unwrap();
            assert_eq!(retention::text(&mut client, texts), usual, "{setting}");
        }
    }
    seal(&cluster, "postgres");
    assert_eq!(verify(&cluster, "postgres", None), []);
    let shown = Command::new(cluster.bin("psql"))
        .args(["-qXAt", "-c", "SELECT consent.verify_proof(consent.prove(31)), consent.seal_head()->>'head'"])
        .envs(cluster.env())
        .output()
        .unwrap();
    let head: String =
        client.query_one("SELECT encode(head, 'hex') FROM consent_data.seal", &[]).unwrap().get(0);
    assert_eq!(String::from_utf8_lossy(&shown.stdout).trim(), format!("t|{head}"));
    client.batch_execute("RESET ALL; ALTER ROLE night RESET ALL; ALTER DATABASE postgres RESET ALL").unwrap();
    assert_eq!(verify(&cluster, "postgres", None), []);
}

#[test]
fn a_seal_that_is_killed_leaves_nothing_half() {
    let (cluster, mut client) = start();
    client
        .batch_execute("INSERT INTO consent_data.event (contact_id, kind, at, sender_id) SELECT n, 'click', now(), 1 FROM generate_series(1, 20000) n")
        .unwrap();
    let slow = ["seal", "--rate", "2000", "--chunk", "200"];
    for signal in ["-9", "-TERM"] {
        let mut run =
            program(&cluster, "postgres", &slow).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let writing = "SELECT count(*) FROM pg_locks WHERE relation = 'consent_data.seal_leaf'::regclass AND mode = 'RowExclusiveLock'";
        while shop::number(&mut client, writing) == 0 {
            assert!(run.try_wait().unwrap().is_none(), "sealed before it could be killed");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(Command::new("kill").args([signal, &run.id().to_string()]).status().unwrap().success());
        run.wait().unwrap();
        while shop::number(&mut client, writing) > 0 {
            std::thread::sleep(Duration::from_millis(20));
        }
        let left =
            "SELECT (SELECT count(*) FROM consent_data.seal) + (SELECT count(*) FROM consent_data.seal_leaf)";
        assert_eq!(shop::number(&mut client, left), 0, "{signal}");
    }
    assert_eq!(seal(&cluster, "postgres"), 20_000 + 34 + 12 + 8);
    assert_eq!(verify(&cluster, "postgres", None), []);
    // A row in the middle of many blocks.
    assert_eq!(proves(&mut client, "event", 12_345).unwrap()["path"].as_array().unwrap().len(), 15);
}
