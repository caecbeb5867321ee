//! A private PostgreSQL cluster, thrown away after use: a fresh data directory, a server on a unix socket (and, where
//! asked for, on 127.0.0.1), from the private installation that `scripts/build` keeps. Works as root and as an ordinary user.
//!
//! A shell started beside the server waits for the end of a pipe that only this process writes to. However this
//! process ends, also by a signal, the pipe then closes, and the shell stops the server and removes the directory.

use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// Not the system's temporary directory: that may be small, or closed to the `postgres` user. A socket's path may
/// have 107 bytes at most.
const BASE: &str = "/var/tmp";
const PREFIX: &str = "pg_consent-cluster-";
/// The socket's directory is private to the cluster, so the port needn't be.
const PORT: u16 = 5432;
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(60);
const STALE_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Durability is of no use here; everything else is near what a small server has.
const SETTINGS: &[(&str, &str)] = &[
    ("listen_addresses", ""),
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("shared_buffers", "128MB"),
    ("max_connections", "50"),
    ("jit", "off"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
];

/// $1 is the cluster's directory, each line read the process id of the server that runs now (0: none).
const KEEPER: &str = r#"
pid=0
while read -r line; do pid=$line; done
if [ "$pid" != 0 ] && kill -QUIT "$pid" 2>/dev/null; then
    # Bounded: where nobody reaps orphans, a dead server can be signalled for ever.
    n=0
    while [ $n -lt 200 ] && kill -0 "$pid" 2>/dev/null; do sleep 0.05; n=$((n + 1)); done
fi
rm -rf "$1"
"#;

#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Lines of postgresql.conf, added to the defaults; the later wins.
    pub settings: Vec<(String, String)>,
    /// Listens on a free port of 127.0.0.1 too, and lets in whom these lines of pg_hba.conf do.
    pub hba: Option<String>,
    /// Files for the data directory that only the server may read: name and content.
    pub files: Vec<(String, Vec<u8>)>,
}

impl Options {
    pub fn set(mut self, name: &str, value: &str) -> Options {
        self.settings.push((name.into(), value.into()));
        self
    }

    pub fn listen(mut self, hba: &str) -> Options {
        self.hba = Some(hba.into());
        self
    }

    pub fn file(mut self, name: &str, content: Vec<u8>) -> Options {
        self.files.push((name.into(), content));
        self
    }
}

#[derive(Debug)]
pub struct Cluster {
    dir: PathBuf,
    data: PathBuf,
    log: PathBuf,
    bin: PathBuf,
    port: u16,
    account: Account,
    server: Option<Child>,
    keeper: Child,
}

/// Whom the server runs as: `postgres` when we are root, since the server refuses root.
#[derive(Debug, Clone, Copy)]
struct Account {
    uid: u32,
    gid: u32,
    other: bool,
}

impl Account {
    fn of_server() -> Result<Account> {
        let own = fs::metadata("/proc/self")?;
        if own.uid() != 0 {
            return Ok(Account { uid: own.uid(), gid: own.gid(), other: false });
        }
        let id = |which: &str| -> Result<u32> {
            let out = Command::new("id").args([which, "postgres"]).output().context("id")?;
            ensure!(
                out.status.success(),
                "no user `postgres` to run the server as; `scripts/setup` makes it"
            );
            Ok(String::from_utf8(out.stdout)?.trim().parse()?)
        };
        Ok(Account { uid: id("-u")?, gid: id("-g")?, other: true })
    }

    /// A command with the server's identity and environment, in a process group of its own: an interrupt typed
    /// at a terminal ends us, not the server behind our back.
    fn command(self, program: &Path, dir: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(dir).process_group(0).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") || name.to_string_lossy().starts_with("LC_") {
                command.env_remove(name);
            }
        }
        // A panic's backtrace would reach the client in the error's DETAIL.
        command.envs([("LC_ALL", "C.UTF-8"), ("RUST_BACKTRACE", "0"), ("TZ", "UTC")]);
        if self.other {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }
}

/// The folder of `postgres`, `psql` and the other tools of the private installation.
fn installation() -> Result<PathBuf> {
    let link = match std::env::var_os("PG_CONSENT_BIN") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/pg-bin"),
    };
    let bin = link.canonicalize().with_context(|| {
        format!(
            "no private PostgreSQL at {}; `scripts/build` makes it (or set PG_CONSENT_BIN)",
            link.display()
        )
    })?;
    ensure!(bin.join("postgres").exists(), "no `postgres` in {}; run `scripts/build`", bin.display());
    Ok(bin)
}

impl Cluster {
    pub fn start(options: Options) -> Result<Cluster> {
        let bin = installation()?;
        let account = Account::of_server()?;
        remove_stale(account);
        let dir = fresh_dir(account)?;
        let keeper = account
            .command(Path::new("/bin/sh"), Path::new("/"))
            .args(["-c", KEEPER, "keeper"])
            .arg(&dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("the cluster's keeper")?;
        let (data, log) = (dir.join("data"), dir.join("server.log"));
        let port = if options.hba.is_some() { free_port()? } else { PORT };
        let mut cluster = Cluster { dir, data, log, bin, port, account, server: None, keeper };
        cluster.init(&options)?;
        cluster.launch()?;
        Ok(cluster)
    }

    fn init(&self, options: &Options) -> Result<()> {
        let out = self
            .account
            .command(&self.bin("initdb"), &self.dir)
            .args(["--no-sync", "--no-instructions", "--auth=trust", "--username=postgres"])
            .args(["--locale=C.UTF-8", "--encoding=UTF8", "-D"])
            .arg(&self.data)
            .output()
            .context("initdb")?;
        ensure!(out.status.success(), "initdb failed: {}", String::from_utf8_lossy(&out.stderr).trim());
        let mut conf = File::options().append(true).open(self.data.join("postgresql.conf"))?;
        writeln!(conf, "unix_socket_directories = '{}'\nport = {}", self.dir.display(), self.port)?;
        if let Some(hba) = &options.hba {
            writeln!(conf, "listen_addresses = '127.0.0.1'")?;
            fs::write(self.data.join("pg_hba.conf"), hba)?;
        }
        for (name, content) in &options.files {
            let file = self.data.join(name);
            File::options().write(true).create_new(true).mode(0o600).open(&file)?.write_all(content)?;
            std::os::unix::fs::chown(&file, Some(self.account.uid), Some(self.account.gid))?;
        }
        let defaults =
            SETTINGS.iter().copied().filter(|(n, _)| *n != "listen_addresses" || options.hba.is_none());
        for (name, value) in defaults.chain(options.settings.iter().map(|(n, v)| (n.as_str(), v.as_str()))) {
            writeln!(conf, "{name} = '{}'", value.replace('\'', "''"))?;
        }
        Ok(())
    }

    fn launch(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let server = self
            .account
            .command(&self.bin("postgres"), &self.dir)
            .arg("-D")
            .arg(&self.data)
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("postgres")?;
        self.tell_keeper(server.id())?;
        self.server = Some(server);
        let started = Instant::now();
        while !self.is_ready() {
            if let Some(status) = self.server.as_mut().map(Child::try_wait).transpose()?.flatten() {
                self.server = None;
                self.tell_keeper(0)?;
                bail!("the server did not start ({status}):\n{}", self.log_tail());
            }
            if started.elapsed() > START_LIMIT {
                bail!("the server did not start in {} s:\n{}", START_LIMIT.as_secs(), self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn tell_keeper(&mut self, server: u32) -> Result<()> {
        let pipe = self.keeper.stdin.as_mut().context("the keeper's pipe")?;
        writeln!(pipe, "{server}").context("the keeper has gone")
    }

    /// The server writes its status into the last line of its lock file.
    fn is_ready(&self) -> bool {
        let lock = fs::read_to_string(self.data.join("postmaster.pid")).unwrap_or_default();
        lock.lines().nth(7).is_some_and(|status| status.trim() == "ready")
    }

    /// The end of the server's log.
    pub fn log_tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// The server's log file.
    pub fn log(&self) -> &Path {
        &self.log
    }

    pub fn data_dir(&self) -> &Path {
        &self.data
    }

    /// A tool of the private installation: `psql`, `pg_dump`, `pgbench`…
    pub fn bin(&self, tool: &str) -> PathBuf {
        self.bin.join(tool)
    }

    pub fn connect(&self, db: &str, user: &str) -> Result<postgres::Client> {
        let mut config = postgres::Config::new();
        config.host_path(&self.dir).port(self.port).dbname(db).user(user);
        config.connect(postgres::NoTls).with_context(|| format!("connecting to `{db}` as `{user}`"))
    }

    /// A URL as libpq and rust-postgres take it. Neither name may need escaping.
    pub fn url(&self, db: &str, user: &str) -> String {
        format!("postgresql:///{db}?host={}&port={}&user={user}", self.dir.display(), self.port)
    }

    /// The port of the socket, and on 127.0.0.1 where it listens there.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What libpq's programs need to find the cluster; the database is `postgres`.
    pub fn env(&self) -> [(&'static str, String); 4] {
        [
            ("PGHOST", self.dir.display().to_string()),
            ("PGPORT", self.port.to_string()),
            ("PGUSER", "postgres".into()),
            ("PGDATABASE", "postgres".into()),
        ]
    }

    /// An orderly stop: sessions are ended, a checkpoint is written.
    pub fn stop(&mut self) -> Result<()> {
        self.end("INT")
    }

    /// A crash: nothing is written; the next start recovers from the log.
    pub fn kill(&mut self) -> Result<()> {
        self.end("QUIT")
    }

    /// Starts the server again after [`stop`](Self::stop) or [`kill`](Self::kill), or stops it first.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.launch()
    }

    fn end(&mut self, signal: &str) -> Result<()> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        self.signal(&server, signal)?;
        let asked = Instant::now();
        while server.try_wait()?.is_none() {
            if asked.elapsed() > STOP_LIMIT {
                self.signal(&server, "KILL")?;
                server.wait()?;
                bail!("the server did not stop in {} s:\n{}", STOP_LIMIT.as_secs(), self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.tell_keeper(0)
    }

    fn signal(&self, server: &Child, signal: &str) -> Result<()> {
        let mut kill = self.account.command(&self.bin("pg_ctl"), &self.dir);
        let out = kill.args(["kill", signal, &server.id().to_string()]).output().context("pg_ctl")?;
        // A server that has just ended by itself can't be signalled, and needn't be.
        if !out.status.success() && Path::new("/proc").join(server.id().to_string()).exists() {
            bail!("pg_ctl kill: {}", String::from_utf8_lossy(&out.stderr).trim());
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("stopping the private cluster: {error:#}");
        }
        // The pipe's end tells the keeper to remove the directory.
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// A port that nobody listens on at this moment.
fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// A new directory that only the server's user (and root) can enter.
fn fresh_dir(account: Account) -> Result<PathBuf> {
    for n in 0.. {
        let dir = Path::new(BASE).join(format!("{PREFIX}{}-{n}", std::process::id()));
        match DirBuilder::new().mode(0o700).create(&dir) {
            Ok(()) => {
                std::os::unix::fs::chown(&dir, Some(account.uid), Some(account.gid))?;
                return Ok(dir);
            }
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e).with_context(|| format!("making {}", dir.display())),
        }
    }
    bail!("no free name in {BASE}")
}

/// Removes what a run left whose keeper was killed too. Best effort: a stale directory harms nobody.
fn remove_stale(account: Account) {
    for entry in fs::read_dir(BASE).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(owner) = name.to_str().and_then(|n| n.strip_prefix(PREFIX)?.split('-').next()) else {
            continue;
        };
        let lock = fs::read_to_string(entry.path().join("data/postmaster.pid")).unwrap_or_default();
        let alive = |pid: &str| !pid.is_empty() && Path::new("/proc").join(pid.trim()).exists();
        let old = entry.metadata().ok().filter(|m| m.is_dir() && m.uid() == account.uid).is_some_and(|m| {
            let age = m.modified().ok().and_then(|t| SystemTime::now().duration_since(t).ok());
            age.is_some_and(|a| a > STALE_AFTER)
        });
        if old && !alive(owner) && !alive(lock.lines().next().unwrap_or_default()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn committed_rows_survive_a_crash_and_the_directory_does_not_survive_the_cluster() {
        let mut cluster = Cluster::start(Options::default().set("work_mem", "7MB")).unwrap();
        let dir = cluster.dir.clone();
        let mut client = cluster.connect("postgres", "postgres").unwrap();
        client.batch_execute("CREATE TABLE kept AS SELECT 42 AS n").unwrap();
        cluster.kill().unwrap();
        assert!(client.simple_query("SELECT 1").is_err());
        cluster.restart().unwrap();
        let mut client =
            postgres::Client::connect(&cluster.url("postgres", "postgres"), postgres::NoTls).unwrap();
        let row = client.query_one("SELECT n, current_setting('work_mem') FROM kept", &[]).unwrap();
        assert_eq!((row.get::<_, i32>(0), row.get::<_, String>(1)), (42, "7MB".into()));
        assert!(cluster.log_tail().contains("not properly shut down"));
        drop(cluster);
        assert!(!dir.exists());
    }

    #[test]
    fn a_failed_start_says_why() {
        let error = Cluster::start(Options::default().set("shared_buffers", "lots")).unwrap_err();
        assert!(error.to_string().contains("invalid value for parameter \"shared_buffers\""), "{error}");
    }
}
