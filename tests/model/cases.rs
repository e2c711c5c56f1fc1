//! What is run: stores, and what clients do with them.

use std::sync::Arc;

use tower_tus::storage::{
    ObjectStorage, Storage,
    object::{Faulty, Nodes, Simulation},
};

use crate::{
    network::Manners,
    random::Random,
    schedule::{Case, Leftovers, Shape},
    world::Build,
};

/// The size of the smallest part, and of all others.
const PART: u64 = 1 << 10;

/// A case of the storage.
pub(crate) fn case(seed: u64) -> Case {
    let mut random = Random::new(!seed);
    let case = match random.below(7) {
        0 => usual("s3", Simulation::new().min_part(PART)),
        1 => usual(
            "s3 with unique tags",
            Simulation::new().min_part(PART).unique_tags(),
        ),
        2 => usual(
            "s3 without copies",
            Simulation::new().min_part(PART).without_copy(),
        ),
        3 => usual("gcs", Simulation::gcs().min_part(PART)),
        4 => usual("r2", Simulation::r2().min_part(PART)),
        5 => Case {
            leftovers: Leftovers::Parts,
            ..usual("azure", Simulation::azure())
        },
        _ => Case {
            build: single,
            nodes: 1,
            manners: Manners::Prompt,
            ..usual(
                "a single process without conditions",
                Simulation::new().min_part(PART).without_conditions(),
            )
        },
    };
    let shape = match random.below(10) {
        0..5 => Shape::Single,
        5..7 => Shape::Deferred,
        7 => Shape::Joined,
        // Without conditions nobody decides between two that finish at once.
        8 if case.nodes > 1 => Shape::Rivals,
        8 => Shape::Single,
        _ => Shape::Deleted,
    };
    Case { shape, ..case }
}

/// A case of another storage, on S3.
pub(crate) fn toy_case(seed: u64, build: Build) -> Case {
    let shape = match seed % 3 {
        0 => Shape::Deferred,
        _ => Shape::Single,
    };
    Case {
        build,
        shape,
        ..usual("toy", Simulation::new().min_part(PART))
    }
}

fn usual(name: &'static str, bucket: Simulation) -> Case {
    Case {
        name,
        bucket,
        build: several,
        part: PART,
        shape: Shape::Single,
        nodes: 3,
        manners: Manners::Any,
        leftovers: Leftovers::None,
    }
}

fn several(bucket: Faulty<Simulation>) -> Arc<dyn Storage> {
    Arc::new(small(bucket))
}

fn single(bucket: Faulty<Simulation>) -> Arc<dyn Storage> {
    Arc::new(small(bucket).nodes(Nodes::One))
}

fn small(bucket: Faulty<Simulation>) -> ObjectStorage {
    ObjectStorage::new(bucket)
        .part_size(PART)
        .parts_in_flight(2)
}
