//! Databases with a real CRM's schema, bound by the script that a DBA runs.

use chrono::{DateTime, NaiveDateTime, Utc};
use pg_consent_policy::codes::{Channel, Nature};
use pg_consent_policy::time::Instant;
use pg_consent_tests::cluster::Cluster;
use pg_consent_tests::crm::reading::{Asked, Reading, answer};
use pg_consent_tests::crm::schema;
use postgres::Client;
use std::path::Path;
use std::process::Command;

/// Whether the CRM's schema is there. If not, says so loudly: what needs it is not tested.
pub fn is_there(name: &str) -> bool {
    schema(name).inspect_err(|e| eprintln!("!! SKIPPED {name}: {e:#}")).is_ok()
}

/// Runs a file with psql, as the administrator.
pub fn psql(cluster: &Cluster, db: &str, variables: &[(&str, &str)], file: &Path) -> Result<String, String> {
    let mut psql = Command::new(cluster.bin("psql"));
    psql.args(["-qX", "-v", "ON_ERROR_STOP=1"]).envs(cluster.env()).env("PGDATABASE", db);
    for (name, value) in variables {
        psql.arg("-v").arg(format!("{name}={value}"));
    }
    let out = psql.arg("-f").arg(file).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if out.status.success() { Ok(text(&out.stdout)) } else { Err(text(&out.stderr)) }
}

/// The script of `sql/bindings` for a CRM.
pub fn bind(cluster: &Cluster, db: &str, name: &str, variables: &[(&str, &str)]) -> Result<String, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../sql/bindings/{name}.sql"));
    psql(cluster, db, variables, &script)
}

/// The extension and the CRM's empty tables in a database.
pub fn set_up(cluster: &Cluster, db: &str, name: &str) -> Client {
    if db != "postgres" {
        let mut client = cluster.connect("postgres", "postgres").unwrap();
        client.batch_execute(&format!("CREATE DATABASE {db}")).unwrap();
    }
    let mut client = cluster.connect(db, "postgres").unwrap();
    client
        .batch_execute("SET client_min_messages = warning; CREATE EXTENSION pg_consent; CALL consent.setup(key_type => 'text')")
        .unwrap();
    psql(cluster, db, &[], &schema(name).unwrap()).unwrap();
    client
}

/// Everything, as the nightly batch does.
pub fn refold_all(client: &mut Client) {
    client.batch_execute("SELECT consent._refold_addresses()").unwrap();
    client.batch_execute("SELECT consent._refold_fold(); SELECT consent._refold_apply(1, 10000000)").unwrap();
    client.batch_execute("SELECT consent._refold_finish()").unwrap();
}

/// The messages that every contact is asked about.
pub fn questions(categories: [&'static str; 2]) -> Vec<Asked> {
    let asked = |nature, category, channel| Asked { nature, category, channel };
    let [one, other] = categories;
    vec![
        asked(Nature::Newsletter, None, Channel::Email),
        asked(Nature::Newsletter, Some(one), Channel::Email),
        asked(Nature::Marketing, Some(other), Channel::Email),
        asked(Nature::Marketing, Some(one), Channel::Sms),
        asked(Nature::Marketing, Some(one), Channel::PhoneLive),
        asked(Nature::Marketing, None, Channel::Post),
        asked(Nature::Survey, None, Channel::Email),
        asked(Nature::WinBack, Some(one), Channel::Email),
        asked(Nature::AbandonedCart, Some(other), Channel::Email),
        asked(Nature::Transactional, None, Channel::Email),
    ]
}

/// Asks about every contact, in a scan and by key, and compares with what the core says of the reading.
pub fn compare(client: &mut Client, reading: &Reading, questions: &[Asked], at: DateTime<Utc>) {
    let states = reading.states();
    let mut faults = Vec::new();
    for asked in questions {
        let (kind, channel) = (asked.nature.code(), asked.channel.code());
        let rows = client
            .query(
                "SELECT contact_id, state OPERATOR(consent.@@) (SELECT consent.question($1, $2, $3, NULL, $4)),
                        consent.can_send(contact_id, $1, $2, $3, NULL, $4)
                   FROM consent.decidable ORDER BY contact_id",
                &[&kind, &asked.category, &channel, &at],
            )
            .unwrap();
        let answers: std::collections::HashMap<String, (bool, bool)> =
            rows.iter().map(|r| (r.get(0), (r.get(1), r.get(2)))).collect();
        assert_eq!(answers.len(), states.len(), "one row out for each row in");
        let question = reading.question(*asked, Instant::from_utc(at));
        let mut yes = 0;
        for (key, state) in &states {
            let wanted = answer(state, &question);
            yes += usize::from(wanted);
            let got = answers.get(*key).copied();
            if got != Some((wanted, wanted)) {
                if faults.len() < 20 {
                    let explained = client
                        .query_one(
                            "SELECT to_jsonb(e)::text || ' ' || (SELECT consent.state_json(state)::text FROM consent_data.contact_state WHERE contact_id = $1)
                               FROM consent.explain_send($1::text, $2, $3, $4, NULL, $5) e",
                            &[key, &kind, &asked.category, &channel, &at],
                        )
                        .map_or_else(|e| e.to_string(), |r| r.get(0));
                    println!(
                        "{key}: {explained}\nread as {:?}",
                        pg_consent_policy::explain::state_json(state)
                    );
                }
                faults.push(format!(
                    "{kind} {:?} {channel}: {key} is {wanted}, @@ and can_send say {got:?}",
                    asked.category
                ));
            }
        }
        println!("{kind} {:?} {channel}: {yes} of {} yes", asked.category, states.len());
        let service = asked.nature.is_service();
        assert!(yes > 0 && (service || yes < states.len()), "a lopsided sample proves little");
    }
    let some = faults.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(faults.is_empty(), "{} answers differ, as\n{some}", faults.len());
}

/// The start of the statement, in whole seconds of UTC without a zone.
pub fn now(client: &mut Client) -> NaiveDateTime {
    client.query_one("SELECT date_trunc('second', now() AT TIME ZONE 'UTC')", &[]).unwrap().get(0)
}
