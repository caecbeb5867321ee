//! Which setting counts, as libpq has it.
#![allow(clippy::unwrap_used)]

use super::settings::{Attributes, Settings, SslMode, Surroundings};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A home of one test's own.
struct Home(PathBuf);

impl Home {
    fn new(name: &str) -> Home {
        let dir = std::env::temp_dir().join(format!("consent-batch-{name}-{}", std::process::id()));
        fs::create_dir_all(dir.join("system")).unwrap();
        Home(dir)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.0.join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        file
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn resolve(
    database: Option<&str>,
    home: Option<&Path>,
    variables: &[(&str, &str)],
) -> anyhow::Result<Settings> {
    let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
    let around = Surroundings {
        variable: &|name| variables.get(name).map(|v| v.to_string()),
        home: home.map(Path::to_owned),
        login: "night".into(),
    };
    Settings::resolve(database, &around)
}

fn password(settings: &Settings, n: usize) -> Option<&str> {
    settings.targets[n].password.as_ref().map(|p| p.value.as_str())
}

#[test]
fn without_any_setting_it_is_the_socket_the_login_and_a_database_of_its_name() {
    let s = resolve(None, None, &[]).unwrap();
    assert_eq!((s.user.as_str(), s.dbname.as_str()), ("night", "night"));
    assert_eq!((s.targets[0].host.as_str(), s.targets[0].port), ("/var/run/postgresql", 5432));
    assert!(s.targets[0].is_socket());
    assert_eq!((s.sslmode, s.attributes, s.connect_timeout), (SslMode::Prefer, Attributes::Any, None));
    assert_eq!(resolve(None, None, &[("PGUSER", "u")]).unwrap().dbname, "u");
}

#[test]
fn the_string_beats_the_service_and_the_service_the_variables() {
    let home = Home::new("precedence");
    home.write(".pg_service.conf", "[shop]\nhost=service\nuser=service\ndbname=service\nsslmode=require\n");
    home.write("system/pg_service.conf", "[shop]\nhost=no\n[other]\nhost=system\n");
    let system = home.0.join("system").display().to_string();
    let variables = [
        ("PGHOST", "variable"),
        ("PGUSER", "variable"),
        ("PGPORT", "5433"),
        ("PGSSLMODE", "disable"),
        ("PGSYSCONFDIR", &system),
    ];
    let s = resolve(Some("service=shop dbname=string"), Some(&home.0), &variables).unwrap();
    assert_eq!((s.dbname.as_str(), s.user.as_str(), s.sslmode), ("string", "service", SslMode::Require));
    assert_eq!((s.targets[0].host.as_str(), s.targets[0].port), ("service", 5433));
    let mut with = variables.to_vec();
    with.push(("PGSERVICE", "other"));
    assert_eq!(resolve(None, Some(&home.0), &with).unwrap().targets[0].host, "system");
    assert_eq!(resolve(Some("service=shop"), Some(&home.0), &with).unwrap().targets[0].host, "service");
    let own = home.write("own.conf", "[other]\nhost=own\n").display().to_string();
    with.push(("PGSERVICEFILE", &own));
    assert_eq!(resolve(None, Some(&home.0), &with).unwrap().targets[0].host, "own");
    with.retain(|(k, _)| *k != "PGSERVICE");
    with.push(("PGSERVICE", "none"));
    let complaint = format!("{:#}", resolve(None, Some(&home.0), &with).unwrap_err());
    assert!(complaint.contains("no service `none`"), "{complaint}");
}

#[test]
fn each_host_of_a_list_has_its_port_its_address_and_its_password() {
    let home = Home::new("hosts");
    home.write(".pgpass", "a:5432:d:night:for a\nb:5433:*:*:for b\nlocalhost:5434:d:night:for the socket\n");
    let s = resolve(Some("host=a,b, port=5432,5433,5434 dbname=d"), Some(&home.0), &[]).unwrap();
    assert_eq!([0, 1, 2].map(|n| password(&s, n)), [Some("for a"), Some("for b"), Some("for the socket")]);
    let s = resolve(Some("host=a,b hostaddr=127.0.0.1,::1 port=6"), None, &[]).unwrap();
    assert_eq!(s.targets[1].address, Some("::1".parse().unwrap()));
    assert_eq!((s.targets[1].host.as_str(), s.targets[1].port), ("b", 6));
    assert_eq!(resolve(Some("hostaddr=127.0.0.1"), None, &[]).unwrap().targets[0].host, "127.0.0.1");
    for wrong in ["host=a,b port=1,2,3", "host=a hostaddr=1.1.1.1,1.1.1.2", "hostaddr=a", "port=0", "port=x"]
    {
        assert!(resolve(Some(wrong), None, &[]).is_err(), "{wrong}");
    }
}

#[test]
fn a_given_password_beats_the_file_and_is_shown_nowhere() {
    let home = Home::new("password");
    let file = home.write("pass", "*:*:*:*:from the file\n").display().to_string();
    let s = resolve(Some("host=a"), Some(&home.0), &[("PGPASSFILE", &file)]).unwrap();
    assert_eq!(password(&s, 0), Some("from the file"));
    let s = resolve(Some("host=a"), None, &[("PGPASSFILE", &file), ("PGPASSWORD", "given secret")]).unwrap();
    assert_eq!(password(&s, 0), Some("given secret"));
    assert!(!format!("{s:?}").contains("secret"));
    fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    let s = resolve(Some("host=a,b"), None, &[("PGPASSFILE", &file)]).unwrap();
    assert_eq!((password(&s, 0), s.warnings.len()), (None, 1));
}

#[test]
fn timeouts_and_what_is_asked_of_the_server() {
    let s = resolve(Some("connect_timeout=1 target_session_attrs=primary"), None, &[]).unwrap();
    assert_eq!((s.connect_timeout, s.attributes), (Some(Duration::from_secs(2)), Attributes::Primary));
    let s = resolve(
        Some("keepalives=0"),
        None,
        &[("PGCONNECT_TIMEOUT", "0"), ("PGTARGETSESSIONATTRS", "read-write")],
    );
    let s = s.unwrap();
    assert_eq!((s.keepalives, s.connect_timeout, s.attributes), (None, None, Attributes::ReadWrite));
}

#[test]
fn protection_that_there_is_not_is_not_promised() {
    for wanted in ["gssencmode=require", "requirepeer=postgres", "sslcrldir=/etc", "replication=database"] {
        let complaint = format!("{:#}", resolve(Some(wanted), None, &[]).unwrap_err());
        assert!(complaint.contains("not supported"), "{complaint}");
    }
    for wrong in ["sslmode=maybe", "channel_binding=x", "target_session_attrs=x", "connect_timeout=x"] {
        assert!(resolve(Some(wrong), None, &[]).is_err(), "{wrong}");
    }
    assert!(resolve(None, None, &[("PGSSLMODE", "verify_full")]).is_err(), "a variable's mistake counts too");
}
