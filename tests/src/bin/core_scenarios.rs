fn main() -> anyhow::Result<()> {
    let dir = std::env::args().nth(1).unwrap_or("../shared/scenarios".into());
    let (mut pass, mut fail) = (0, 0);
    for s in pg_consent_tests::scenario::load(std::path::Path::new(&dir))? {
        if !s.has_pack() { continue; }
        match s.ask_core().and_then(|a| s.fault(&a)) {
            Ok(None) => pass += 1,
            Ok(Some(f)) => { fail += 1; println!("{}: {f}", s.id) }
            Err(e) => { fail += 1; println!("{}: {e:#}", s.id) }
        }
    }
    println!("{pass} passed, {fail} failed");
    Ok(())
}
