//! A restored database answers as the dumped one did, and never more generously.

use crate::shop;
use pg_consent_tests::cluster::{Cluster, Options};
use std::os::unix::fs::{MetadataExt, chown};
use std::process::{Command, Stdio};

fn dump(cluster: &Cluster) -> Vec<u8> {
    let out =
        Command::new(cluster.bin("pg_dump")).envs(cluster.env()).stderr(Stdio::inherit()).output().unwrap();
    assert!(out.status.success());
    out.stdout
}

fn restore(cluster: &Cluster, database: &str, dump: &[u8]) {
    let file = std::env::temp_dir().join(format!("pg_consent-dump-{}-{database}.sql", std::process::id()));
    std::fs::write(&file, dump).unwrap();
    let out = Command::new(cluster.bin("psql"))
        .args(["-qX", "-v", "ON_ERROR_STOP=1", "-d", database, "-f"])
        .arg(&file)
        .envs(cluster.env())
        .output()
        .unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn no_restore_loses_an_opt_out_or_changes_an_answer() {
    let (cluster, mut client) = shop::start();
    shop::fill(&mut client, 150, 7);
    let at = shop::now(&mut client);
    let before = shop::answers(&mut client, at);
    assert!(
        before.values().any(|a| a.starts_with("true")) && before.values().any(|a| a.contains("opted_out"))
    );
    let dump = dump(&cluster);

    // Into another database of the same server, which has the key.
    client.batch_execute("CREATE DATABASE restored").unwrap();
    restore(&cluster, "restored", &dump);
    let mut restored = cluster.connect("restored", "postgres").unwrap();
    assert_eq!(shop::answers(&mut restored, at), before, "without a refold");
    restored.batch_execute("SET client_min_messages = warning; CALL consent.setup()").unwrap();
    shop::refold_all(&mut restored);
    assert_eq!(shop::answers(&mut restored, at), before, "after setup() and a refold");
    let ledger = "SELECT count(*) FROM consent_data.event";
    assert_eq!(shop::number(&mut restored, ledger), shop::number(&mut client, ledger));
    let code = restored.batch_execute("DELETE FROM consent_data.event").unwrap_err();
    assert_eq!(code.code().unwrap().code(), "42501", "the ledger is append-only there too");

    // Into another server, without the key.
    let other = Cluster::start(Options::default()).unwrap();
    restore(&other, "postgres", &dump);
    let mut keyless = other.connect("postgres", "postgres").unwrap();
    for ((contact, question), answer) in shop::answers(&mut keyless, at) {
        let was = &before[&(contact, question)];
        match shop::QUESTIONS[question].0 {
            "order_confirmation" => assert_eq!(&answer, was, "contact {contact}: service messages pass"),
            // A survey without advertising may be one too; that is the law's word, not the key's.
            "survey" => {}
            _ if was.starts_with("true") => {
                assert!(
                    answer.starts_with("false") && answer.contains("key_missing"),
                    "contact {contact}: {answer}"
                );
            }
            _ => {}
        }
        assert!(
            was.starts_with("true") || answer.starts_with("false"),
            "contact {contact}: {was} became {answer}"
        );
    }
    // setup() must not make a new key, under which every suppression would be out of sight.
    keyless.batch_execute("SET client_min_messages = warning; CALL consent.setup()").unwrap();
    assert!(!other.data_dir().join("pg_consent.key").exists());

    // With the key copied over it answers as before.
    let key = other.data_dir().join("pg_consent.key");
    std::fs::copy(cluster.data_dir().join("pg_consent.key"), &key).unwrap();
    let owner = std::fs::metadata(other.data_dir()).unwrap();
    chown(&key, Some(owner.uid()), Some(owner.gid())).unwrap();
    let mut keyed = other.connect("postgres", "postgres").unwrap();
    assert_eq!(shop::answers(&mut keyed, at), before);
}
