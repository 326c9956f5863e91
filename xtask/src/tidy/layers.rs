//! Which of our crates may use which: an edge that is not in the table fails.

use super::Violation;
use super::snapshot::Member;

/// What a crate may use of ours.
struct Layer {
    name: &'static str,
    /// To be built.
    uses: &'static [&'static str],
    /// In its tests and examples, beyond that.
    dev: &'static [&'static str],
}

const CORE: &str = "bloom-auth-core";
const CACHE: &str = "bloom-auth-cache";
const REQWEST: &str = "bloom-auth-reqwest";
const TOWER: &str = "bloom-auth-tower";
const EMULATOR: &str = "bloom-auth-emulator";
const FACADE: &str = "bloom-auth";

/// From the bottom to the top. The tests of a crate may use the emulator, and
/// core for its `test-util`; those of the tower layer get their tokens through
/// the reqwest transport, as its users do. The emulator uses nothing of ours, not even in its
/// tests: a mistake in core would look right in a mirror.
const LAYERS: &[Layer] = &[
    Layer {
        name: CORE,
        uses: &[],
        dev: &[CORE, EMULATOR],
    },
    Layer {
        name: CACHE,
        uses: &[CORE],
        dev: &[EMULATOR],
    },
    Layer {
        name: REQWEST,
        uses: &[CORE],
        dev: &[EMULATOR],
    },
    Layer {
        name: TOWER,
        uses: &[CORE],
        dev: &[EMULATOR, REQWEST],
    },
    Layer {
        name: EMULATOR,
        uses: &[],
        dev: &[],
    },
    Layer {
        name: FACADE,
        uses: &[CORE, CACHE, REQWEST, TOWER],
        dev: &[EMULATOR],
    },
    Layer {
        name: "bloom-auth-cli",
        uses: &[FACADE, EMULATOR],
        dev: &[CORE],
    },
    Layer {
        name: "xtask",
        uses: &[],
        dev: &[],
    },
];

pub(super) fn check(members: &[Member]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for Member { name, edges, .. } in members {
        let Some(layer) = LAYERS.iter().find(|layer| layer.name == name) else {
            violations.push(Violation::new(name, "has no place in the table of layers"));
            continue;
        };
        for edge in edges {
            let to = edge.to.as_str();
            if layer.uses.contains(&to) || edge.dev && layer.dev.contains(&to) {
                continue;
            }
            let place = if edge.dev {
                "must not use it even in tests"
            } else {
                "must not use it"
            };
            violations.push(Violation::new(format!("{name} -> {to}"), place));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::Edge;
    use super::super::testing::expect;
    use super::*;

    fn member(name: &str, uses: &[&str], dev: &[&str]) -> Member {
        let edge = |to: &&str, dev| Edge {
            to: (*to).to_owned(),
            dev,
        };
        let uses = uses.iter().map(|to| edge(to, false));
        let edges = uses.chain(dev.iter().map(|to| edge(to, true))).collect();
        Member {
            name: name.to_owned(),
            edges,
            ..Member::default()
        }
    }

    #[test]
    fn the_table_itself_passes() {
        let members: Vec<Member> = LAYERS
            .iter()
            .map(|layer| member(layer.name, layer.uses, layer.dev))
            .collect();
        expect(&check(&members), &[]);
    }

    #[test]
    fn layers_point_down_only() {
        for (position, layer) in LAYERS.iter().enumerate() {
            for used in layer.uses {
                let below = LAYERS.iter().position(|layer| layer.name == *used);
                assert!(
                    below.is_some_and(|below| below < position),
                    "{} -> {used}",
                    layer.name
                );
            }
        }
    }

    #[test]
    fn forbidden_edges_are_caught() {
        let members = [
            member(CORE, &[REQWEST], &[]),
            member(REQWEST, &[CACHE], &[]),
            member(EMULATOR, &[CORE], &[CORE]),
            member(FACADE, &[EMULATOR], &[EMULATOR]),
            member("xtask", &[CORE], &[]),
        ];
        expect(
            &check(&members),
            &[
                "bloom-auth-core -> bloom-auth-reqwest: must not use it",
                "bloom-auth-reqwest -> bloom-auth-cache: must not use it",
                "bloom-auth-emulator -> bloom-auth-core: must not use it",
                "bloom-auth-emulator -> bloom-auth-core: must not use it even in tests",
                "bloom-auth -> bloom-auth-emulator: must not use it",
                "xtask -> bloom-auth-core: must not use it",
            ],
        );
    }

    #[test]
    fn unknown_members_and_dependencies_are_caught() {
        let members = [
            member("bloom-auth-new", &[], &[]),
            member(CACHE, &[CORE, "helper"], &[]),
        ];
        expect(
            &check(&members),
            &[
                "bloom-auth-new: has no place in the table of layers",
                "bloom-auth-cache -> helper: must not use it",
            ],
        );
    }
}
