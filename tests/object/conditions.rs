//! A store that ignores the conditions of a write: two nodes would overwrite each other's uploads.

use crate::{
    node::Node,
    store::{S3RVER, Store},
    support::content,
};

#[tokio::test]
async fn a_store_that_ignores_conditions_is_refused() {
    let Some(store) = Store::find(S3RVER) else {
        return;
    };
    let area = store.area();
    let said = Node::try_with(&area, &[]).expect_err("the server starts");
    assert!(said.contains("ignores the conditions"), "{said}");
    assert!(said.contains("single node"), "{said}");
    assert_eq!(area.keys().await, [""; 0], "the probe left something");
}

#[tokio::test]
async fn it_serves_a_single_node_if_that_is_said() {
    let Some(store) = Store::find(S3RVER) else {
        return;
    };
    let area = store.area();
    let mut node = Node::with(&area, &["--single-node"]);
    let small = content(1_000, 1);
    let url = node.client().upload(&small).await;
    assert_eq!(area.stored(&url).await, Some(small));

    let large = content(20_000_000, 2);
    let url = node.client().create(large.len() as u64).await;
    let (first, rest) = large.split_at(9_000_000);
    node.client().patch(&url, 0, first).await.expect(204);
    node.terminate();
    let node = Node::with(&area, &["--single-node"]);
    let at = first.len() as u64;
    assert_eq!(node.client().offset(&url).await, at);
    node.client().patch(&url, at, rest).await.expect(204);
    assert!(area.stored(&url).await == Some(large), "the object differs");
}
