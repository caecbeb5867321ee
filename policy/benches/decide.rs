//! What one decision costs, next to reading the boolean flag it replaces. `make bench` prints the table.
#![allow(clippy::unwrap_used)]

#[path = "../tests/typical/mod.rs"]
mod typical;

use criterion::{Criterion, criterion_group, criterion_main};
use pg_consent_policy::decide::{allows, decide};
use std::hint::black_box;

/// What hand-written code keeps of a contact.
struct Flags {
    opted_in: bool,
}

fn decisions(c: &mut Criterion) {
    let flags = Flags { opted_in: true };
    let mut flag = c.benchmark_group("flag");
    flag.bench_function("read", |b| b.iter(|| black_box(&flags).opted_in));
    flag.finish();
    let cases: Vec<_> =
        typical::all().into_iter().map(|t| (typical::question(t.nature, t.channel), t)).collect();
    let mut boolean = c.benchmark_group("allows");
    for (question, t) in &cases {
        assert_eq!(allows(&t.state, question), t.allowed, "{}", t.name);
        boolean.bench_function(t.name, |b| b.iter(|| allows(black_box(&t.state), black_box(question))));
    }
    boolean.finish();
    let mut explained = c.benchmark_group("decide");
    for (question, t) in &cases {
        explained.bench_function(t.name, |b| {
            b.iter(|| black_box(decide(black_box(&t.state), black_box(question), None)).is_ok());
        });
    }
    explained.finish();
}

criterion_group!(benches, decisions);
criterion_main!(benches);
