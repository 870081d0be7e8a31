//! Bindings that the cluster's own components and its administrators need.

use serde_json::json;

use super::{ClusterPart, Component, Input};
use crate::known::names;
use crate::render::objects;

/// RBAC objects.
pub struct Rbac;

impl Component for Rbac {
    fn name(&self) -> &'static str {
        "rbac"
    }

    fn in_cluster(&self, _input: &Input<'_>) -> anyhow::Result<ClusterPart> {
        let objects = objects("rbac/objects.yaml", &json!({"admin_group": names::ADMIN_GROUP}))?;
        Ok(ClusterPart { objects, ..ClusterPart::default() })
    }
}
