//! The doors offer the same.

use std::collections::BTreeSet;

use super::*;
use crate::service::Operation;

/// What REST offers beyond the Admin service: the same by another name, for one object, or at a glance.
const BESIDE: [&str; 17] = [
    "ApplyOne",
    "GetOne",
    "ListIntegrations",
    "CreateIntegration",
    "GetIntegration",
    "UpdateIntegration",
    "DeleteIntegration",
    "ListTools",
    "GetTool",
    "ListPrompts",
    "GetPrompt",
    "ListResources",
    "GetResource",
    "Summary",
    "Logs",
    "Health",
    "Metrics",
];

fn offered() -> BTreeSet<String> {
    let document = serde_json::to_value(described().1).unwrap();
    let paths = document["paths"].as_object().unwrap().values();
    let operations = paths.flat_map(|path| path.as_object().unwrap().values());
    operations.filter_map(|operation| operation["operationId"].as_str().map(str::to_owned)).collect()
}

#[test]
fn every_operation_of_the_admin_service_is_offered_and_nothing_unknown() {
    let mut offered = offered();
    for beside in BESIDE {
        assert!(offered.remove(beside), "{beside} is gone");
    }
    assert_eq!(offered, Operation::ALL.iter().map(|operation| operation.name().to_owned()).collect());
}

#[test]
fn the_description_is_openapi_3_1_under_our_path() {
    let document = serde_json::to_value(described().1).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    assert!(document["paths"].as_object().unwrap().keys().all(|path| path.starts_with("/api/v1/")));
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
}
