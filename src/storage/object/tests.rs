use super::*;
use crate::storage::conformance;

fn storages() -> Vec<(&'static str, ObjectStorage)> {
    let named = |name, simulation| (name, ObjectStorage::new(simulation));
    vec![
        named("s3", Simulation::new()),
        named("s3 with unique tags", Simulation::new().unique_tags()),
        named("s3 without copies", Simulation::new().without_copy()),
        named("r2", Simulation::r2()),
        named("gcs", Simulation::gcs()),
        named("azure", Simulation::azure()),
    ]
}

#[tokio::test]
async fn conforms_with_parts_of_the_usual_size() {
    for (name, storage) in storages() {
        println!("{name}");
        conformance::all(&storage).await;
    }
}

#[tokio::test]
async fn conforms_with_small_parts() {
    for (name, simulation) in [
        ("s3", Simulation::new()),
        ("r2", Simulation::r2()),
        ("gcs", Simulation::gcs()),
        ("azure", Simulation::azure()),
    ] {
        println!("{name}");
        let storage = ObjectStorage::new(simulation.min_part(64 << 10)).part_size(64 << 10);
        conformance::all(&storage).await;
    }
}

#[tokio::test]
async fn conforms_as_the_only_node_of_a_store_without_conditions() {
    let storage = ObjectStorage::new(Simulation::new().without_conditions()).nodes(Nodes::One);
    conformance::all(&storage).await;
}
