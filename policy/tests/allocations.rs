//! A decision for each row of a scan must not allocate.
#![allow(clippy::unwrap_used)]

mod typical;

use pg_consent_policy::codes::{Channel, Nature};
use pg_consent_policy::decide::{allows, decide};

#[test]
fn the_typical_contacts_are_what_they_are_called() {
    for t in typical::all() {
        let question = typical::question(t.nature, t.channel);
        assert_eq!(
            allows(&t.state, &question),
            t.allowed,
            "{}: {:?}",
            t.name,
            decide(&t.state, &question, None)
        );
    }
}

#[test]
fn the_boolean_path_never_allocates() {
    let states = typical::all();
    for nature in Nature::ALL {
        for channel in Channel::ALL {
            let question = typical::question(*nature, *channel);
            for t in &states {
                let used = allocation_counter::measure(|| {
                    std::hint::black_box(allows(&t.state, &question));
                });
                assert_eq!(used.count_total, 0, "{}: {nature} on {channel}", t.name);
            }
        }
    }
}

#[test]
fn allocations_are_counted_at_all() {
    let used = allocation_counter::measure(|| {
        std::hint::black_box(Vec::<u8>::with_capacity(10));
    });
    assert_eq!(used.count_total, 1);
}
