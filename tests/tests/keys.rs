//! Generations of the address key: files of the server, in step with the data.

use crate::shop;
use pg_consent_tests::cluster::{Cluster, Options};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

fn generations(client: &mut postgres::Client) -> Vec<(i32, String, Option<String>)> {
    let rows = client.query("SELECT generation, file, problem FROM consent.key_status() ORDER BY 1", &[]);
    rows.unwrap().iter().map(|r| (r.get(0), r.get(1), r.get(2))).collect()
}

#[test]
fn two_rotations_at_once_make_two_generations() {
    let cluster = Cluster::start(Options::default()).unwrap();
    let mut admin = shop::set_up(&cluster, "bigint");
    std::thread::scope(|threads| {
        for _ in 0..2 {
            let mut client = cluster.connect("postgres", "postgres").unwrap();
            threads.spawn(move || client.execute("SELECT consent.rotate_key()", &[]).unwrap());
        }
    });
    let expected = [(1, "pg_consent.key"), (2, "pg_consent.key.2"), (3, "pg_consent.key.3")];
    assert_eq!(generations(&mut admin), expected.map(|(n, file)| (n, file.to_owned(), None)));
    for (_, file) in expected {
        let mode = std::fs::metadata(cluster.data_dir().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[test]
fn no_rotation_overtakes_an_opt_out_under_way() {
    let cluster = Cluster::start(Options::default()).unwrap();
    let mut admin = shop::set_up(&cluster, "bigint");
    shop::fill(&mut admin, 50, 1);
    let audience = "SELECT count(*) FROM consent.audience('newsletter', 'shoes')";
    assert!(shop::number(&mut admin, audience) > 0);
    let mut other = cluster.connect("postgres", "postgres").unwrap();
    let mut under_way = other.transaction().unwrap();
    under_way.execute("SELECT consent.opt_out_addresses('{a@example.org}')", &[]).unwrap();
    let code = admin.batch_execute("SELECT consent.rotate_key()").unwrap_err();
    assert_eq!(code.code().unwrap().code(), "55P03");
    under_way.commit().unwrap();
    admin.batch_execute("SELECT consent.rotate_key()").unwrap();
    // A session that read the keys before hashes under the newest.
    let newest = "SELECT encode(consent.address_hash('email', 'a@example.org'), 'hex')";
    let hash = |client: &mut postgres::Client| client.query_one(newest, &[]).unwrap().get::<_, String>(0);
    assert_eq!(hash(&mut other), hash(&mut admin));
    let all = "SELECT cardinality(consent._address_hashes('email', 'a@example.org'))::bigint";
    assert_eq!(shop::number(&mut other, all), 2);
}

#[test]
fn no_dump_contains_a_key_and_none_is_needed_less_after_a_restore() {
    let cluster = Cluster::start(Options::default()).unwrap();
    let mut admin = shop::set_up(&cluster, "bigint");
    shop::fill(&mut admin, 50, 1);
    admin.batch_execute("SELECT consent.rotate_key()").unwrap();
    let dump =
        Command::new(cluster.bin("pg_dump")).envs(cluster.env()).stderr(Stdio::inherit()).output().unwrap();
    assert!(dump.status.success() && dump.stdout.len() > 10_000);
    for file in ["pg_consent.key", "pg_consent.key.2"] {
        let key = std::fs::read(cluster.data_dir().join(file)).unwrap();
        let hex: String = key.iter().map(|b| format!("{b:02x}")).collect();
        assert!(!dump.stdout.windows(key.len()).any(|w| w == key), "{file}");
        assert!(!String::from_utf8_lossy(&dump.stdout).to_lowercase().contains(&hex), "{file}");
    }
    // The older key is as needed as the newest.
    let audience = "SELECT count(*) FROM consent.audience('newsletter', 'shoes')";
    for file in ["pg_consent.key", "pg_consent.key.2"] {
        let (here, away) = (cluster.data_dir().join(file), cluster.data_dir().join("away"));
        let mut before = cluster.connect("postgres", "postgres").unwrap();
        assert!(shop::number(&mut before, audience) > 0);
        std::fs::rename(&here, &away).unwrap();
        let mut client = cluster.connect("postgres", "postgres").unwrap();
        assert_eq!(shop::number(&mut client, audience), 0, "without {file}");
        let faulty = generations(&mut client).into_iter().find(|g| g.2.is_some()).unwrap();
        assert_eq!(faulty.1, file);
        std::fs::rename(&away, &here).unwrap();
        assert!(shop::number(&mut client, audience) > 0, "{file} is back");
    }
}
